"""Faults of recipe parameters: from a day on, a machine runs at another value, or creeps away from the one it had.

What follows from the parameter in the causal graph moves with it. A row is the mean of a machine's shift and tells how
far it lies from the mean of the machine's earlier shifts, in their own spread: a fault moves all later rows and widens
the spread that they are told in, so that the figure is worked out anew by the mart's formula. Horizon of ten days: a
parameter gives at most three rows a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from orchestration.evaluation.causes.sizes import drawn
from orchestration.evaluation.faults import DRIFTS, JUMPS, Array, Fault, Members, Moved, Plant, WatchedRows
from pipelines.curation.plan_data import parameter_groups
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

HORIZON_DAYS = 10
LEAST_SHIFTS = 4
"""Earlier shifts below which a row has no figure."""
_LEAD_DAYS = 2  # a batch is made so long before its cells are stacked, by which the twin dates a fault
_TIMES = 12  # series that each size is put into
_ROWS, _FIGURE = "marts.golden_parameter_shift", "deviation_sigma"
_NAMES = {"slurry_batch": "slurry_batch_id", "mother_roll": "mother_roll_id", "daughter_roll": "daughter_roll_id"}
_KEYS = ("machine_id", "characteristic_code", "shift_from_at")


def put_in(plant: Plant, rows: WatchedRows) -> Iterator[Moved]:
    """Each fault in a parameter of a machine and from a day that are drawn."""
    shown = _Shown(rows)
    groups = [_Records(plant, rows.home, group) for group in parameter_groups(plant.site)]
    last = {code: each.last_day + 1 - HORIZON_DAYS for each in groups for code in each.codes}
    first = plant.day_after(rows.since) + _LEAD_DAYS
    series = [each for each in shown.series if first <= last[each[1]]]
    draw = np.random.default_rng(rows.seed)
    for shift, ramp in drawn(JUMPS, DRIFTS, _TIMES, draw) if series else ():
        machine, code = series[draw.integers(len(series))]
        fault = Fault(code, machine, int(draw.integers(first, last[code] + 1)), shift, ramp)
        moved: dict[tuple[str, str], dict[Any, float]] = {}
        for each in groups:
            moved.update(each.moved(plant, fault))
        figure = shown.figure_of(moved)
        yield Moved(fault, {_FIGURE: figure}, [_FIGURE], shown.is_of(machine, code))


class _Records:
    """Records of one feed and machine class: a cell that each is of, and its machine and shift."""

    def __init__(self, plant: Plant, home: Home, group: dict[str, Any]) -> None:
        self.codes = [str(each["code"]) for each in group["parameters"]]
        name = _NAMES.get(plant.site.plan.by_code[self.codes[0]].entity, "cell_id")
        only = f" AND electrode_code = '{group['electrode']}'" if group["electrode"] else ""
        with reader(home) as con:
            found = con.execute(
                f'SELECT "{name}" AS name, "{group["machine"]}" AS machine, shift_from_at '
                f"FROM lake.staging.stg_{group['feed']} ASOF JOIN (SELECT DISTINCT shift_from_at FROM lake.{_ROWS}) "
                f'ON event_at >= shift_from_at WHERE "{group["machine"]}" IS NOT NULL{only}'
            ).to_arrow_table()
        cells = plant.cells_of(self.codes[0], found.column("name").to_pylist())
        keys = list(zip(found.column("machine").to_pylist(), found.column("shift_from_at").to_pylist(), strict=True))
        self._shifts = sorted(set(keys))
        place = {key: row for row, key in enumerate(self._shifts)}
        row, is_own = np.array([place[key] for key in keys], dtype=np.int64), cells >= 0
        self._members = Members(cells[is_own], row[is_own])
        self.last_day = int(plant.day_of(cells[is_own]).max()) if is_own.any() else -1

    def moved(self, plant: Plant, fault: Fault) -> dict[tuple[str, str], dict[Any, float]]:
        """By how much the mean of a machine and parameter moves in each shift, where it does."""
        found = plant.moved(fault, self._members, self.codes, len(self._shifts), HORIZON_DAYS)
        out: dict[tuple[str, str], dict[Any, float]] = {}
        for code, by in found.items():
            for row in np.flatnonzero(by):
                machine, shift = self._shifts[row]
                out.setdefault((machine, code), {})[shift] = float(by[row])
        return out


class _Shown:
    """The mart's rows by machine and parameter, and where each is among the rows that are watched."""

    def __init__(self, rows: WatchedRows) -> None:
        self._keys = rows.keys
        keys = (rows.keys[name].tolist() for name in _KEYS)
        self._place = {key: at for at, key in enumerate(zip(*keys, strict=True))}
        with reader(rows.home) as con:
            found = con.execute(
                "SELECT machine_id, characteristic_code, list(shift_from_at ORDER BY shift_from_at), "
                "list(parameter_mean - nominal ORDER BY shift_from_at), list(parameter_count ORDER BY shift_from_at) "
                f"FROM lake.{_ROWS} GROUP BY ALL ORDER BY ALL"
            ).fetchall()
        self._series = {
            (machine, code): (shifts, np.array(values, dtype=float), np.array(counts, dtype=float))
            for machine, code, shifts, values, counts in found
        }

    @property
    def series(self) -> list[tuple[str, str]]:
        """Machine and parameter of each."""
        return list(self._series)

    def is_of(self, machine: str, code: str) -> Array:
        """Watched rows of a machine's parameter."""
        return np.asarray((self._keys["machine_id"] == machine) & (self._keys["characteristic_code"] == code))

    def figure_of(self, moved: dict[tuple[str, str], dict[Any, float]]) -> Array:
        """By how much the figure of each watched row moves when means of shifts do."""
        out = np.zeros(len(self._place))
        for (machine, code), by in moved.items():
            shifts, values, counts = self._series[(machine, code)]
            moved_by = np.array([by.get(shift, 0.0) for shift in shifts])
            off = figures(values + moved_by, counts) - figures(values, counts)
            for shift, each in zip(shifts, off, strict=True):
                at = self._place.get((machine, code, shift))
                if at is not None and np.isfinite(each):
                    out[at] = each
        return out


def figures(values: Array, counts: Array) -> Array:
    """Quesenberry's Q of each of a machine's shifts for an unknown mean and spread, NaN where too few are before it.

    Args:
        values: means of the shifts in their order, (shifts,).
        counts: records that each is the mean of, (shifts,): it weighs by them.
    """
    count = np.arange(len(values))
    weight, summed, squared = (np.cumsum(each) - each for each in (counts, counts * values, counts * values**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (squared - summed**2 / weight) / (count - 1.0)
        away = (values - summed / weight) / np.sqrt(variance * (1 / counts + 1 / weight))
        free = count - 1.0
        normal = np.sign(away) * (8 * free + 1) / (8 * free + 3) * np.sqrt(free * np.log1p(away**2 / free))
    return np.asarray(np.where((count >= LEAST_SHIFTS) & np.isfinite(normal), normal, np.nan))
