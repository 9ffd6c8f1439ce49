"""Does a process monitor tell sooner? Faults are put into the home's plant; the monitor reads the rows they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.process_monitor.family import scorer_of
from models.process_monitor.observations import Observations, observe
from models.process_monitor.runtime import Scorer, column_numbers, follow, groups_of, lowest_of_run
from models.process_monitor.spec import MonitorSpec
from models.solution import SolutionSpec
from orchestration.evaluation import waste
from orchestration.evaluation.causes import channels, lots, parameters
from orchestration.evaluation.causes.best_chart import delays_at_best, kind_of
from orchestration.evaluation.faults import HORIZON_DAYS, Cause, Moved, Plant, WatchedRows
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.monitors import ALARMS_A_DAY, HORIZON_H, TOP, Told, delay_h, judged, limit_for
from orchestration.evaluation.outcome import Evaluation
from pipelines.lake.home import Home

_CHART = "shewhart"
_CAUSES: dict[str, Cause] = {
    "marts.formation_channel_day": channels,
    "marts.lot_characteristic": lots,
    "marts.golden_parameter_shift": parameters,
}
"""What puts faults into tables whose rows are neither cells, nor hours of a machine, nor meters."""


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Put faults in, one at a time, and measure how soon the solution's version tells of each."""
    own, found = cast("MonitorSpec", spec), ground.evidence(spec)
    if found.version is None:
        return Evaluation("not_run", found.cannot_tell)
    home, scorer = cast("Home", ground.home), scorer_of(found.version)
    snapshot = found.version.tags.get("lake_snapshot")
    ctx = ModelContext(home=home, site=ground.site, snapshot=int(snapshot) if snapshot else None)
    seen = observe(own, ctx, columns=scorer.bundle["features"])
    watched = _Watched(own, seen, scorer)
    if own.table == waste.TABLE:
        return _of_meters(watched)
    plant = Plant.of(ground.site, home)
    if own.table in _CAUSES:
        return _of_causes(watched, plant, home)
    members = plant.members(own.table, watched.keys)
    if members is None or not seen.has_moment:
        return Evaluation("not_run", f"no fault can be put into {own.table} yet: its rows are not known to be of cells")
    first_day = plant.day_after(watched.learnt_until)
    if first_day + HORIZON_DAYS > plant.days:
        short = first_day + HORIZON_DAYS - plant.days
        return Evaluation("not_run", f"too few days after its reference: simulate {short} more and run a night")
    told = []
    faults = plant.faults(scorer.bundle["features"], first_day, own.seed)
    for number, fault in enumerate(faults):
        ground.tell(f"fault in {fault.code}", number, len(faults))
        moved = plant.moved(fault, members, scorer.bundle["features"], seen.table.num_rows)
        if moved:
            told.append(_told(watched, Moved(fault, moved, [fault.code]), HORIZON_H))
    return judged(told, watched.alarms_a_day, watched.days)


def _of_meters(watched: _Watched) -> Evaluation:
    """How soon waste that is put into meters is told of."""
    seen = watched.seen
    energy_kwh = np.asarray(seen.table.column(waste.ENERGY).to_numpy())
    wastes = waste.put_in(watched.keys, seen.time, energy_kwh, watched.learnt_until, watched.spec.seed)
    told = [
        _told(watched, Moved(fault, moved, [waste.ENERGY]), HORIZON_H)
        for fault, moved in wastes
        if np.any(moved[waste.ENERGY])
    ]
    return judged(told, watched.alarms_a_day, watched.days)


def _of_causes(watched: _Watched, plant: Plant, home: Home) -> Evaluation:
    """How soon faults are told of that a module of `causes` puts into its table."""
    cause = _CAUSES[watched.spec.table]
    rows = WatchedRows(watched.keys, watched.seen.time, watched.learnt_until, watched.spec.seed, home)
    horizon_h = 24.0 * cause.HORIZON_DAYS
    put_in = [moved for moved in cause.put_in(plant, rows) if moved.is_felt]
    told = [_told(watched, moved, horizon_h) for moved in put_in]
    if not told:
        days = f"{cause.HORIZON_DAYS} days after its reference"
        return Evaluation("not_run", f"faults need {days}: simulate more and run a night")
    # Rows of many characteristics in one column have no course in common: a chart is made for each fault by itself.
    parts = [put_in] if all(each.own is None for each in put_in) else [[each] for each in put_in]
    best = np.concatenate([_best_delays(watched, part, horizon_h) for part in parts], axis=1)
    return judged(told, watched.alarms_a_day, watched.days, horizon_h, best)


