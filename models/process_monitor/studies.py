"""What stands beside the charts of a variable: what its process is capable of, and whether its gauge can tell."""

from __future__ import annotations

import numpy as np

from models.context import ModelContext
from models.features.source import open_tables
from models.process_monitor.observations import Observations
from models.process_monitor.runtime import Array, column_numbers, follow, groups_of
from models.process_monitor.spec import Gauge, MonitorSpec, Specification
from pipelines.charts import capability as indices
from pipelines.charts.constants import LIMIT_SIGMAS
from pipelines.charts.gauge import GaugeStudy, crossed, study_by_anova
from pipelines.charts.limits import MIN_POINTS, individuals
from pipelines.charts.run_length import shewhart_arl
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier

Told = indices.Capability | indices.NotCapable


def capabilities(spec: MonitorSpec, seen: Observations, learnt: Array, later: Array) -> dict[str, Told]:
    """Capability of each variable with a specification, or why there is no figure.

    Args:
        spec: the monitor.
        seen: all rows.
        learnt: rows of phase I (a mask).
        later: rows of phase II (a mask), which are judged: phase I has chosen what belongs to it.

    Raises:
        CellworksError: a specified column is no watched number.
    """
    return {name: _capability(spec, seen, (learnt, later), name) for name in spec.capability}


def gauge_studies(spec: MonitorSpec, ctx: ModelContext) -> dict[str, GaugeStudy]:
    """Repeatability and reproducibility of each studied gauge.

    Args:
        spec: the monitor.
        ctx: snapshot and files.

    Raises:
        CellworksError: a study cannot be read or is not complete.
    """
    return {name: _gauge(spec, ctx, name, gauge) for name, gauge in spec.gauges.items()}


def _capability(spec: MonitorSpec, seen: Observations, phases: tuple[Array, Array], name: str) -> Told:
    if name not in seen.selection.numbers:
        raise CellworksError(
            f"'{name}' has a specification and is not watched",
            expected=f"one of {', '.join(seen.selection.numbers[:30])}",
            found=name,
            mend="select the column under features, or take the specification away",
            where=f"{spec.solution}: capability.{name}",
        )
    codes, _ = groups_of(seen.table, spec.group)
    order, before = follow(codes, seen.time, spec.max_gap_s)
    values = column_numbers(seen.table, [name])[order, 0]
    learnt, later = (phase[order] for phase in phases)
    if np.isfinite(values[learnt]).sum() < MIN_POINTS:
        return indices.NotCapable(f"fewer than {MIN_POINTS} values in the reference")
    within = individuals(values[learnt], _begins(before, learnt))
    beyond = np.abs(values[later] - within.centre) > LIMIT_SIGMAS * within.sigma
    # A row that stays beyond is the same signal.
    signals = int((beyond & ~(np.roll(beyond, 1) & ~_begins(before, later))).sum())
    limits = _limits(spec.capability[name])
    return indices.capability(values[later], limits, within, signals, shewhart_arl(0.0))


def _begins(before: Array, chosen: Array) -> Array:
    """Of the chosen rows those that follow none of them: the first of a run, or one after a row left out."""
    place = np.flatnonzero(chosen)
    out = before[chosen] < 1
    out[1:] |= np.diff(place) > 1
    out[:1] = True
    return np.asarray(out)


def _limits(asked: Specification) -> indices.Specification:
    return indices.Specification(asked.lower, asked.upper, asked.target)


def _gauge(spec: MonitorSpec, ctx: ModelContext, name: str, gauge: Gauge) -> GaugeStudy:
    wanted = [gauge.part, gauge.operator, gauge.value]
    with open_tables(ctx, gauge.table) as tables:
        tables.columns_with(gauge.table, wanted, f"{spec.solution}: gauges.{name}")
        part, operator, value = (quote_identifier(column) for column in wanted)
        columns = f"CAST({part} AS VARCHAR), CAST({operator} AS VARCHAR), CAST({value} AS DOUBLE)"
        rows = tables.arrow(f"SELECT {columns} FROM {tables.relation(gauge.table)}")
    parts, operators = (np.asarray(rows.column(place).to_pylist(), dtype=str) for place in (0, 1))
    values = np.asarray(rows.column(2).to_numpy(), dtype=np.float64)
    try:
        return study_by_anova(crossed(parts, operators, values), gauge.tolerance)
    except CellworksError as error:
        raise CellworksError(
            error.what,
            expected=error.expected,
            found=error.found,
            mend=error.mend,
            where=f"{spec.solution}: gauges.{name}",
        ) from error
