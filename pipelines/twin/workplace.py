"""What lies in a machine in each minute: the entity in work, and what the causal graph says of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.control_plan.plan import Characteristic, Machine
from pipelines.twin.clock import HOUR
from pipelines.twin.graph import HUMIDITY
from pipelines.twin.interventions import offset_h
from pipelines.twin.table import Floats, Ints
from pipelines.twin.world import World

Minutes = NDArray[np.float32]
_MACHINES = ("machine", "machine_hour")


@dataclass(frozen=True)
class Stacked:
    """Stacking moments: of the cells under way as they were, of earlier and later ones at the plant's usual pace.

    Attributes:
        first: number of the first cell under way.
        stacked_s: plant seconds at which it and its followers were stacked, ascending.
        until_s: end of what was simulated; cells to come are stacked later.
        pace_s: seconds from one cell to the next in usual production.
    """

    first: int
    stacked_s: Floats
    until_s: float
    pace_s: float

    @property
    def _next(self) -> int:
        return self.first + len(self.stacked_s)

    @property
    def _begin_s(self) -> float:
        return float(self.stacked_s[0]) if len(self.stacked_s) else self.until_s

    def moment(self, cells: Ints) -> Floats:
        """Plant seconds of stacking, by running number."""
        earlier = self._begin_s - (self.first - cells) * self.pace_s
        later = self.until_s + (cells - self._next + 1) * self.pace_s
        moments: Floats = np.where(cells < self.first, earlier, later)
        known = (cells >= self.first) & (cells < self._next)
        moments[known] = self.stacked_s[cells[known] - self.first]
        return moments

    def number(self, at_s: float) -> int:
        """Running number of the first cell that is stacked at a moment or later."""
        if at_s < self._begin_s:
            return self.first - int((self._begin_s - at_s) // self.pace_s)
        if at_s > self.until_s:
            return self._next + int((at_s - self.until_s) // self.pace_s)
        return self.first + int(np.searchsorted(self.stacked_s, at_s))


@dataclass(frozen=True)
class Workplace:
    """Machines of one kind that work on one kind of entity.

    Attributes:
        made: code of a characteristic that these machines make; empty for air and media, which no entity passes.
        level: of the entity in work.
        machines: ids, in the order of their numbers; empty where whatever is in work at the step counts.
        trays: of a machine; 1 where they make no difference.
        offset_s: from a cell's stacking to the moment at which what it is made of comes into work.
    """

    made: str
    level: str
    machines: tuple[str, ...]
    trays: int
    offset_s: float

    def slot(self, machine: Machine | None, tray: int) -> int:
        """Number of a tray of a machine among all of the workplace."""
        return self.machines.index(machine.id) * self.trays + tray if machine and self.machines else 0

    def on_day(self, world: World, stacked: Stacked, day: int) -> Work:
        """What is in work on a production day."""
        begin, end = world.clock.bounds(day)
        size = world.cells_per(self.level)
        # A machine holds its entity until the next one comes: look back over a turn of all machines.
        since = stacked.number(begin - self.offset_s) - self._turn(world, size)
        until = stacked.number(end - self.offset_s)
        first: Ints = np.arange(since // size, until // size + 1, dtype=np.int64) * size
        if self.level.endswith("_lane"):
            first = np.repeat(first, 2) + np.tile([0, 1], len(first))
        begins = np.ceil((stacked.moment(first) + self.offset_s - begin) / 60)
        slots = max(1, len(self.machines) * self.trays)
        return Work(world, day, first, *_spans(self._slots(world, first), begins, slots, int((end - begin) // 60)))

    def _turn(self, world: World, size: int) -> int:
        """Cells after which each machine has had its turn again; stackers take turns as they please."""
        kind = world.site.plan.by_code[self.made].machine_class if self.made else ""
        if kind == "stacker":
            return int(world.cells_per_day)
        of_one = {"formation_cabinet": world.channels, "grading_cabinet": world.channels}
        of_one["bake_oven"] = world.cells_per("bake_batch")
        return max(1, len(self.machines)) * of_one.get(kind, size)

    def _slots(self, world: World, first: Ints) -> Ints:
        if not self.machines:
            return np.zeros(len(first), dtype=np.int64)
        machine = world.machine_no(world.site.plan.by_code[self.made], first)
        return machine * self.trays + (first % world.channels // world.tray_cells if self.trays > 1 else 0)


@dataclass
class Work:
    """A day's entities in work at a workplace.

    Attributes:
        first: first cell of each entity.
        order: entities by slot and time, each slot's first one being nothing (-1).
        lengths: minutes that each of `order` is in work.
        slots: number of slots.
    """

    world: World
    day: int
    first: Ints
    order: Ints
    lengths: Ints
    slots: int
    _memo: dict[str, Floats] = field(default_factory=dict)

    def minutes_of(self, code: str) -> Minutes:
        """Standardised value of a node, of the entity in work, by slot and minute."""
        if code == HUMIDITY:
            count = int(self.lengths.sum()) // self.slots
            return np.full((self.slots, count), self.world.humidity(self.day), dtype=np.float32)
        # Nothing known to be in work shows the usual: the value 0 at the end stands for it.
        values = np.append(self.world.z(code, self.first, self._memo), 0.0).astype(np.float32)
        return np.repeat(values[self.order], self.lengths).reshape(self.slots, -1)


def _spans(slot: Ints, begins: Floats, slots: int, minutes: int) -> tuple[Ints, Ints, int]:
    """Order by slot and time with the minutes that each entity is in work: until the slot's next one comes."""
    every = np.concatenate([np.arange(slots), slot])
    starts = np.concatenate([np.full(slots, -np.inf), begins])
    order = np.lexsort((starts, every))
    start = np.clip(starts[order], 0, minutes).astype(np.int64)
    after = np.append(start[1:], minutes)
    after[np.flatnonzero(np.diff(every[order]))] = minutes
    return np.maximum(order - slots, -1), after - start, slots


def workplace_of(world: World, row: Characteristic, machine: Machine | None, cause: str) -> Workplace:
    """Where a cause acts on what shows in a machine's points.

    A point of a machine that makes something of entities shows what that machine has in work; air and media (a dry
    room, a chiller) show what is in work at the step of the cause, whichever machine does it.
    """
    electrode = row.variant or (machine.variant if machine else "")
    made = next((each for each in world.site.plan.rows if _is_made_there(each, row, electrode)), None)
    by = made or world.site.plan.by_code.get(cause)
    if by is None:
        return Workplace("", "cell", (), 1, 0.0)
    level = world.level(by)
    offset_s = offset_h(world, level, by.step) * HOUR
    if made is None:
        return Workplace("", level, (), 1, offset_s)
    return Workplace(made.code, level, tuple(world.machines(made)), dict(row.positions).get("tray", 1), offset_s)


def _is_made_there(made: Characteristic, row: Characteristic, electrode: str) -> bool:
    is_there = made.machine_class == row.machine_class and made.step == row.step
    return is_there and made.entity not in _MACHINES and made.variant in ("", electrode)
