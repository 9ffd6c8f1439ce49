"""The causal graph: standardised values of all characteristics as functions of seed and entity numbers alone.

Since an entity's value follows from its number (a lot, a batch, a roll, a cell), nothing but counters has to be kept
from day to day, and a month in one go equals a month day by day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.control_plan.derive import chart_limits
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site
from pipelines.twin.parameters import FILE, Parameters, load_parameters, read_mapping
from pipelines.twin.rng import hash_normal, salt
from pipelines.twin.table import Floats, Ints

_PART_MATERIALS = ("separator", "can", "cap")
_ANODE_MATERIALS = ("graphite", "cmc", "sbr", "copper_foil")
_DAY_BLOCK = 3000  # cells over which a machine's small drift keeps its value


@dataclass(frozen=True)
class Node:
    """A characteristic of the causal graph; see `nodes` in twin.yaml."""

    parents: Mapping[str, float] = field(default_factory=dict)
    own: float = 0.0
    machine: float = 0.0
    wear: float = 0.0
    spread: float | None = None
    lognormal: float = 0.0


GENERIC = Node(own=0.92, machine=0.4)


@dataclass(frozen=True)
class Scenario:
    """What goes wrong: shifts of standardised values from a day on, or defects of what is delivered."""

    name: str = "baseline"
    from_day: int = 0
    shift: Mapping[str, float] = field(default_factory=dict)
    unit_error: str = ""
    stuck: str = ""


class World:
    """The plant of one seed."""

    def __init__(self, site: Site, seed: int, scenario: str, scale: float) -> None:
        file = site.folder / FILE
        data = read_mapping(file)
        self.site = site
        self.seed = seed
        self.scale = scale
        self.p: Parameters = load_parameters(site.folder)
        self.nodes = {code: _node(code, entry, site, file) for code, entry in data.get("nodes", {}).items()}
        self.drivers: dict[str, dict[str, float]] = data.get("scrap_drivers", {})
        self.scenario = _scenario(scenario, data.get("scenarios", {}), file)
        self.shift_from_cell: int | None = None

    def per(self, name: str) -> int:
        """Cells, rolls or batches per unit; small plants make fewer cells of a roll, not fewer rolls."""
        shrinks = name in {"plan.cells_per_roll", "plan.cells_per_electrolyte_lot", "plan.cells_per_part_lot"}
        return max(2, round(self.p(name) * (self.scale if shrinks else 1.0)))

    def numbers(self, level: str, cells: Ints) -> Ints:
        """Number of the entity of a level that each cell (by its running number) was made of."""
        if level == "cell":
            return cells
        if level == "lot:electrolyte":
            return cells // self.per("plan.cells_per_electrolyte_lot")
        if level.startswith("lot:") and level[4:] in _PART_MATERIALS:
            return cells // self.per("plan.cells_per_part_lot")
        rolls = cells // self.per("plan.cells_per_roll")
        if level.endswith(("_lane", "_roll")):
            return rolls * 2 + (cells % 2) if level.endswith("_lane") else rolls
        if level in ("lot:copper_foil", "lot:aluminium_foil"):
            return rolls // self.per("plan.rolls_per_foil_lot")
        batches = rolls // self.per("plan.rolls_per_batch")
        return batches if level.endswith("_batch") else batches // self.per("plan.batches_per_lot")

    def level(self, row: Characteristic) -> str:
        """Level of a characteristic: `lot:lfp`, `cathode_batch`, `cathode_roll`, `cathode_lane` or `cell`."""
        if row.entity == "material_lot":
            return f"lot:{row.variant}"
        short = {"slurry_batch": "batch", "mother_roll": "roll", "daughter_roll": "lane"}.get(row.entity)
        return f"{row.variant}_{short}" if short else "cell"

    def z(self, code: str, cells: Ints, memo: dict[str, Floats]) -> Floats:
        """Standardised true value of a characteristic for the entity of each cell.

        Args:
            code: of the control plan.
            cells: running numbers of cells; for a roll's value pass any cell of that roll.
            memo: values of these cells computed so far.
        """
        if code in memo:
            return memo[code]
        row = self.site.plan.by_code[code]
        node = self.nodes.get(code, GENERIC)
        numbers = self.numbers(self.level(row), cells)
        value = node.own * hash_normal(salt(self.seed, code), numbers)
        for parent, effect in node.parents.items():
            value = value + effect * self.z(parent, cells, memo)
        if node.machine:
            machine, block = self.machine_no(row, cells), cells // _DAY_BLOCK
            value = value + node.machine * hash_normal(salt(self.seed, f"{code}@machine"), machine)
            value = value + 0.4 * node.machine * hash_normal(salt(self.seed, f"{code}@drift"), machine, block)
        if node.wear:
            life = abs(node.wear) * (max(self.scale, 0.05) if row.entity == "cell" else 1.0)
            value = value + np.sign(node.wear) * (3.4 * ((numbers % life) / life) - 1.7)
        if row.entity == "material_lot":
            supplier = hash_normal(salt(self.seed, f"{code}@supplier"), numbers % 3)
            value = value + self.p("plan.supplier_effect") * supplier
        value = value + self._scenario_shift(code, cells)
        memo[code] = value
        return value

    def _scenario_shift(self, code: str, cells: Ints) -> Floats | float:
        size = self.scenario.shift.get(code)
        if size is None or self.shift_from_cell is None:
            return 0.0
        shifted: Floats = np.where(cells >= self.shift_from_cell, size, 0.0)
        return shifted

    def machine_no(self, row: Characteristic, cells: Ints) -> Ints:
        """Number of the machine or position that made the value; formation's are those of the channel."""
        if row.machine_class in ("formation_cabinet", "grading_cabinet"):
            cabinets = len(self.site.machines(row.machine_class)) or 1
            per_machine = row.name.endswith("temp_c")
            cabinet = (cells // 132) % cabinets
            return cabinet if per_machine else cabinet * 132 + cells % 132
        return self.numbers(self.level(row), cells) % max(1, len(self.site.machines(row.machine_class)))

    def value(self, row: Characteristic, z: Floats) -> Floats:
        """True value in the characteristic's unit, within what physics allows."""
        node = self.nodes.get(row.code, GENERIC)
        nominal = row.nominal if row.nominal is not None else (row.physical_min + row.physical_max) / 2
        if node.lognormal:
            value = nominal * np.exp(node.lognormal * z)
        else:
            value = nominal + (node.spread if node.spread is not None else spread(row)) * z
        clipped: Floats = np.clip(value, row.physical_min, row.physical_max)
        return clipped

    def measured(self, row: Characteristic, true: Floats, keys: Ints, test_no: int = 1) -> Floats:
        """What the gauge shows: its error, then its resolution."""
        error = (row.gauge_sd or 0.0) * hash_normal(salt(self.seed, f"{row.code}@gauge"), keys, test_no)
        shown = true + error
        if row.resolution:
            shown = np.round(np.round(shown / row.resolution) * row.resolution, 12)
        clipped: Floats = np.clip(shown, row.physical_min, row.physical_max)
        return clipped


def spread(row: Characteristic) -> float:
    """Standard deviation of a characteristic that the graph gives none: what the plan's capability implies."""
    limits = chart_limits(row)
    if limits is not None:
        return limits.sigma
    return 0.03 * abs(row.nominal or 0.0) or 0.01 * (row.physical_max - row.physical_min)


def _node(code: str, entry: Mapping[str, Any], site: Site, file: Path) -> Node:
    unknown = [each for each in (code, *entry.get("parents", {})) if each not in site.plan.by_code]
    if unknown:
        raise CellworksError(
            "the twin's causal graph names characteristics that the control plan lacks",
            found=", ".join(unknown),
            where=f"{file}: nodes.{code}",
            mend="correct the code, or add the row to control_plan.csv",
        )
    names = ("parents", "own", "machine", "wear", "spread", "lognormal")
    return Node(**{name: entry[name] for name in names if name in entry})


def _scenario(name: str, known: Mapping[str, Any], file: Path) -> Scenario:
    if name not in known:
        raise CellworksError(
            f"there is no scenario '{name}'",
            expected=", ".join(known),
            found=name,
            mend="take one of these with --scenario, or add yours to the file",
            where=str(file),
        )
    entry = known[name] or {}
    return Scenario(
        name, int(entry.get("from_day", 0)), entry.get("shift", {}), entry.get("unit_error", ""), entry.get("stuck", "")
    )
