"""The causal graph at work: standardised values of all characteristics as functions of seed and entity numbers alone.

Since an entity's value follows from its number (a lot, a batch, a roll, a cell) and from the plant's course (when a day
began, what was decided), hardly anything has to be kept from day to day, and a month in one go equals a month day by
day.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

import numpy as np

from pipelines.control_plan.derive import chart_limits
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site
from pipelines.twin.clock import Clock, season
from pipelines.twin.course import LOST, Course, Move
from pipelines.twin.graph import HUMIDITY, Node, Scenario, load_graph, scenario_of
from pipelines.twin.parameters import FILE, Parameters
from pipelines.twin.rng import hash_normal, salt
from pipelines.twin.table import Array, Bools, Floats, Ints

_PART_MATERIALS = ("separator", "can", "cap")
_FOILS = ("copper_foil", "aluminium_foil")
_SHRINKING = {f"plan.cells_per_{each}" for each in ("roll", "electrolyte_lot", "part_lot", "bake_batch")}
# Who takes an entity out of the store: its time decides whether a hold comes in time.
_USED_BY = {"batch": "roll", "roll": "cell", "separator": "cell", "can": "cell", "cap": "cell", "electrolyte": "cell",
            "copper_foil": "roll", "aluminium_foil": "roll"}  # fmt: skip


class World:
    """The plant of one seed.

    Args:
        site: the site.
        seed: of the plant.
        scenario: name of one of twin.yaml.
        scale: size of the plant, 1 is the whole line.
    """

    def __init__(self, site: Site, seed: int, scenario: str, scale: float) -> None:
        self.site = site
        self.seed = seed
        self.scale = scale
        self.graph = load_graph(site)
        self.p: Parameters = self.graph.parameters
        self.scenario = scenario_of(self.graph, scenario, site.file(FILE))
        self.clock = Clock(site.zone, site.day_starts_at, site.start_day)
        self.course = Course()
        self._machines: dict[tuple[str, str], list[str]] = {}
        self.lost_level = ""

    def undisturbed(self) -> World:
        """The same plant without scenario and decisions, for the counterfactual."""
        other = copy(self)
        other.scenario = Scenario()
        other.course = self.course.undecided()
        return other

    def of_lost(self, level: str) -> World:
        """The plant as it made the batches or rolls of a level that were scrapped: other ones, of the same things."""
        other = copy(self)
        other.lost_level = level
        return other

    @property
    def is_disturbed(self) -> bool:
        """Whether a scenario or a decision makes it another plant than the baseline."""
        course = self.course
        return self.scenario.name != "baseline" or bool(course.moves or course.holds or course.services)

    def salt(self, name: str) -> int:
        """Where the hashed noise of a named effect begins."""
        return salt(self.seed, name)

    def node(self, code: str) -> Node:
        """Node of a characteristic; a plain one of its own when the graph doesn't name it."""
        return self.graph.nodes.get(code, self.graph.generic)

    def per(self, name: str) -> int:
        """Cells, rolls or batches per unit; small plants make fewer cells of a roll, not fewer rolls."""
        return max(2, round(self.p(name) * (self.scale if name in _SHRINKING else 1.0)))

    def cells_per(self, level: str) -> int:
        """Consecutive cells that an entity of a level goes into."""
        if level in ("cell", "tray", "bake_batch"):
            sizes = {"cell": 1, "tray": self.tray_cells, "bake_batch": self.per("plan.cells_per_bake_batch")}
            return sizes[level]
        if level == "lot:electrolyte":
            return self.per("plan.cells_per_electrolyte_lot")
        if level.startswith("lot:") and level[4:] in _PART_MATERIALS:
            return self.per("plan.cells_per_part_lot")
        roll = self.per("plan.cells_per_roll")
        if level.endswith(("_lane", "_roll")):
            return roll
        if level.startswith("lot:") and level[4:] in _FOILS:
            return roll * self.per("plan.rolls_per_foil_lot")
        batch = roll * self.per("plan.rolls_per_batch")
        return batch if level.endswith("_batch") else batch * self.per("plan.batches_per_lot")

    @property
    def channels(self) -> int:
        """Channels of a formation or grading cabinet."""
        return self.site.machines("formation_cabinet")[0].positions_by_name["channel"]

    @property
    def tray_cells(self) -> int:
        """Cells of a formation tray."""
        return self.channels // self.site.machines("formation_cabinet")[0].positions_by_name["tray"]

    def first_cell(self, level: str, cells: Ints) -> Ints:
        """First cell of the entity of a level that each cell was made of."""
        size = self.cells_per(level)
        return cells // size * size

    def numbers(self, level: str, cells: Ints) -> Ints:
        """Number of the entity of a level that each cell (by its running number) was made of."""
        if level.endswith("_lane"):
            return self.numbers(level.replace("_lane", "_roll"), cells) * 2 + cells % 2
        numbers = cells // self.cells_per(level)
        if level == self.lost_level:
            return numbers + LOST
        if level not in self.course.holds:
            return numbers
        kind = level.rsplit("_", 1)[-1] if not level.startswith("lot:") else level[4:]
        user = _USED_BY.get(kind, "batch")
        user_level = user if user == "cell" else f"cathode_{user}"
        return self.course.replaced(level, numbers, self.first_cell(user_level, cells))

    def level(self, row: Characteristic) -> str:
        """Level of a characteristic: `lot:lfp`, `cathode_batch`, `cathode_roll`, `cathode_lane` or `cell`."""
        if row.entity == "material_lot":
            return f"lot:{row.variant}"
        short = {"slurry_batch": "batch", "mother_roll": "roll", "daughter_roll": "lane"}.get(row.entity)
        return f"{row.variant}_{short}" if short else "cell"

    def z(self, code: str, cells: Ints, memo: dict[str, Floats]) -> Floats:
        """Standardised true value of a characteristic or a hidden cause for the entity of each cell.

        Args:
            code: of the control plan, or of a hidden cause in twin.yaml.
            cells: running numbers of cells; for a roll's value pass any cell of that roll.
            memo: values of these cells computed so far.
        """
        if code in memo:
            return memo[code]
        node, row = self.node(code), self.site.plan.by_code.get(code)
        level = node.level or (self.level(row) if row else "cell")
        numbers = self.numbers(level, cells)
        value = node.own * hash_normal(self.salt(code), numbers)
        for parent, effect in node.noise_by.items():
            value = value * np.exp(effect * self.z(parent, cells, memo))
        for parent, effect in node.parents.items():
            value = value + effect * self._parent(parent, level, cells, memo)
        if node.hinge is not None:
            value = np.maximum(value - node.hinge, 0.0)
        if row is not None:
            value = value + self._made_by(row, node, level, numbers, cells)
        memo[code] = value + self._scenario(code, level, cells, self.scenario.shift, self.scenario.ramp)
        return memo[code]

    def _parent(self, code: str, level: str, cells: Ints, memo: dict[str, Floats]) -> Floats:
        if code != HUMIDITY:
            return self.z(code, cells, memo)
        days = self.course.day_of(self.first_cell(level, cells), self.cells_per_day)
        known, which = np.unique(days, return_inverse=True)
        humid: Floats = np.array([self.humidity(int(day)) for day in known])[which]
        return humid

    def humidity(self, day: int) -> float:
        """Outdoor dew point of a production day, in standard deviations of the year."""
        dew_c = season(self.seed, self.clock, day, self.p).dew_point_c
        return (dew_c - self.p("weather.dew_point_mean_c")) / self.p("weather.dew_point_sd_c")

    @property
    def cells_per_day(self) -> float:
        """Cells of a usual day."""
        return self.site.standard.cells_per_day * self.scale

    def _made_by(self, row: Characteristic, node: Node, level: str, numbers: Ints, cells: Ints) -> Floats:
        """What machine, tool, supplier and set-point add."""
        value: Floats = np.zeros(len(cells))
        if node.machine:
            machine, block = self.position_no(row, cells), cells // int(self.p("plan.cells_per_drift_block"))
            value += node.machine * hash_normal(self.salt(f"{row.code}@machine"), machine)
            drift = self.p("plan.machine_drift_ratio") * node.machine
            value += drift * hash_normal(self.salt(f"{row.code}@drift"), machine, block)
        if node.wear:
            value += np.sign(node.wear) * self.p("plan.wear_span") * (self.tool(row, cells)[1] - 0.5)
        if row.entity == "material_lot":
            supplier = hash_normal(self.salt(f"{row.code}@supplier"), numbers % int(self.p("plan.suppliers")))
            value += self.p("plan.supplier_effect") * supplier
        return value + self._aim(row, level, cells)

    def tool(self, row: Characteristic, cells: Ints) -> tuple[Ints, Floats]:
        """Number of the tool that made the value, and how far its life is spent (0 new, 1 due)."""
        level = self.level(row)
        size, lanes = self.cells_per(level), 2 if level.endswith("_lane") else 1
        life = abs(self.node(row.code).wear) * (max(self.scale, self.p("plan.tool_scale_min")) if size == 1 else 1.0)
        made = cells // size * lanes + cells % lanes
        number, used = made // life, (made % life).astype(np.float64)
        for index, machine in enumerate(self.machines(row)):
            for from_cell in self.course.services.get(machine, ()):
                begin = -(-from_cell // size) * lanes
                fresh = (made >= begin) & (self.machine_no(row, cells) == index)
                number = np.where(fresh, begin // life + 1 + (made - begin) // life, number)
                used = np.where(fresh, (made - begin) % life, used)
        part: Floats = used / life
        return number.astype(np.int64), part

    def _aim(self, row: Characteristic, level: str, cells: Ints) -> Floats | float:
        """How far the set-point in force lies from the nominal, in standard deviations."""
        moves = self.course.moves.get(row.code)
        if not moves or row.nominal is None:
            return 0.0
        aim: Floats = np.full(len(cells), row.nominal)
        first = self.first_cell(level, cells)
        for move in moves:
            aim = np.where((first >= move.from_cell) & self._is_of(row, move, cells), move.value, aim)
        shifted: Floats = (aim - row.nominal) / self._spread(row)
        return shifted

    def _is_of(self, row: Characteristic, move: Move, cells: Ints) -> Bools | bool:
        return True if move.machine is None else self.machine_no(row, cells) == move.machine

    def _scenario(
        self, code: str, level: str, cells: Ints, shift: Mapping[str, float], ramp: Mapping[str, float]
    ) -> Floats | float:
        if code not in shift and code not in ramp:
            return 0.0
        scenario = self.scenario
        days = self.course.day_of(self.first_cell(level, cells), self.cells_per_day)
        is_on = (days >= scenario.from_day) & (days < (np.inf if scenario.until_day is None else scenario.until_day))
        if scenario.machine_id:
            row = self.site.plan.by_code[code]
            is_on &= self.machine_no(row, cells) == self.machines(row).index(scenario.machine_id)
        size: Floats = np.where(is_on, shift.get(code, 0.0) + ramp.get(code, 0.0) * (days - scenario.from_day + 1), 0.0)
        return size

    def machines(self, row: Characteristic) -> list[str]:
        """Machines that can make a characteristic: of its class, for its electrode."""
        key = row.machine_class, row.variant
        if key not in self._machines:
            machines = self.site.machines(row.machine_class)
            self._machines[key] = [each.id for each in machines if each.variant in ("", row.variant)]
        return self._machines[key]

    def machine_no(self, row: Characteristic, cells: Ints) -> Ints:
        """Which of `machines` made the value, from 0."""
        count = max(1, len(self.machines(row)))
        if row.machine_class in ("formation_cabinet", "grading_cabinet"):
            return cells // self.channels % count
        if row.machine_class == "bake_oven":
            return self.numbers("bake_batch", cells) % count
        if row.machine_class == "stacker":
            return self.course.stacker_of(cells, count)
        return self.numbers(self.level(row), cells) % count

    def position_no(self, row: Characteristic, cells: Ints) -> Ints:
        """Number of the machine, or of its channel where each has its own lasting effect."""
        machine = self.machine_no(row, cells)
        if row.machine_class in ("formation_cabinet", "grading_cabinet") and not row.name.endswith("temp_c"):
            return machine * self.channels + cells % self.channels
        return machine

    def value(self, row: Characteristic, z: Floats) -> Floats:
        """True value in the characteristic's unit, within what physics allows."""
        node = self.node(row.code)
        value = _nominal(row) * np.exp(node.lognormal * z) if node.lognormal else _nominal(row) + self._spread(row) * z
        clipped: Floats = np.clip(value, row.physical_min, row.physical_max)
        return clipped

    def _spread(self, row: Characteristic) -> float:
        own = self.node(row.code).spread
        return own if own is not None else spread(row)

    def shown(self, row: Characteristic, cells: Ints, memo: dict[str, Floats], keys: Ints, test_no: int = 1) -> Floats:
        """What the gauge shows of each cell's entity: its bias and error, then its resolution.

        Args:
            row: of the control plan.
            cells: a cell of each entity.
            memo: values of these cells computed so far.
            keys: numbers of what is measured; the gauge's error follows from them.
            test_no: which test of it this is.
        """
        true = self.value(row, self.z(row.code, cells, memo))
        bias = self._bias(row, cells, memo)
        error = row.gauge_sd * hash_normal(self.salt(f"{row.code}@gauge"), keys, test_no)
        shown = true + bias * self._spread(row) + error
        if row.resolution:
            shown = np.round(np.round(shown / row.resolution) * row.resolution, 12)
        clipped: Floats = np.clip(shown, row.physical_min, row.physical_max)
        return clipped

    def _bias(self, row: Characteristic, cells: Ints, memo: dict[str, Floats]) -> Floats | float:
        node = self.node(row.code)
        bias: Floats | float = self._scenario(
            row.code, self.level(row), cells, self.scenario.bias, self.scenario.bias_ramp
        )
        for parent, effect in node.bias.items():
            bias = bias + effect * self.z(parent, cells, memo)
        if node.bias_machine:
            machine: Array = self.machine_no(row, cells)
            bias = bias + node.bias_machine * hash_normal(self.salt(f"{row.code}@calibration"), machine)
        return bias


def spread(row: Characteristic) -> float:
    """Standard deviation of a characteristic that the graph gives none: what the plan's capability implies."""
    limits = chart_limits(row)
    if limits is not None:
        return limits.sigma
    return 0.03 * abs(row.nominal or 0.0) or 0.01 * (row.physical_max - row.physical_min)


def _nominal(row: Characteristic) -> float:
    return row.nominal if row.nominal is not None else (row.physical_min + row.physical_max) / 2
