"""One section of the line alone: mother rolls of one electrode at the coater or the calender, one after the other.

The physics is the plant's own (`World`); only what doesn't bear on the section is left out. Set-points can be moved
between two rolls, as the plant's decisions do, so that a controller can be tried in a closed loop within seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipelines.control_plan.site import Site
from pipelines.twin import delivery
from pipelines.twin.clock import HOUR
from pipelines.twin.course import Course, Move
from pipelines.twin.equipment import Equipment
from pipelines.twin.interventions import Interventions
from pipelines.twin.line import run_day
from pipelines.twin.table import Bools, Floats, Ints, Table, concat, take
from pipelines.twin.upstream import COATING_H, Upstream
from pipelines.twin.world import World

Step = Literal["coating", "calendering"]
FEED_OF: dict[Step, str] = {"coating": "mes__mother_roll", "calendering": "mes__calendering"}


@dataclass(frozen=True)
class Rolls:
    """Rolls in the order in which the step ended, shape (n,) each.

    Attributes:
        number: of the roll. first: first cell that it goes into. batch: number of its slurry batch.
        is_lost: scrapped when it came off the coater; such a roll has the number of the one in its place.
        at_s: when the step ended, plant seconds.
    """

    number: Ints
    first: Ints
    batch: Ints
    is_lost: Bools
    at_s: Floats

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True)
class Batches:
    """Slurry batches in the order in which they were ready: number, first cell, when ready and known, scrapped when.

    `gone_s` is when a scrapped batch was known to be scrapped, infinite for all others.
    """

    number: Ints
    first: Ints
    ready_s: Floats
    known_s: Floats
    gone_s: Floats


class Section:
    """The first days of a plant up to its stackers, whose pace is the pace of everything before them.

    Args:
        site: the site.
        seed: of the plant.
        days: production days.
        scenario: one of twin.yaml.
        scale: size of the plant; the number of rolls hardly depends on it.
    """

    def __init__(self, site: Site, seed: int, days: int, scenario: str = "baseline", scale: float = 1.0) -> None:
        self._world = World(site, seed, scenario, scale)
        equipment = Equipment(
            self._world, Interventions(self._world, ()), until_s=self._world.clock.bounds(days - 1)[1]
        )
        stacked = [run_day(self._world, equipment, day).stacked_s for day in range(days)]
        firsts = np.cumsum([0, *(len(each) for each in stacked[:-1])])
        self._world.course = Course(first_cells=tuple(firsts.tolist()))
        self._stacked_s = np.concatenate(stacked)
        self._days = days

    def electrode(self, name: str) -> Electrode:
        """The rolls of one electrode with the recipe's set-points, each time anew."""
        return Electrode(copy(self._world), name, self._days, self._stacked_s)


