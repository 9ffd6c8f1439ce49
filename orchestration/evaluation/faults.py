"""Faults put into the home's own plant: the same cells with the same chance, and what gauges show of them beside it.

The twin makes the plant a second time with one characteristic of one machine off its course, and everything that
follows from it in the causal graph. The difference is added to the rows that the platform holds, so that what a monitor
sees without the fault is what it really saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.twin import state
from pipelines.twin.course import SPARE, Course
from pipelines.twin.graph import Scenario
from pipelines.twin.world import World

Array = npt.NDArray[Any]
HORIZON_DAYS = 5
JUMPS, DRIFTS = (0.5, 2.0), (0.2, 0.4)
"""Sizes in standard deviations of the characteristic, at once and per day, up to those of the twin's own scenarios."""
_CELL, _CELL_LEVEL, _STACKING = "cell_id", "cell", "staging.stg_mes__stacking"
_HOURS = {"marts.stacker_hour": ("machine_id", "hour_at")}
"""Tables whose rows are means over the cells that a machine stacked in an hour: columns of the machine and the hour."""


@dataclass(frozen=True)
class Fault:
    """A characteristic of one machine that leaves its course on a day.

    Attributes:
        code: characteristic of the control plan.
        machine_id: the machine; empty for what no machine makes.
        day: production day from which it acts, counted from 0.
        shift: standard deviations at once.
        ramp: further ones each day.
        only: the channel of the machine, or the supplier, that it is about; empty for all.
    """

    code: str
    machine_id: str
    day: int
    shift: float = 0.0
    ramp: float = 0.0
    only: str = ""


@dataclass(frozen=True)
class Moved:
    """What a fault makes of a table's rows.

    Attributes:
        fault: the fault.
        columns: by how much each column moves, (rows,) each.
        named_by: columns that name its characteristic.
        own: where rows tell their characteristic themselves, those that are of the fault's; None: columns name it.
    """

    fault: Fault
    columns: Mapping[str, Array]
    named_by: Sequence[str]
    own: Array | None = None

    @property
    def is_felt(self) -> bool:
        """Whether any row moves at all."""
        return any(np.any(by) for by in self.columns.values())


@dataclass(frozen=True)
class WatchedRows:
    """Rows that a monitor watches, before a fault is put in.

    Attributes:
        keys: key columns by name, (rows,) each.
        time: of each row (datetime64, UTC).
        since: what was learnt from ends here.
        seed: of all draws.
        home: the instance whose rows they are.
    """

    keys: Mapping[str, Array]
    time: Array
    since: np.datetime64
    seed: int
    home: Home


@dataclass(frozen=True)
class Members:
    """Which cells a table's rows are of: `cell` numbers and the `row` of each, shape (n,) each."""

    cell: Array
    row: Array


@dataclass(frozen=True)
class Stacked:
    """Cells in the order of their names: `number`, `machine` (text) and `at` (datetime64, UTC) of stacking, (n,)."""

    number: Array
    machine: Array
    at: Array


class Cause(Protocol):
    """A module of `causes`: faults of one table, and for how long each is waited for."""

    HORIZON_DAYS: int

    def put_in(self, plant: Plant, rows: WatchedRows) -> Iterator[Moved]:
        """Each fault with what it makes of the rows; none where too few days follow what was learnt from."""
        ...


