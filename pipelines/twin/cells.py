"""Records of cells, stacking to grading; a cell that is lost leaves a scrap record and no further ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.control_plan.derive import characteristics
from pipelines.control_plan.product import Grade
from pipelines.twin.clock import HOUR
from pipelines.twin.rng import hash_uniform, salt
from pipelines.twin.table import Array, Bools, Floats, Ints, Table, codes, take
from pipelines.twin.upstream import ELECTRODES, ROLL_LENGTH_M, entity_id, lot_id
from pipelines.twin.world import World

TRAY_CELLS = 12
_RETEST_BELOW_AH = 6.0


@dataclass
class CellDay:
    """Records of the cells stacked on a day, by feed, and what the plant can't see of them."""

    records: dict[str, Table]
    truth: Table


class Cells:
    """The life of the cells stacked on one day.

    Args:
        world: the plant.
        cells: running numbers.
        stacked_s: plant seconds of stacking.
        stacker_no: which stacker, from 0.
    """

    def __init__(self, world: World, cells: Ints, stacked_s: Floats, stacker_no: Ints) -> None:
        self._world = world
        self._cells = cells
        self._at = stacked_s
        self._stacker = stacker_no
        self._ids = codes("C", cells, 9).astype(object)
        self._memo: dict[str, Floats] = {}

    def simulate(self) -> CellDay:
        """All records of these cells, through grading."""
        world, hour = self._world, HOUR
        records: dict[str, Table] = {}
        lost_hipot = self._lost("hipot")
        records["mes__stacking"] = self._stacking(~lost_hipot)
        lost_weld, lost_leak = self._lost("weld"), self._lost("leak")
        assembled = self._at + world.p("lead.assembly_h") * hour
        records["mes__assembly"] = take(self._assembly(assembled, ~lost_leak), ~lost_hipot)
        filled = self._at + world.p("lead.filling_h") * hour
        alive = ~(lost_hipot | lost_weld | lost_leak)
        lost_fill = self._lost("filling")
        records["mes__filling"] = take(self._filling(filled), alive)
        alive &= ~lost_fill
        formed = self._at + world.p("lead.formation_h") * hour
        records["tester__formation"] = take(self._formation(formed), alive)
        lost_form = self._lost("formation")
        aged = self._at + world.p("lead.ageing_h") * hour
        alive_after = alive & ~lost_form
        ageing = self._ageing(aged)
        records["tester__ageing"] = take(ageing, alive_after)
        graded = self._at + (world.p("lead.grading_h") + 6 * self._uniform("grading")) * hour
        first, retest = self._grading(graded, ageing, alive_after)
        records["tester__grading"] = {name: np.concatenate([first[name], retest[name]]) for name in first}
        losses = {
            ("hipot", "short"): (lost_hipot, self._at + 0.2 * hour),
            ("tab_welding", "weak_weld"): (lost_weld & ~lost_hipot, assembled),
            ("leak_test", "leak"): (lost_leak & ~lost_weld & ~lost_hipot, assembled + 0.1 * hour),
            ("filling", "spill"): (lost_fill & ~(lost_hipot | lost_weld | lost_leak), filled + 0.1 * hour),
            ("formation", "abnormal_curve"): (lost_form & alive, formed + 0.1 * hour),
        }
        records["mes__scrap"] = self._scrap(losses)
        truth = {"cell_id": self._ids} | {
            f"true_{code}": world.value(world.site.plan.by_code[code], self._z(code))
            for code in ("capacity_ah", "dcir_mohm", "acir_mohm", "k_value_mv_h", "thickness_mm")
        }
        return CellDay(records, truth)

    def _z(self, code: str) -> Floats:
        return self._world.z(code, self._cells, self._memo)

    def _uniform(self, name: str) -> Floats:
        return hash_uniform(salt(self._world.seed, name), self._cells)

    def _lost(self, step: str) -> Bools:
        world = self._world
        drivers = world.drivers[step]
        effect = sum((weight * self._z(code) for code, weight in drivers.items()), np.zeros(len(self._cells)))
        base = world.p(f"scrap.{step}_ratio")
        # exp(w z) has the mean exp(w^2/2): divided out, so that the base stays the share that is lost.
        size = float(np.sqrt(sum(weight**2 for weight in drivers.values())))
        share = base * np.exp(world.p("scrap.steepness") * effect - size**2 / 2)
        lost: Bools = self._uniform(f"lost_{step}") < np.clip(share, 0, 0.6)
        return lost

    def _characteristics(self, feed: str, test_no: int = 1) -> Table:
        world = self._world
        return {
            row.code: world.measured(row, world.value(row, self._z(row.code)), self._cells, test_no)
            for row in characteristics(world.site, feed)
        }

    def _machine(self, machine_class: str, numbers: Ints) -> Array:
        machines = [each.id for each in self._world.site.machines(machine_class)]
        return np.array(machines, dtype=object)[numbers % len(machines)]

    def _stacking(self, passed: Bools) -> Table:
        world, cells = self._world, self._cells
        per_lane = world.per("plan.cells_per_roll") / 2
        table: Table = {"cell_id": self._ids, "machine_id": self._machine("stacker", self._stacker)}
        table["hot_press_id"] = self._machine("hot_press", cells)
        table["hipot_tester_id"] = self._machine("hipot_tester", cells)
        for electrode in ELECTRODES:
            rolls = world.numbers(f"{electrode}_roll", cells)
            lane = cells % 2
            ids = entity_id(electrode, "R", rolls)
            table[f"{electrode}_roll_id"] = np.array(
                [f"{r}-{n + 1}" for r, n in zip(ids, lane, strict=True)], dtype=object
            )
            place = (cells % world.per("plan.cells_per_roll")) // 2
            length = ROLL_LENGTH_M / (per_lane + 1)
            table[f"{electrode}_from_m"] = place * length
            table[f"{electrode}_to_m"] = (place + 1) * length
        table["separator_lot_id"] = lot_id("separator", world.numbers("lot:separator", cells)).astype(object)
        table["started_s"] = self._at - 61.0
        table["is_hipot_passed"] = passed
        return table | self._characteristics("mes__stacking") | self._moment(self._at, 60.0)

    @staticmethod
    def _moment(at: Floats, delay_s: float) -> Table:
        return {"event_s": at, "known_s": at + delay_s}

    def _assembly(self, at: Floats, passed: Bools) -> Table:
        cells = self._cells
        table: Table = {"cell_id": self._ids, "is_leak_passed": passed}
        for column, machine_class in (
            ("tab_welder_id", "tab_welder"), ("seam_welder_id", "seam_welder"), ("leak_tester_id", "leak_tester"),
        ):  # fmt: skip
            table[column] = self._machine(machine_class, cells)
        for part in ("can", "cap"):
            table[f"{part}_lot_id"] = lot_id(part, self._world.numbers(f"lot:{part}", cells)).astype(object)
        return table | self._characteristics("mes__assembly") | self._moment(at, 60.0)

    def _filling(self, at: Floats) -> Table:
        cells = self._cells
        lots = self._world.numbers("lot:electrolyte", cells)
        return {
            "cell_id": self._ids,
            "oven_id": self._machine("bake_oven", cells),
            "filler_id": self._machine("filler", cells),
            "electrolyte_lot_id": lot_id("electrolyte", lots).astype(object),
            "bake_batch_id": codes("BK", cells // 120, 6).astype(object),
            **self._characteristics("mes__filling"),
            **self._moment(at, 600.0),
        }

    def _formation(self, at: Floats) -> Table:
        cells = self._cells
        cabinet = (cells // 132) % len(self._world.site.machines("formation_cabinet"))
        channel = cells % 132
        return {
            "cell_id": self._ids,
            "machine_id": self._machine("formation_cabinet", cells // 132),
            "tray_id": codes("T", cells // TRAY_CELLS, 7).astype(object),
            "tray_position_no": (cells % TRAY_CELLS + 1).astype(np.int32),
            "channel_id": np.array(
                [f"{a + 1:02d}-{b + 1:03d}" for a, b in zip(cabinet, channel, strict=True)], dtype=object
            ),
            "started_s": at - 9 * HOUR,
            **self._characteristics("tester__formation"),
            **self._moment(at, 300.0),
        }

    def _ageing(self, at: Floats) -> Table:
        return {
            "cell_id": self._ids,
            "tray_id": codes("T", self._cells // TRAY_CELLS, 7).astype(object),
            **self._characteristics("tester__ageing"),
            **self._moment(at, 600.0),
        }

    def _grading(self, at: Floats, ageing: Table, alive: Bools) -> tuple[Table, Table]:
        first = self._graded(at, ageing, 1)
        low = first["capacity_ah"] - 1175
        again = alive & (low < 0) & (low > -_RETEST_BELOW_AH)
        return take(first, alive), take(self._graded(at + 20 * HOUR, ageing, 2), again)

    def _graded(self, at: Floats, ageing: Table, test_no: int) -> Table:
        values = self._characteristics("tester__grading", test_no)
        return {
            "cell_id": self._ids,
            "test_no": np.full(len(self._cells), test_no, dtype=np.int32),
            "machine_id": self._machine("grading_cabinet", self._cells // 132),
            "grade_code": grade(self._world.site.grades, {**ageing, **values}, test_no),
            **values,
            **self._moment(at, 300.0),
        }

    def _scrap(self, losses: dict[tuple[str, str], tuple[Bools, Floats]]) -> Table:
        parts = [(step, reason, np.flatnonzero(lost), at) for (step, reason), (lost, at) in losses.items()]
        return {
            "entity_id": np.concatenate([self._ids[rows] for _, _, rows, _ in parts]),
            "entity_type_code": np.full(sum(len(rows) for _, _, rows, _ in parts), "cell", dtype=object),
            "step_code": np.concatenate([np.full(len(rows), step, dtype=object) for step, _, rows, _ in parts]),
            "reason_code": np.concatenate([np.full(len(rows), reason, dtype=object) for _, reason, rows, _ in parts]),
            "event_s": np.concatenate([at[rows] for _, _, rows, at in parts]),
            "known_s": np.concatenate([at[rows] + 600.0 for _, _, rows, at in parts]),
        }


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
