"""Learning a forecast: base and parameters by validation, a booster for each quantile, widths by step ahead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.context import ModelContext
from models.estimators.base import Fold, Problem
from models.estimators.lightgbm import LightGBM
from models.forecast.evaluate import quantiles_of, worth
from models.forecast.panel import Panel
from models.forecast.runtime import AHEAD, FORMAT, Array, Scorer
from models.forecast.spec import ForecastSpec
from models.forecast.windows import BASES, Windows, feature_names, look_back, windows_at
from models.solution import NotYetError

_CALIBRATED_RATIO = 0.5  # of the development time, its latest: boosters learn before, widths are learnt there
_PATIENCE = 25
_LEAVES = (3, 8)
_LEAST_ROWS, _LEAST_SEASONS = 200, 2
_GROUP_STEPS = 150  # neighbouring steps ahead share a width until they were judged at so many steps of time


@dataclass
class Learnt:
    """What learning brought.

    Attributes:
        scorer: The forecast.
        trials: What was tried, with its validation loss.
        rows: Rows learnt from.
        notes: Remarks.
    """

    scorer: Scorer
    trials: list[dict[str, Any]]
    rows: int
    notes: list[str]


def cut_of(spec: ForecastSpec, panel: Panel) -> int:
    """First step of the hold-out: the latest share of the time, and long enough for a forecast of full length.

    Raises:
        NotYetError: there is too little before it to learn from.
    """
    judged = max(round(spec.holdout_ratio * panel.steps), spec.horizon + spec.season)
    cut = panel.steps - judged
    if cut < _LEAST_SEASONS * spec.season:
        raise NotYetError(
            "there is not yet enough to learn a forecast from",
            expected=f"{_LEAST_SEASONS} seasons of {spec.season} steps before the hold-out of {judged}",
            found=f"{panel.steps} steps in all",
            mend="wait for more, or shorten `horizon` or `season`",
            where=spec.solution,
        )
    return cut


def origins_of(spec: ForecastSpec, first: int, end: int) -> Array:
    """Steps at which forecasts are learnt from or judged, from `first` to before `end`; the same for every night."""
    every = np.arange(0, end, spec.origin_every)
    return np.asarray(every[every >= first])


def development(spec: ForecastSpec, panel: Panel, cut: int) -> Windows:
    """Rows whose outcome was known when the hold-out begins; the newest where there are too many.

    Raises:
        NotYetError: there are too few.
    """
    first = min(spec.season, look_back(spec))
    a_step = len(panel.names) * spec.horizon / spec.origin_every
    first = max(first, cut - int(spec.max_rows / max(a_step, 1e-9)))
    rows = windows_at(spec, panel, origins_of(spec, first, cut))
    rows = rows.take(np.isfinite(rows.y) & (rows.known_s <= panel.begin_s[cut]))
    if len(rows) < _LEAST_ROWS:
        raise NotYetError(
            "there is not yet enough to learn a forecast from",
            expected=f"{_LEAST_ROWS} rows (series, origin, step ahead) before the hold-out",
            found=f"{len(rows)}",
            mend="wait for more, or lower origin_every",
            where=spec.solution,
        )
    return rows


def learn(spec: ForecastSpec, ctx: ModelContext, panel: Panel, rows: Windows, cut: int) -> Learnt:
    """Fit boosters to the earlier development rows; choose base and parameters, and learn widths, on the later.

    Args:
        spec: the solution.
        ctx: threads.
        panel: series.
        rows: development rows.
        cut: first step of the hold-out.
    """
    early, late = _parted(spec, panel, rows, cut)
    estimator = LightGBM()
    problem = Problem("quantile", categories=(0,), n_threads=ctx.n_threads, seed=spec.seed, max_bin=63)
    bundle = _bundle(spec, panel, rows)
    starts = [_params(leaves, len(early)) for leaves in _LEAVES]
    trials: list[dict[str, Any]] = []
    best: tuple[float, str, dict[str, Any]] = (np.inf, "", {})
    for base in BASES:
        scorer = Scorer(bundle | {"base": base}, [], ctx.n_threads)
        fold = _fold(scorer, early, late)
        for params in starts:
            fit = estimator.fit(replace(problem, quantile=spec.quantiles[1]), fold, params, spec.max_rounds, _PATIENCE)
            loss = float(min(fit.curve))
            trials.append({"base": base, "loss": loss, "rounds": fit.rounds, **params})
            best = min(best, (loss, base, params), key=lambda each: each[0])
            ctx.tell("trying bases and parameters", len(trials), len(BASES) * len(starts))
    _, base, params = best
    bundle |= {"base": base}
    fold = _fold(Scorer(bundle, []), early, late)
    # Not fitted anew to all rows: widths are those of these boosters, and the base brings what is new anyway.
    natives = [_fit(problem, level, fold, params, spec.max_rounds) for level in spec.quantiles]
    scorer = Scorer(bundle, natives, ctx.n_threads)
    bundle |= _widths(spec, scorer, late)
    quantiles = quantiles_of(scorer, late)
    inside = (late.y >= quantiles[:, 0]) & (late.y <= quantiles[:, 2])
    bundle["widths_worth"] = worth(inside.astype(np.float64), late.target)
    notes = [f"counted from the {base.replace('_', ' ')}; {len(late):,} later rows set the widths"]
    return Learnt(scorer, trials, len(rows), notes)


def _params(leaves: int, rows: int) -> dict[str, Any]:
    """Flat trees of large leaves: a step is in many rows, by several origins, and its chance must fill no leaf."""
    return {
        "learning_rate": 0.05,
        "num_leaves": leaves,
        "min_data_in_leaf": max(20, rows // 30),
        "feature_fraction": 0.6,
        "bagging_fraction": 0.8,
        "lambda_l2": 3.0,
    }


def _parted(spec: ForecastSpec, panel: Panel, rows: Windows, cut: int) -> tuple[Windows, Windows]:
    """Rows to learn from, and later ones; what was learnt from was known when the first of these was made."""
    first = int(rows.origin.min())
    mark = cut - max(1, round(_CALIBRATED_RATIO * (cut - first)))
    early = rows.take(rows.known_s <= panel.begin_s[mark])
    late = rows.take(rows.origin >= mark)
    if len(early) < _LEAST_ROWS // 4 or not len(late):
        raise NotYetError(
            "there is not yet enough to learn a forecast's intervals from",
            expected="development rows both before and after a cut",
            found=f"{len(early)} and {len(late)}",
            mend="wait for more",
            where=spec.solution,
        )
    return early, late


def _bundle(spec: ForecastSpec, panel: Panel, rows: Windows) -> dict[str, Any]:
    values = panel.numbers[spec.target]
    return {
        "format": FORMAT,
        "name": spec.name,
        "features": feature_names(rows),
        "series": panel.names.tolist(),
        "base": BASES[0],
        "quantiles": list(spec.quantiles),
        "horizon": spec.horizon,
        "floor": 0.0 if float(np.nanmin(values)) >= 0 else None,
        "boosters": [f"quantile_{place}.txt" for place in range(len(spec.quantiles))],
    }


def _fold(scorer: Scorer, rows: Windows, valid: Windows) -> Fold:
    """Rows as the boosters see them; the target in spreads from the base."""

    def target(part: Windows) -> Array:
        base, spread = scorer.base(part.table)
        return (part.y - base) / spread

    return Fold(scorer.matrix(rows.table), target(rows), scorer.matrix(valid.table), target(valid))


def _fit(problem: Problem, level: float, fold: Fold, params: dict[str, Any], rounds: int) -> Any:
    """LightGBM's own booster for a quantile, with its best number of rounds."""
    fit = LightGBM().fit(replace(problem, quantile=level), fold, params, rounds, _PATIENCE)
    return fit.booster.native  # type: ignore[attr-defined] # what LightGBM's estimator hands back