def _best_delays(watched: _Watched, put_in: Sequence[Moved], horizon_h: float) -> Any:
    """Hours until the best chart finds each fault: at as many alarms as are allowed, and as the monitor raises."""
    seen, features = watched.seen, watched.scorer.bundle["features"]
    order, before = follow(groups_of(seen.table, watched.spec.group)[0], seen.time, watched.spec.max_gap_s)
    time, still = seen.time[order], np.zeros(seen.table.num_rows)
    moved, since_h = [], []
    for each in put_in:
        by = np.column_stack([each.columns.get(name, still) for name in features])[order]
        felt = np.asarray(by.any(axis=1))
        own = felt if each.own is None else felt & each.own[order]
        own = own if own.any() else felt  # only what follows from it shows
        moved.append(np.where(own[:, np.newaxis], by, 0.0))
        since_h.append(np.where(own, (time - time[felt].min()) / np.timedelta64(1, "h"), np.nan))
    return delays_at_best(
        column_numbers(seen.table, features)[order], before, since_h, moved, [kind_of(each) for each in put_in],
        most=[int(a_day * watched.days) for a_day in (ALARMS_A_DAY, watched.alarms_a_day)],
        counted=time > watched.learnt_until, horizon_h=horizon_h,
    )  # fmt: skip


def _plain(column: pa.ChunkedArray) -> Any:
    """A key column as numpy: moments stay moments."""
    if pa.types.is_timestamp(column.type):
        return column.to_numpy()
    return np.asarray(column.to_pylist(), dtype=object)


class _Watched:
    """Rows as they were; the chart's limit is the least at which it alarms no more often than the monitor does."""

    def __init__(self, spec: MonitorSpec, seen: Observations, scorer: Scorer) -> None:
        self.spec, self.seen, self.scorer = spec, seen, scorer
        self.keys = {name: _plain(column) for name, column in seen.keys.items()}
        cut = str(scorer.bundle["record"]["cut"]["after"])
        reference_end = seen.time[seen.is_reference].max() if seen.is_reference.any() else seen.time.min()
        self.learnt_until = max(np.datetime64(cut), reference_end)
        later = seen.time > self.learnt_until
        lowest = self.lowest(seen.table)
        with np.errstate(invalid="ignore"):
            alarms = int(np.count_nonzero(self._begins(lowest["acting"] > 1.0) & later))
        chart = np.where(later, lowest["chart"], np.nan)
        self.limits = {"acting": 1.0, "chart": limit_for(alarms, chart, lambda over: int(self._begins(over).sum()))}
        self.without = self.alarms(lowest)
        self.days = float((seen.time.max() - self.learnt_until) / np.timedelta64(1, "D"))
        self.alarms_a_day = alarms / self.days

    def alarms(self, lowest: dict[str, Any]) -> dict[str, Any]:
        """Rows in alarm by the monitor and by the chart."""
        with np.errstate(invalid="ignore"):
            return {name: values > self.limits[name] for name, values in lowest.items()}

    def lowest(self, table: pa.Table) -> dict[str, Any]:
        """What a limit must lie below for a row to be in alarm: by the monitor, and by a chart of each variable.

        The monitor waits for its rows in a row; a Shewhart chart does not, and has wider limits for that.
        """
        ratios = self.scorer.statistics(table)
        order, before = self._order()
        found = {}
        acting = ("acting", self.scorer.bundle["statistic"], self.spec.persistence)
        for name, statistic, rows in (acting, ("chart", _CHART, 1)):
            values = np.full(table.num_rows, np.nan)
            values[order] = lowest_of_run(ratios[statistic][order], before, rows)
            found[name] = values
        return found

    def _order(self) -> tuple[Any, Any]:
        codes = groups_of(self.seen.table, self.spec.group)[0]
        return follow(codes, self.seen.time, self.spec.max_gap_s)

    def _begins(self, alarms: Any) -> Any:
        """Rows in alarm whose row before in the run was not."""
        order, before = self._order()
        sorted_alarms = alarms[order]
        begins = sorted_alarms & ~(np.roll(sorted_alarms, 1) & (before > 0))
        out = np.zeros(len(alarms), dtype=bool)
        out[order] = begins
        return out


def _told(watched: _Watched, moved: Moved, horizon_h: float) -> Told:
    table = watched.seen.table
    for name, by in moved.columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(table.column(name).to_numpy() + by))
    touched = np.any([by != 0 for by in moved.columns.values()], axis=0)
    begin = watched.seen.time[touched].min()
    since_h = np.where(touched, (watched.seen.time - begin) / np.timedelta64(1, "h"), np.nan)
    alarms = watched.alarms(watched.lowest(table))
    own, rows = delay_h(alarms["acting"], watched.without["acting"], since_h, horizon_h)
    chart, _ = delay_h(alarms["chart"], watched.without["chart"], since_h, horizon_h)
    return Told(moved.fault, own, chart, bool(len(rows)) and _names(watched, table, moved, rows[:TOP]))


def _names(watched: _Watched, table: pa.Table, moved: Moved, rows: Any) -> bool:
    """Whether the characteristic is among the first reasons: of the first row, or where a row has one, the first rows'.

    Args:
        watched: the rows, and who scores them.
        table: the rows with the fault.
        moved: the fault.
        rows: the first in alarm by it.
    """
    if moved.own is not None:
        return bool(moved.own[rows].any())
    shares = watched.scorer.contributions(table, rows[:1])[0]
    first = [watched.scorer.bundle["features"][place] for place in np.argsort(-shares)[:TOP]]
    return not set(first).isdisjoint(moved.named_by)
