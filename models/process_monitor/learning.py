"""Phase I: from reference rows to a reference: screening, standardising, principal components, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
from scipy import stats

from models.process_monitor.blocks import Rows, held_out
from models.process_monitor.charting import learn_charts
from models.process_monitor.charts import Charts as VariableCharts
from models.process_monitor.runtime import Array, Reference, lowest_of_run, with_lags
from models.process_monitor.spec import Charts, Kind, MonitorSpec, Pca
from models.process_monitor.theory import spe_limit, t2_limit_phase_1, t2_limit_phase_2
from models.solution import NotYetError
from pipelines.control_plan.errors import CellworksError

MIN_ROWS = 50
_MAD_TO_SD = 1.4826  # of a normal distribution
_MOST_SCREENED = 0.05  # a larger share beyond the theory's limits is the shape of the data, and no outliers
_FAMILY_RATE = 0.05  # chance that a clean reference of normal rows loses any row to the screening
_CHOOSING_ROWS = 5000  # held-out rows of a block that the number of components is chosen on


@dataclass(frozen=True)
class Choice:
    """Lags and components with their loss in validation (None where both were given)."""

    lags: int
    components: int
    loss: float | None = None


@dataclass(frozen=True)
class Learnt:
    """A reference and how it came about.

    Attributes:
        reference: The runtime's.
        choice: Lags and components.
        tried: The best choice of each number of lags.
        held: Statistics of the reference rows, each from a model that had not seen its block.
        squares: Mean square of what each kind of chart measures of them, over all variables.
        rows: Rows learnt from.
        screened: Rows left out as outliers.
        theory: Limits as theory has them at the same rate, for comparison.
        notes: Remarks for the model card.
    """

    reference: Reference
    choice: Choice
    tried: list[Choice]
    held: dict[str, Array]
    squares: dict[str, float]
    rows: int
    screened: int
    theory: dict[str, float]
    notes: list[str] = field(default_factory=list)


def standardisation(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each variable; one that is constant in a block gets scale 1."""
    scale = np.nanstd(x, axis=0, ddof=1)
    return np.nanmean(x, axis=0), np.where(scale > 0, scale, 1.0)


def directions(rows: Rows, lags: int) -> tuple[dict[str, Any], Array, Array]:
    """Standardisation and all principal directions, strongest first.

    Returns:
        `mean` and `scale`, the directions as rows, and their variances.
    """
    mean, scale = standardisation(rows.x)
    z = with_lags(np.nan_to_num((rows.x - mean) / scale, nan=0.0), lags)[rows.before >= lags]
    variances, vectors = np.linalg.eigh(z.T @ z / max(1, len(z) - 1))
    vectors = vectors[:, ::-1]
    # The sign of a direction is free: fixed, so that the same rows give the same bundle on every machine.
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return {"mean": mean, "scale": scale, "lags": lags}, (vectors * signs).T, np.maximum(variances[::-1], 0.0)


def reference_of(rows: Rows, choice: Choice, charts: Charts | None = None) -> Reference:
    """A reference without limits: the standardisation and the strongest directions of the rows, and their charts."""
    base, every, variances = directions(rows, choice.lags)
    kept = min(choice.components, int((variances > 1e-9 * variances[0]).sum()))
    content = {**base, "loadings": every[:kept], "variances": variances[:kept]}
    return Reference({**content, "charts": learn_charts(rows, charts)} if charts else content)


