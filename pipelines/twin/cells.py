"""Records of cells, stacking to grading; a cell that is lost leaves a scrap record and no further ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.control_plan.derive import characteristics
from pipelines.control_plan.product import Grade
from pipelines.twin.clock import HOUR
from pipelines.twin.losses import is_lost
from pipelines.twin.names import daughter_id, lot_id
from pipelines.twin.rng import hash_uniform
from pipelines.twin.table import Array, Bools, Floats, Ints, Table, codes, concat, take
from pipelines.twin.upstream import ELECTRODES
from pipelines.twin.world import World

# Where cells are lost, in the order of the line: step, reason, name of the loss in twin.yaml.
LOSSES = (
    ("hipot", "short", "hipot"),
    ("tab_welding", "weak_weld", "weld"),
    ("leak_test", "leak", "leak"),
    ("filling", "spill", "filling"),
    ("formation", "abnormal_curve", "formation"),
)  # fmt: skip


def life_h(world: World) -> float:
    """Hours from a cell's stacking after which nothing more happens to it."""
    return world.p("lead.grading_h") + world.p("lead.grading_jitter_h") + world.p("lead.retest_h")


@dataclass(frozen=True)
class DueCells:
    """Cells to which something happens on a day, by what it is; most are in none or one of these."""

    stacked: Cells
    assembled: Cells
    filled: Cells
    formed: Cells
    aged: Cells
    graded: Cells
    retested: Cells

    @classmethod
    def of_day(cls, world: World, cells: Ints, stacked_s: Floats, begin: float, end: float) -> DueCells:
        """Those of a day.

        Args:
            world: the plant.
            cells: running numbers of all cells whose life isn't over, ascending.
            stacked_s: plant seconds of stacking.
            begin: of the day, in plant seconds.
            end: of the day, in plant seconds.
        """
        everyone = Cells(world, cells, stacked_s)

        def due(at: Floats) -> Cells:
            rows = (at >= begin) & (at < end)
            return Cells(world, cells[rows], stacked_s[rows])

        return cls(
            stacked=due(stacked_s),
            assembled=due(everyone.at("assembly_h")),
            filled=due(everyone.at("filling_h")),
            formed=due(everyone.at("formation_h")),
            aged=due(everyone.at("ageing_h")),
            graded=due(everyone.graded_s),
            retested=due(everyone.retested_s),
        )

    def records(self) -> dict[str, Table]:
        """Records of what happens to them, by feed."""
        return {
            "mes__stacking": self.stacked.stacking(),
            "mes__assembly": self.assembled.assembly(),
            "mes__filling": self.filled.filling(),
            "tester__formation": self.formed.formation(),
            "tester__ageing": self.aged.ageing(),
            "tester__grading": concat([self.graded.grading(), self.retested.retest()]),
            "mes__scrap": concat(
                [
                    self.stacked.scrap(("hipot",), "hipot_h"),
                    self.assembled.scrap(("tab_welding", "leak_test"), "assembly_h"),
                    self.filled.scrap(("filling",), "filling_h"),
                    self.formed.scrap(("formation",), "formation_h"),
                ]
            ),
        }