def _widths(spec: ForecastSpec, scorer: Scorer, rows: Windows) -> dict[str, list[float]]:
    """What the outer quantiles are moved outwards by, in spreads, for each step ahead.

    Conformalised quantiles (Romano, Patterson and Candès 2019), each side by itself, over neighbouring steps ahead
    until they have enough rows; steps ahead that no later row reaches have the widths of the last one that is reached.
    `sum_above` is for the sum of the values up to a step ahead: how far above that of the middles its high quantile is.
    """
    raw, (base, spread) = scorer.raw(rows.table), scorer.base(rows.table)
    y = (rows.y - base) / spread
    ahead = rows.number(AHEAD).astype(int)
    low, _, high = spec.quantiles
    total = _cumulative(rows, y - raw[:, 1], ahead)
    out: dict[str, list[float]] = {"below": [], "above": [], "sum_above": []}
    for place, group in enumerate(_groups(ahead, rows.target, spec.horizon)):
        mine = np.isin(ahead, group)
        for name, score, level in (("below", raw[:, 0] - y, 1 - low), ("above", y - raw[:, -1], high)):
            wide = _conformal(score[mine], rows.target[mine], level) if mine.any() else out[name][-1]
            out[name] += [wide] * len(group)
        own = mine & np.isfinite(total)
        a_step = total[own] / np.sqrt(ahead[own])
        wide = _conformal(a_step, rows.target[own], high) if own.any() else out["sum_above"][-1] if place else 0.0
        out["sum_above"] += [wide] * len(group)
    out["sum_above"] = [wide * np.sqrt(step) for step, wide in enumerate(out["sum_above"], 1)]
    return out