def validation_loss(rows: Rows, pca: Pca, lags: int) -> Array:
    """How badly held-out values are told from the rest of their row and the rows before, by number of components.

    Each variable of a row is put where the residual is least, as if it were missing; the mean square of what remains
    of it, in standard deviations, has its least where the model is right: too few components leave out what variables
    have in common, too many follow each variable by itself. It is of the row's own variables whatever the lags are,
    so that numbers of lags can be compared.

    Returns:
        Loss for 1 component and up, to half the width of a row with its lags.

    Source: the unreconstructed variance of Qin, Dunia, J. Process Control 10 (2000) 245, here of held-out blocks.
    """
    width = rows.x.shape[1]
    most = max(1, (lags + 1) * width // 2)
    total, count = np.zeros(most), 0
    for learnt, out in held_out(rows, pca.folds, pca.gap_share, lags):
        base, every, _ = directions(rows.take(learnt), lags)
        reference = Reference({**base, "loadings": every[:most], "variances": np.ones(most)})
        chosen = np.flatnonzero(out & reference.judged(rows.x, rows.before))
        chosen = chosen[:: max(1, len(chosen) // _CHOOSING_ROWS)]
        z = reference.design(rows.x)[chosen]
        scores = z @ every[:most].T
        residual, left = z[:, :width].copy(), np.ones(width)
        for place in range(most):
            residual -= np.outer(scores[:, place], every[place, :width])
            left -= every[place, :width] ** 2
            total[place] += ((residual / np.maximum(left, 1e-6)) ** 2).mean(axis=1).sum()
        count += len(chosen)
    return total / max(count, 1)


def _explaining(rows: Rows, lags: int, share: float) -> int:
    """Components that explain a share of the variance."""
    variances = directions(rows, lags)[2]
    return int(np.searchsorted(np.cumsum(variances) / variances.sum(), share) + 1)


def _choice(rows: Rows, pca: Pca, lags: int) -> Choice:
    loss = validation_loss(rows, pca, lags)
    components = pca.components or int(loss.argmin()) + 1
    if pca.explained is not None:
        components = _explaining(rows, lags, pca.explained)
    return Choice(lags, components, float(loss[min(components, len(loss)) - 1]))


def choose(rows: Rows, pca: Pca) -> list[Choice]:
    """Numbers of lags and components, the best first.

    Args:
        rows: the reference.
        pca: what is given, and what is to be chosen.
    """
    tried = range(pca.max_lags + 1) if pca.lags == "auto" else [pca.lags]
    return sorted((_choice(rows, pca, lags) for lags in tried), key=lambda each: each.loss or 0.0)


def held_statistics(rows: Rows, pca: Pca, choice: Choice, charts: Charts | None = None) -> dict[str, Array]:
    """Statistics of each reference row from a model that has not seen its block, nor the rows beside it."""
    out: dict[str, Array] = {}
    for learnt, block in held_out(rows, pca.folds, pca.gap_share, choice.lags):
        measured = reference_of(rows.take(learnt), choice, charts).measure(rows.x, rows.before)
        for name, values in measured.items():
            out.setdefault(name, np.full(len(values), np.nan))[block] = values[block]
    return out


def held_squares(rows: Rows, pca: Pca, choice: Choice, charts: Charts) -> dict[str, float]:
    """Mean square of what each kind of chart measures of a variable, of rows held out as in `held_statistics`."""
    found: dict[str, list[Array]] = {}
    for learnt, block in held_out(rows, pca.folds, pca.gap_share, choice.lags):
        measured = VariableCharts(learn_charts(rows.take(learnt), charts)).each(rows.x, rows.before)
        for kind, values in measured.items():
            found.setdefault(kind, []).append(values[block].ravel())
    return {kind: float(np.mean(np.concatenate(values) ** 2)) for kind, values in found.items()}


def limits_of(held: dict[str, Array], before: Array, rate: float, persistence: int) -> dict[str, float]:
    """Limits beyond which a share `rate` of the held-out rows is in alarm, for each statistic by itself.

    Limits from the rows that a model was learnt from are too low, for it fits them better than any later row.

    Args:
        held: statistics of `held_statistics`.
        before: rows before each in its run.
        rate: in (0, 1).
        persistence: consecutive rows beyond the limit that make an alarm.

    Raises:
        NotYetError: there are not so many consecutive rows anywhere yet.
    """

    def limit(values: Array) -> float:
        lowest = lowest_of_run(values, before, persistence)
        if np.isnan(lowest).all():
            raise NotYetError(
                "no group has enough rows in a row yet",
                expected=f"reference rows after {persistence - 1} others, which follow each other within max_gap_s",
                found=f"none of {len(values)}",
            )
        found = np.nanquantile(lowest, 1 - rate, method="higher")
        return max(float(found), 1e-12)  # one variable alone leaves no residual

    limits = {name: limit(values) for name, values in held.items()}
    together = {"combined": ["t2", "spe"], "charts": [name for name in held if name in get_args(Kind)]}
    for name, parts in together.items():
        if parts:
            limits[name] = limit(np.maximum.reduce([held[part] / limits[part] for part in parts]))
    return limits


def _plausible(rows: Rows, outlier_z: float) -> Array:
    """Rows none of whose variables lies further than `outlier_z` robust deviations from its median."""
    centre = np.nanmedian(rows.x, axis=0)
    spread = _MAD_TO_SD * np.nanmedian(np.abs(rows.x - centre), axis=0)
    # More than half of the values are the same: the median deviation says nothing of the others.
    spread = np.where(spread > 0, spread, np.nanstd(rows.x, axis=0))
    far = np.abs(rows.x - centre) > outlier_z * np.where(spread > 0, spread, np.inf)
    return np.asarray(~far.any(axis=1))


def _within_theory(rows: Rows, choice: Choice) -> Array:
    """Rows that a clean normal reference would hold, by T2 and SPE of the reference rows themselves."""
    _, _, variances = directions(rows, choice.lags)
    measured = reference_of(rows, choice).measure(rows.x, rows.before)
    count = int((~np.isnan(measured["t2"])).sum())
    alpha, kept = _FAMILY_RATE / (2 * count), min(choice.components, count - 2)
    beyond = measured["t2"] > t2_limit_phase_1(count, kept, alpha)
    rest = variances[choice.components :]
    if rest.sum() > 0:
        beyond |= measured["spe"] > spe_limit(rest, alpha)
    return ~beyond


def _screened(rows: Rows, spec: MonitorSpec) -> tuple[Rows, list[Choice], list[str]]:
    """The reference without its outliers, the choice made on it, and remarks."""
    rows = rows.take(_plausible(rows, spec.reference.outlier_z))
    tried = choose(rows, spec.pca)
    good = _within_theory(rows, tried[0])
    if (~good).mean() > _MOST_SCREENED:
        return rows, tried, ["more reference rows are unusual than outliers could be: none was left out for that"]
    return rows.take(good), tried, []


def _listed(content: dict[str, Any]) -> dict[str, Any]:
    """Arrays as lists, at any depth, as JSON has them."""
    return {
        name: _listed(value) if isinstance(value, dict) else value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in content.items()
    }


def learn(rows: Rows, spec: MonitorSpec) -> Learnt:
    """Learn what is usual from reference rows.

    Args:
        rows: the reference.
        spec: the monitor.

    Raises:
        CellworksError: too few rows.
    """
    if len(rows.x) < MIN_ROWS:
        raise CellworksError(
            "the reference period is too short",
            expected=f"at least {MIN_ROWS} rows to learn what is usual from",
            found=f"{len(rows.x)} rows",
            mend="lengthen the reference period, or wait for more rows",
            where=f"{spec.solution}: reference",
        )
    clean, tried, notes = _screened(rows, spec)
    best = tried[0]
    held = held_statistics(clean, spec.pca, best, spec.charts)
    reference = reference_of(clean, best, spec.charts)
    content = _listed(reference.content)
    content["limits"] = limits_of(held, clean.before, spec.false_alarm_rate, spec.persistence)
    rest = directions(clean, best.lags)[2][len(reference.variances) :]
    theory = {"spe": spe_limit(rest, spec.false_alarm_rate)} if rest.sum() > 0 else {}
    theory["t2"] = t2_limit_phase_2(len(clean.x), len(reference.variances), spec.false_alarm_rate)
    screened = len(rows.x) - len(clean.x)
    squares = held_squares(clean, spec.pca, best, spec.charts) if spec.charts else {}
    return Learnt(Reference(content), best, tried, held, squares, len(clean.x), screened, theory, notes)


def share_chart_limits(learnt: Mapping[str, Learnt], spec: MonitorSpec) -> dict[str, Learnt]:
    """The same references, with limits of the charts that the rows of all groups set together.

    A level that lasts over many rows leaves a group few independent values, and the largest of `n` is exceeded
    by one later value of `n + 1`: ten days of a machine have no quantile of one in a hundred, but they have a spread.
    What a chart measures is in each group's own deviations from row to row. How far it really varies is told by the
    held-out rows of all variables and groups, each held-out block as one value. All else keeps the group's own limits.

    Source: Montgomery, Introduction to Statistical Quality Control, 10.4 (limits by the statistic's own deviation).
    """
    every, first = list(learnt.values()), next(iter(learnt.values())).reference
    kinds = first.charts.kinds if first.charts else []
    beyond = spec.false_alarm_rate / (2 * len(first.mean) * len(kinds))
    factor = float(stats.t.ppf(1 - beyond, len(every) * spec.pca.folds - 1))
    limits = {kind: factor * float(np.sqrt(np.mean([each.squares[kind] for each in every]))) for kind in kinds}

    def shared(reference: Reference) -> Reference:
        return Reference({**reference.content, "limits": {**reference.limits, **limits, "charts": 1.0}})

    return {group: replace(each, reference=shared(each.reference)) for group, each in learnt.items()}