class Cells:
    """Some cells and what happens to them.

    Args:
        world: the plant.
        cells: running numbers.
        stacked_s: plant seconds of stacking.
    """

    def __init__(self, world: World, cells: Ints, stacked_s: Floats) -> None:
        self._world = world
        self._cells = cells
        self.stacked_s = stacked_s
        self._memo: dict[str, Floats] = {}
        self._lost: dict[str, Bools] = {}

    @property
    def numbers(self) -> Ints:
        """Running numbers."""
        return self._cells

    @cached_property
    def ids(self) -> Array:
        """Identifiers."""
        return codes("C", self._cells, 9).astype(object)

    def z(self, code: str) -> Floats:
        """Standardised true values of a characteristic or a hidden cause."""
        return self._world.z(code, self._cells, self._memo)

    def at(self, lead: str) -> Floats:
        """Plant seconds at which something happens to each, by the name of its lead in twin.yaml."""
        return self.stacked_s + self._world.p(f"lead.{lead}") * HOUR

    @property
    def graded_s(self) -> Floats:
        """Plant seconds of the first grading."""
        jitter_h = self._world.p("lead.grading_jitter_h") * hash_uniform(self._world.salt("grading"), self._cells)
        return self.at("grading_h") + jitter_h * HOUR

    @property
    def retested_s(self) -> Floats:
        """Plant seconds of the second grading of those that have one."""
        return self.graded_s + self._world.p("lead.retest_h") * HOUR

    def lost(self, loss: str) -> Bools:
        """Cells that a step would lose if they got there."""
        if loss not in self._lost:
            self._lost[loss] = is_lost(self._world, loss, self._cells, self.z)
        return self._lost[loss]

    def lost_at(self) -> Array:
        """Step at which each cell is lost; empty for those that reach the grading."""
        step: Array = np.full(len(self._cells), "", dtype=object)
        for code, _, loss in reversed(LOSSES):
            step[self.lost(loss)] = code
        return step

    def _alive(self, *before: str) -> Bools:
        alive: Bools = np.ones(len(self._cells), dtype=bool)
        for step, _, loss in LOSSES:
            if step in before:
                alive &= ~self.lost(loss)
        return alive

    def came_to(self, step: str) -> Bools:
        """Cells that no step before this one lost."""
        steps = [code for code, _, _ in LOSSES]
        return self._alive(*steps[: steps.index(step)])

    def _characteristics(self, feed: str, test_no: int = 1) -> Table:
        world = self._world
        return {
            row.code: world.shown(row, self._cells, self._memo, self._cells, test_no)
            for row in characteristics(world.site, feed)
        }

    def machine_no(self, machine_class: str) -> Ints:
        """Which machine of a class each goes through, from 0: in turn, by batch, or a whole cabinet at a time."""
        world, cells = self._world, self._cells
        count = len(world.site.machines(machine_class))
        if machine_class == "stacker":
            return world.course.stacker_of(cells, count)
        if machine_class == "bake_oven":
            return world.numbers("bake_batch", cells) % count
        if machine_class in ("formation_cabinet", "grading_cabinet"):
            return cells // world.channels % count
        return cells % count

    def machine(self, machine_class: str) -> Array:
        """Identifier of the machine of a class that each goes through."""
        machines = [each.id for each in self._world.site.machines(machine_class)]
        return np.array(machines, dtype=object)[self.machine_no(machine_class)]

    @staticmethod
    def _moment(at: Floats, delay_s: float) -> Table:
        return {"event_s": at, "known_s": at + delay_s}

    def stacking(self) -> Table:
        """Records of the stackers and the hi-pot test."""
        world, cells = self._world, self._cells
        per_roll = world.per("plan.cells_per_roll")
        table: Table = {"cell_id": self.ids}
        table["machine_id"] = self.machine("stacker")
        table["hot_press_id"] = self.machine("hot_press")
        table["hipot_tester_id"] = self.machine("hipot_tester")
        for electrode in ELECTRODES:
            rolls = world.numbers(f"{electrode}_roll", cells)
            table[f"{electrode}_roll_id"] = daughter_id(electrode, rolls, cells % 2)
            place, length = (cells % per_roll) // 2, world.p("plan.roll_length_m") / (per_roll / 2 + 1)
            table[f"{electrode}_from_m"] = place * length
            table[f"{electrode}_to_m"] = (place + 1) * length
        table["separator_lot_id"] = lot_id("separator", world.numbers("lot:separator", cells)).astype(object)
        table["started_s"] = self.stacked_s - world.p("line.stack_time_s")
        table["is_hipot_passed"] = ~self.lost("hipot")
        return table | self._characteristics("mes__stacking") | self._moment(self.stacked_s, 60.0)

    def assembly(self) -> Table:
        """Records of welding, sealing and the leak test."""
        table: Table = {"cell_id": self.ids, "is_leak_passed": ~self.lost("leak")}
        for column, machine_class in (
            ("tab_welder_id", "tab_welder"), ("seam_welder_id", "seam_welder"), ("leak_tester_id", "leak_tester"),
        ):  # fmt: skip
            table[column] = self.machine(machine_class)
        for part in ("can", "cap"):
            table[f"{part}_lot_id"] = lot_id(part, self._world.numbers(f"lot:{part}", self._cells)).astype(object)
        table |= self._characteristics("mes__assembly") | self._moment(self.at("assembly_h"), 60.0)
        return take(table, self._alive("hipot"))

    def filling(self) -> Table:
        """Records of baking and filling."""
        world, cells = self._world, self._cells
        batches = world.numbers("bake_batch", cells)
        table = {
            "cell_id": self.ids,
            "oven_id": self.machine("bake_oven"),
            "filler_id": self.machine("filler"),
            "electrolyte_lot_id": lot_id("electrolyte", world.numbers("lot:electrolyte", cells)).astype(object),
            "bake_batch_id": codes("BK", batches, 6).astype(object),
            **self._characteristics("mes__filling"),
            **self._moment(self.at("filling_h"), 600.0),
        }
        return take(table, self._alive("hipot", "tab_welding", "leak_test"))

    def formation(self) -> Table:
        """Records of formation and degassing."""
        world, cells = self._world, self._cells
        cabinet = cells // world.channels % len(world.site.machines("formation_cabinet"))
        channel, at = cells % world.channels, self.at("formation_h")
        table = {
            "cell_id": self.ids,
            "machine_id": self.machine("formation_cabinet"),
            "tray_id": codes("T", world.numbers("tray", cells), 7).astype(object),
            "tray_position_no": (cells % world.tray_cells + 1).astype(np.int32),
            "channel_id": np.array(
                [f"{a + 1:02d}-{b + 1:03d}" for a, b in zip(cabinet, channel, strict=True)], dtype=object
            ),
            "started_s": at - world.p("lead.charging_h") * HOUR,
            **self._characteristics("tester__formation"),
            **self._moment(at, 300.0),
        }
        return take(table, self._alive("hipot", "tab_welding", "leak_test", "filling"))

    def full_trays(self) -> tuple[Ints, Floats]:
        """Trays whose last cell is among these: their numbers, and when that cell was stacked in plant seconds."""
        size = self._world.cells_per("tray")
        is_last = self._cells % size == size - 1
        return self._world.numbers("tray", self._cells[is_last]), self.stacked_s[is_last]

    def aged(self) -> Table:
        """Values of the OCV tests, of all these cells."""
        trays = codes("T", self._world.numbers("tray", self._cells), 7).astype(object)
        return {"cell_id": self.ids, "tray_id": trays, **self._characteristics("tester__ageing")}

    def ageing(self) -> Table:
        """Records of the OCV tests."""
        return take(self.aged() | self._moment(self.at("ageing_h"), 600.0), self.lost_at() == "")

    def graded(self, test_no: int = 1) -> Table:
        """Values and grade of a test, of all these cells."""
        world, values = self._world, self._characteristics("tester__grading", test_no)
        return {
            "cell_id": self.ids,
            "test_no": np.full(len(self._cells), test_no, dtype=np.int32),
            "machine_id": self.machine("grading_cabinet"),
            "grade_code": grade(world.site.grades, {**self.aged(), **values}, test_no),
            **values,
        }

    @cached_property
    def is_premium(self) -> Bools:
        """Which would be premium at the first grading, of all these cells."""
        premium = [each.code for each in self._world.site.grades if each.is_premium]
        return np.isin(self.graded()["grade_code"].astype(str), premium)

    def grading(self) -> Table:
        """Records of the first grading."""
        return take(self.graded() | self._moment(self.graded_s, 300.0), self.lost_at() == "")

    def retest(self) -> Table:
        """Records of the second test of cells whose capacity was only just too low."""
        world = self._world
        lowest = next(grade.limits["capacity_ah"].min for grade in world.site.grades if grade.is_premium) or 0.0
        row = world.site.plan.by_code["capacity_ah"]
        missed = world.shown(row, self._cells, self._memo, self._cells) - lowest
        again = (self.lost_at() == "") & (missed < 0) & (missed > -world.p("grading.retest_below_ah"))
        return take(self.graded(2) | self._moment(self.retested_s, 300.0), again)

    def scrap(self, steps: tuple[str, ...], lead: str) -> Table:
        """Records of cells lost at some steps."""
        lost_at = self.lost_at()
        parts = []
        for step, reason, _ in (each for each in LOSSES if each[0] in steps):
            rows = np.flatnonzero(lost_at == step)
            at = self.at(lead)[rows]
            parts.append(
                {
                    "entity_id": self.ids[rows],
                    "entity_type_code": np.full(len(rows), "cell", dtype=object),
                    "step_code": np.full(len(rows), step, dtype=object),
                    "reason_code": np.full(len(rows), reason, dtype=object),
                    **self._moment(at, 600.0),
                }
            )
        return concat(parts)


def grade(grades: tuple[Grade, ...], values: Table, test_no: int) -> Array:
    """Grade of each cell: the first one whose limits its measured values keep."""
    count = len(next(iter(values.values())))
    result: Array = np.full(count, grades[-1].code, dtype=object)
    for each in reversed(grades):
        if test_no > each.max_test_no:
            continue
        keeps = np.ones(count, dtype=bool)
        for code, limits in each.limits.items():
            value = values[code]
            keeps &= (value >= limits.min) if limits.min is not None else True
            keeps &= (value <= limits.max) if limits.max is not None else True
        result[keeps] = each.code
    return result
