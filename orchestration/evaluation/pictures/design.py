"""Trials, designs and recipes: what was tried, what the optimiser expects, and what it chose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.features.source import open_tables
from models.optimizer.bayesian import kept_of, settings_of
from models.optimizer.bayesian_spec import Bayesian
from models.optimizer.design_spec import CellDesign
from models.optimizer.reading import floats
from models.optimizer.spec import OptimizerSpec
from orchestration.evaluation.pictures.canvas import BLUE, GREY, RED, SEVERAL, by_date, legend, sheet, words
from orchestration.evaluation.pictures.tables import further
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers.bayesian import predicted
from pipelines.optimizers.runs import Bools, Floats

_POINTS = 41


def draw_trials(spec: OptimizerSpec, kind: Bayesian, ctx: ModelContext) -> Any | None:
    """Trials so far with those that come next, and how the aim answers to each setting around the first of them."""
    proposed = further(spec, ctx, "trial", f"ORDER BY {quote_identifier(spec.keys[0])}")
    if proposed is None:
        return None
    done = _trials(spec, kind, ctx)
    columns = 3
    figure, axes = sheet(spec.solution, -(-(len(kind.vary) + 1) // columns), columns, height=5.2)
    flat = list(axes.flat)
    _history(flat[0], kind, done, proposed)
    settings, tried = settings_of(kind), np.column_stack([floats(done, one.of) for one in kind.vary])
    chosen = np.column_stack([floats(proposed, one.of) for one in kind.vary])
    for place, (axis, one) in enumerate(zip(flat[1:], kind.vary, strict=False)):
        points = np.repeat(chosen[:1], _POINTS, axis=0)
        points[:, place] = np.linspace(one.low, one.high, _POINTS)
        mean, spread = predicted(settings, tried, floats(done, kind.improve.of), points)
        axis.fill_between(points[:, place], mean - 1.96 * spread, mean + 1.96 * spread, color=BLUE, alpha=0.2, lw=0)
        axis.plot(points[:, place], mean, color=BLUE, linewidth=1.3)
        axis.plot(chosen[:1, place], floats(proposed, "expected_value")[:1], "o", color=RED, markersize=5)
        axis.set_xlabel(words(one.of))
    for axis in flat[len(kind.vary) + 1 :]:
        axis.set_visible(False)
    return figure


def _trials(spec: OptimizerSpec, kind: Bayesian, ctx: ModelContext) -> pa.Table:
    """Trials that were measured in full, in their order."""
    read = ", ".join(
        f"TRY_CAST({quote_identifier(name)} AS DOUBLE) AS {quote_identifier(name)}" for name in kind.columns
    )
    whole = " AND ".join(f"{quote_identifier(name)} IS NOT NULL" for name in kind.columns)
    key = quote_identifier(spec.keys[0])
    with open_tables(ctx, spec.table) as tables:
        return tables.arrow(
            f"FROM (SELECT {key}, {read} FROM {tables.relation(spec.table)}) WHERE {whole} ORDER BY {key}"
        )


def _history(axis: Any, kind: Bayesian, done: pa.Table, proposed: pa.Table) -> None:
    value = floats(done, kind.improve.of)
    kept = kept_of(kind, {name: floats(done, name) for name in kind.columns})
    holds = np.all([each.holds for each in kept], axis=0) if kept else np.ones(len(value), dtype=bool)
    place = np.arange(1, len(value) + 1)
    axis.plot(place[holds], value[holds], "o", color=BLUE, markersize=4, label="kept every limit")
    axis.plot(place[~holds], value[~holds], "x", color=GREY, markersize=5, label="did not")
    sign = 1.0 if kind.improve.to == "higher" else -1.0
    best = sign * np.maximum.accumulate(np.where(holds, sign * value, -np.inf))
    axis.step(place[np.isfinite(best)], best[np.isfinite(best)], where="post", color=BLUE, linewidth=0.9)
    following = len(value) + np.arange(1, len(proposed) + 1)
    expected, spread = floats(proposed, "expected_value"), floats(proposed, "expected_sd")
    axis.errorbar(following, expected, 1.96 * spread, fmt="o", color=RED, markersize=4, linewidth=1, label="next")
    axis.set_xlabel("trial")
    axis.set_ylabel(words(kind.improve.of))
    axis.margins(y=0.35)
    legend(axis, loc="upper left", ncols=2, columnspacing=0.8, handletextpad=0.2)


def draw_designs(spec: OptimizerSpec, kind: CellDesign, ctx: ModelContext) -> Any | None:
    """Designs that were worked out: what is improved over the first limit, and the best one so far."""
    runs, answers = further(spec, ctx, "run"), further(spec, ctx)
    if runs is None or answers is None or not kind.keep:
        return None
    runs = _newest(runs)
    value, limit = floats(runs, kind.improve.of), kind.keep[0]
    holds = _holds(kind, runs)
    figure, (axes,) = sheet(spec.solution, 1, 2)
    left, right = axes
    against = floats(runs, limit.of)
    left.scatter(against[~holds], value[~holds], marker="x", s=24, color=GREY, linewidths=1, label="leaves a limit")
    left.scatter(against[holds], value[holds], s=22, color=BLUE, linewidths=0, label="keeps them all")
    chosen = _chosen(kind, runs, holds)
    left.plot(against[:1], value[:1], "s", color="0.2", markersize=6, label="today")
    left.plot(against[chosen : chosen + 1], value[chosen : chosen + 1], "*", color=RED, markersize=12, label="proposed")
    for end in (limit.at_least, limit.at_most):
        if end is not None:
            left.axvline(end * against[0], color="0.3", linewidth=0.9, linestyle="--")
    left.set_xlabel(f"{words(limit.of)} (dashed: its limit)")
    left.set_ylabel(words(kind.improve.of))
    left.margins(y=0.2)
    legend(left, ncols=2, loc="upper right")
    sign = 1.0 if kind.improve.to == "higher" else -1.0
    best = sign * np.maximum.accumulate(np.where(holds, sign * value, -np.inf))
    place = np.arange(1, len(value) + 1)
    right.plot(place[holds], value[holds], "o", color=BLUE, markersize=4)
    right.plot(place[~holds], value[~holds], "x", color=GREY, markersize=5)
    right.step(place[np.isfinite(best)], best[np.isfinite(best)], where="post", color=RED, linewidth=1.2)
    gain = value[chosen] / value[0] - 1
    right.set_title(f"best so far: {gain:+.1%} over today's {value[0]:,.0f}", fontsize=9)
    right.set_xlabel("design worked out by physics")
    return figure


def _newest(runs: pa.Table) -> pa.Table:
    """Those over the newest powders: a search begins anew when they change."""
    basis = runs["basis_digest"].to_pylist()
    return runs.filter(pa.array([each == basis[-1] for each in basis]))


def _holds(kind: CellDesign, runs: pa.Table) -> Bools:
    """Which designs keep every limit, shares of the first one, today's."""
    found = np.ones(len(runs), dtype=bool)
    for each in kind.keep:
        share = floats(runs, each.of) / floats(runs, each.of)[0]
        low, high = (-np.inf if each.at_least is None else each.at_least), (each.at_most or np.inf)
        found &= (share >= low - 1e-9) & (share <= high + 1e-9)
    return found