class Plant:
    """A plant, made by the twin once more.

    Args:
        world: the plant as nothing happened to it.
        first_cells: number of the first cell of each production day.
        stacked: its cells.
    """

    def __init__(self, world: World, first_cells: Sequence[int], stacked: Stacked) -> None:
        self._world, self._first, self.stacked = world, np.asarray(first_cells), stacked
        names = [each.id for each in world.site.machines("stacker")]
        stackers = np.array([names.index(name) for name in stacked.machine])
        self._world.course = Course(tuple(first_cells), 0, _by_number(stacked.number, stackers))

    @classmethod
    def of(cls, site: Site, home: Home) -> Plant:
        """The plant of a home.

        Raises:
            CellworksError: the home's rows do not come from the twin.
        """
        known = state.peek(home)
        if known is None:
            raise CellworksError(
                "faults can be put into the twin's plant only",
                expected="a home whose rows `cellworks simulate` delivered",
                found="no state of a twin",
                where=str(home.root),
            )
        return cls(World(site, known.seed, "baseline", known.scale), known.first_cells, _stacked(home))

    @property
    def site(self) -> Site:
        """Its site."""
        return self._world.site

    @property
    def days(self) -> int:
        """Production days that were simulated."""
        return len(self._first)

    def begin_of(self, day: int) -> np.datetime64:
        """When a production day began (UTC): its first cell was stacked."""
        found: np.datetime64 = self.stacked.at[self.stacked.number >= self._first[day]].min()
        return found

    def day_after(self, moment: np.datetime64) -> int:
        """The first production day, counted from 0, that begins after a moment (UTC)."""
        began = np.array([self.begin_of(day) for day in range(self.days)])
        return int(np.searchsorted(began, moment, side="right"))

    def faults(self, columns: Sequence[str], first_day: int, seed: int) -> list[Fault]:
        """Jumps and drifts of each characteristic, up or down, each on a machine and a day drawn by a seed.

        Args:
            columns: watched columns; those that are no characteristic are passed over.
            first_day: earliest day.
            seed: of the draw.
        """
        draw = np.random.default_rng(seed)
        found = []
        for code in columns:
            row = self._world.site.plan.by_code.get(code)
            if row is None:
                continue
            for shift, ramp in (*((jump, 0.0) for jump in JUMPS), *((0.0, drift) for drift in DRIFTS)):
                sign = float(draw.choice([-1.0, 1.0]))
                machine = str(draw.choice(self._world.machines(row)))
                day = int(draw.integers(first_day, self.days - HORIZON_DAYS + 1))
                found.append(Fault(code, machine, day, sign * shift, sign * ramp))
        return found

    def day_of(self, cells: Array) -> Array:
        """Production day on which cells were stacked, by their running numbers."""
        return np.asarray(np.searchsorted(self._first, cells, side="right") - 1)

    def made_by(self, code: str, machine_id: str, every: int) -> Array:
        """Running numbers of each so-manieth cell of which a machine made a characteristic."""
        cells = np.arange(0, int(self.stacked.number.max()) + 1, every)
        row = self._world.site.plan.by_code[code]
        is_own = self._world.machine_no(row, cells) == self._world.machines(row).index(machine_id)
        return np.asarray(cells[is_own])

    def first_cell(self, material: str, lots: Array) -> Array:
        """Running number of the first cell that each lot of a material was meant for."""
        return lots * self._world.cells_per(f"lot:{material}")

    def cells_of(self, code: str, names: Sequence[str]) -> Array:
        """Running number of a cell that each record of a characteristic is of; -1 for what replaced a held or lost one.

        Args:
            code: characteristic.
            names: of cells, batches, rolls or lanes, such as C000000012, AB000037 or AR000005-1.
        """
        level = self._world.level(self._world.site.plan.by_code[code])
        if level == _CELL_LEVEL:
            return numbers_of(names)
        parts = [name.lstrip("ABCR").split("-") for name in names]
        number = np.array([int(part[0]) for part in parts], dtype=np.int64)
        first = number * self._world.cells_per(level)
        if level.endswith("_lane"):
            first += (np.array([int(part[1]) for part in parts], dtype=np.int64) - 1 - first) % 2
        return np.where(number < SPARE, first, -1)

    def characteristics(self, material: str) -> list[str]:
        """Codes of what is measured of a material's lots."""
        rows = self._world.site.plan.rows
        return [row.code for row in rows if row.entity == "material_lot" and row.variant == material]

    def members(self, table: str, keys: Mapping[str, Array]) -> Members | None:
        """The cells behind the rows of a table; None for a table whose rows are not known to be of cells.

        Args:
            table: as the solution names it.
            keys: its key columns.
        """
        if list(keys) == [_CELL]:
            numbers = numbers_of(keys[_CELL])
            return Members(numbers, np.arange(len(numbers)))
        if table not in _HOURS:
            return None
        machine, hour = (keys[name] for name in _HOURS[table])
        place = {key: row for row, key in enumerate(zip(machine, hour.astype("datetime64[h]"), strict=True))}
        hours = self.stacked.at.astype("datetime64[h]")
        row = np.array([place.get(key, -1) for key in zip(self.stacked.machine, hours, strict=True)])
        return Members(self.stacked.number[row >= 0], row[row >= 0])

    def moved(
        self, fault: Fault, members: Members, columns: Sequence[str], rows: int, horizon_days: int = HORIZON_DAYS
    ) -> dict[str, Array]:
        """By how much the fault moves each column of a table's rows within the horizon, (rows,) each.

        Only columns that move are given. Cells of a row count alike.
        """
        last = fault.day + horizon_days
        days = self.day_of(members.cell)
        chosen = (days >= fault.day) & (days < last)
        cells, row = members.cell[chosen], members.row[chosen]
        faulty = copy(self._world)
        faulty.scenario = Scenario(
            "fault", from_day=fault.day, until_day=last, machine_id=fault.machine_id,
            shift={fault.code: fault.shift}, ramp={fault.code: fault.ramp},
        )  # fmt: skip
        count = np.maximum(np.bincount(members.row, minlength=rows), 1)
        found, memo, other = {}, dict[str, Array](), dict[str, Array]()
        for code in columns:
            plan = self._world.site.plan.by_code.get(code)
            if plan is None or not len(cells):
                continue
            keys = self._world.numbers(self._world.level(plan), cells)
            off = faulty.shown(plan, cells, other, keys) - self._world.shown(plan, cells, memo, keys)
            if np.any(off):
                found[code] = np.bincount(row, weights=off, minlength=rows) / count
        return found


def _stacked(home: Home) -> Stacked:
    with reader(home) as con:
        table = con.execute(
            f"SELECT cell_id, machine_id, event_at FROM lake.{_STACKING} WHERE machine_id IS NOT NULL ORDER BY cell_id"
        ).to_arrow_table()
    machines = np.asarray(table.column("machine_id").to_pylist(), dtype=object)
    return Stacked(numbers_of(table.column("cell_id").to_pylist()), machines, table.column("event_at").to_numpy())


def numbers_of(names: Iterable[str]) -> Array:
    """Running numbers of cells by their names, such as C000000012."""
    return np.array([int(name[1:]) for name in names])


def _by_number(numbers: Array, values: Array) -> Array:
    """Values by running number; one that was never recorded has that of the one before."""
    order = np.argsort(numbers)
    places = np.searchsorted(numbers[order], np.arange(int(numbers.max()) + 1), side="right") - 1
    return np.asarray(values[order][np.maximum(places, 0)])