class Electrode:
    """Batches and rolls of one electrode.

    Which of them are scrapped follows from the recipe's set-points: a move of what scraps them changes their values,
    but not who is scrapped.

    Args:
        world: the plant; its set-points are moved here.
        name: cathode or anode.
        days: production days.
        stacked_s: plant seconds at which the cells, by their running number, were stacked.
    """

    def __init__(self, world: World, name: str, days: int, stacked_s: Floats) -> None:
        self.world, self.name = world, name
        self._days, self._stacked_s = days, stacked_s

    def _made(self, level: str, lead: str) -> tuple[Table, World, Bools]:
        """Entities of a level by number with first cell and time, the plant that made the scrapped ones, and which."""
        upstream = Upstream(self.world, np.arange(len(self._stacked_s)), self._stacked_s)
        numbers, first, at_s = upstream.new(level, lead)
        world, lost = upstream.lost(level, numbers, first)
        return {"number": numbers, "first": first, "at_s": at_s}, world, lost

    def batches(self) -> Batches:
        """All slurry batches, the scrapped ones among them."""
        made, _, lost = self._made(f"{self.name}_batch", "lead.batch_h")
        took_s = self.world.p("lead.mixing_h") * HOUR
        gone = take(made, lost)
        gone["at_s"] = gone["at_s"] - took_s
        every = concat([made | {"gone_s": np.full(len(lost), np.inf)}, gone | {"gone_s": gone["at_s"] + 600.0}])
        order = np.argsort(every["at_s"], kind="stable")
        every = take(every, order)
        return Batches(every["number"], every["first"], every["at_s"], every["at_s"] + 0.5 * HOUR, every["gone_s"])

    def rolls(self, step: Step) -> Rolls:
        """All rolls that the step worked on; the calender never sees those that were scrapped at the coater."""
        made, _, lost = self._made(f"{self.name}_roll", "lead.roll_h")
        tables = [made | {"is_lost": np.zeros(len(lost), dtype=bool)}]
        if step == "coating":
            gone = take(made, lost)
            tables.append(gone | {"at_s": gone["at_s"] - COATING_H * HOUR, "is_lost": np.ones(lost.sum(), dtype=bool)})
        else:
            tables[0]["at_s"] = made["at_s"] + (self.world.p("lead.roll_h") - self.world.p("lead.calender_h")) * HOUR
        every = concat(tables)
        every = take(every, np.argsort(every["at_s"], kind="stable"))
        batch = self.world.numbers(f"{self.name}_batch", every["first"])
        return Rolls(every["number"], every["first"], batch, every["is_lost"], every["at_s"])

    def deliveries(self, step: Step, rolls: Rolls) -> Table:
        """Records of the rolls as they reach the platform, by the time at which they are known.

        Returns:
            row (of `rolls`), known_s, factor (by which the main figure of the record is off: 1 but for a corrected one,
            which comes after the first). A roll may have none, or several of which the newest counts.
        """
        feed = FEED_OF[step]
        known_s = rolls.at_s + (120.0 if step == "coating" else 60.0)
        days = self.world.course.day_of(rolls.first, self.world.cells_per_day)
        tables = []
        for day in range(self._days):
            rows = np.flatnonzero(days == day)
            # A day's records come with both electrodes' rolls, as many of each; which of them suffer depends on it.
            both = np.concatenate([rows, rows])
            whose = np.repeat(["cathode", "anode"], len(rows))
            table = {"row": both, "whose": whose, "factor": np.ones(len(both)), "known_s": known_s[both]}
            found = delivery.with_flaws(self.world, day, feed, table)
            tables.append(take(found, found["whose"] == self.name))
        every = concat(tables)
        return take(every, np.argsort(every["known_s"], kind="stable"))

    def shown(self, code: str, rolls: Rolls, rows: Ints) -> Floats:
        """What the gauge shows of a characteristic of some rolls, with the set-points moved so far."""
        row = self.world.site.plan.by_code[code]
        return self._by_fate(rolls, rows, lambda world, first, keys: world.shown(row, first, {}, keys))

    def true(self, code: str, rolls: Rolls, rows: Ints) -> Floats:
        """The true values behind them, without the gauge's error."""
        row = self.world.site.plan.by_code[code]
        return self._by_fate(rolls, rows, lambda world, first, _: world.value(row, world.z(code, first, {})))

    def _by_fate(self, rolls: Rolls, rows: Ints, value: Callable[[World, Ints, Ints], Floats]) -> Floats:
        """Values of some rolls, those of scrapped ones by the plant that made these."""
        level = f"{self.name}_roll"
        found = np.empty(len(rows))
        for fate, world in ((False, self.world), (True, self.world.of_lost(level))):
            own = rolls.is_lost[rows] == fate
            if own.any():
                first = rolls.first[rows[own]]
                found[own] = value(world, first, world.numbers(level, first))
        return found

    def batch_values(self, code: str, batches: Batches) -> Floats:
        """What was shown of a characteristic of the batches."""
        row, level = self.world.site.plan.by_code[code], f"{self.name}_batch"
        found = np.empty(len(batches.first))
        for fate, world in ((False, self.world), (True, self.world.of_lost(level))):
            own = np.isfinite(batches.gone_s) == fate
            first = batches.first[own]
            found[own] = world.shown(row, first, {}, world.numbers(level, first))
        return found

    def move(self, code: str, rolls: Rolls, row: int, value: float) -> None:
        """From this roll on the line aims at `value`; rolls before it stay as they are."""
        course = self.world.course
        moves = (*course.moves.get(code, ()), Move(int(rolls.first[row]), value))
        self.world.course = replace(course, moves={**course.moves, code: moves})