def _chosen(kind: CellDesign, runs: pa.Table, holds: Bools) -> int:
    sign = 1.0 if kind.improve.to == "higher" else -1.0
    value: Floats = floats(runs, kind.improve.of)
    return int(np.argmax(np.where(holds, sign * value, -np.inf)))


def draw_recipes(spec: OptimizerSpec, ctx: ModelContext) -> Any | None:
    """Each recipe's window of speeds, those that are held, and what ends the windows."""
    answers, windows = further(spec, ctx), further(spec, ctx, "window")
    if answers is None or windows is None:
        return None
    rows = windows.join(answers.select([*spec.keys, "event_at", "class"]), spec.keys).sort_by("event_at")
    held = np.array([each == "hold" for each in rows["class"].to_pylist()])
    at = rows["event_at"].to_numpy(zero_copy_only=False)
    low, high, chosen = (floats(rows, name) for name in ("slowest_m_min", "fastest_m_min", "web_speed_m_min"))
    figure, (axes,) = sheet(spec.solution, 1, 2)
    left, right = axes
    left.vlines(
        at[~held], low[~held], high[~held], color=BLUE, linewidth=2.2, alpha=0.45, label="speeds that keep the limits"
    )
    left.plot(at[~held], chosen[~held], "o", color=BLUE, markersize=3, label="released at")
    left.plot(at[held], np.full(held.sum(), np.nanmin(low) - 2), "x", color=RED, markersize=5, label="held")
    left.set_ylabel("web speed, m/min")
    left.margins(y=0.25)
    by_date(left)
    legend(left, loc="upper left", ncols=3, columnspacing=0.8, handletextpad=0.3)
    ends = rows["limited_by"].to_pylist()
    names = sorted(set(ends), key=lambda name: (ends.count(name), str(name)))
    for kind_held, colour, told in ((False, BLUE, "ends the window"), (True, SEVERAL[0], "holds the recipe")):
        counts = [
            sum(end == name and bool(is_held) == kind_held for end, is_held in zip(ends, held, strict=True))
            for name in names
        ]
        begin = [
            sum(end == name and not is_held for end, is_held in zip(ends, held, strict=True)) * kind_held
            for name in names
        ]
        right.barh([words(str(name)) for name in names], counts, left=begin, color=colour, label=told)
    right.set_xlabel("recipes")
    legend(right, loc="lower right")
    return figure