def _groups(ahead: Array, step: Array, horizon: int) -> list[list[int]]:
    """Neighbouring steps ahead, closed when they were judged at enough steps of time; what is left joins the last."""
    groups: list[list[int]] = [[]]
    for each in range(1, horizon + 1):
        groups[-1].append(each)
        if each < horizon and len(np.unique(step[np.isin(ahead, groups[-1])])) >= _GROUP_STEPS:
            groups.append([])
    left = len(np.unique(step[np.isin(ahead, groups[-1])]))
    if len(groups) > 1 and 0 < left < _GROUP_STEPS:
        rest = groups.pop()
        groups[-1] += rest
    return groups


def _conformal(score: Array, step: Array, level: float) -> float:
    """The quantile of scores that holds the level for one more of them, as far as there are enough."""
    count = worth(score, step)
    return float(np.quantile(score, min(1.0, level * (count + 1) / count), method="higher"))


def _cumulative(rows: Windows, off: Array, ahead: Array) -> Array:
    """Sum of the deviations from the first step ahead to each row's, NaN where one of them is missing."""
    order = np.lexsort((ahead, rows.origin, rows.series))
    whole = np.cumsum(off[order])
    begins = np.flatnonzero(ahead[order] == 1)
    owner = np.searchsorted(begins, np.arange(len(order)), side="right") - 1
    has_first = owner >= 0
    begin = begins[np.maximum(owner, 0)] if len(begins) else np.zeros(len(order), dtype=int)
    total = whole - whole[begin] + off[order][begin]
    same = (rows.series[order] == rows.series[order][begin]) & (rows.origin[order] == rows.origin[order][begin])
    gapless = np.arange(len(order)) - begin + 1 == ahead[order]
    out = np.full(len(order), np.nan)
    out[order] = np.where(has_first & same & gapless, total, np.nan)
    return out


def hold_out(spec: ForecastSpec, panel: Panel, cut: int) -> Windows:
    """Rows of forecasts made from the cut on, whose outcome is known."""
    rows = windows_at(spec, panel, origins_of(spec, cut, panel.steps))
    return rows.take(np.isfinite(rows.y))
