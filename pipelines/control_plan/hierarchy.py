"""The ISA-95 hierarchy of a site: areas, lines, units and the machines they expand to; and its shifts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import time
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pipelines.control_plan.feeds import Model
from pipelines.control_plan.plan import Code, Machine

_MACHINE_RANGE = re.compile(r"^([a-z][a-z0-9_]*?)(\d+)\.\.(\d+)$")
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.\.\d+)?$")]


class Unit(Model):
    """Like machines of a line: ids such as `stacker_1..4` or `coater_c1`, one class, one step.

    Attributes:
        ids: machine ids; `name_1..4` stands for four.
        machine_class: class that rows of the control plan name.
        step: step that the machines serve.
        variant: `cathode`, `anode` or empty when they serve both.
        positions: number of lanes, zones, trays ... by the name of the position.
        ideal_rate_per_h: units of `rate_unit` per hour at full performance; None when it is not counted.
        rate_unit: what is counted: cell, m, batch, module ...
        is_in_oee: whether its states count into the line's OEE.
    """

    ids: tuple[Identifier, ...] = Field(min_length=1)
    machine_class: Code
    step: Code
    variant: Literal["", "cathode", "anode"] = ""
    positions: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    ideal_rate_per_h: Annotated[float, Field(gt=0)] | None = None
    rate_unit: str = "cell"
    is_in_oee: bool = False

    @cached_property
    def machine_ids(self) -> tuple[str, ...]:
        """All ids, ranges expanded: `formation_cabinet_01..16` keeps the two digits."""
        return tuple(each for item in self.ids for each in _expand(item))


def _expand(item: str) -> list[str]:
    match = _MACHINE_RANGE.match(item)
    if match is None:
        return [item]
    stem, first, last = match[1], match[2], match[3]
    return [f"{stem}{no:0{len(first)}d}" for no in range(int(first), int(last) + 1)]


class Line(Model):
    """A production line of an area (ISA-95 work centre).

    Attributes:
        code: as records name it.
        title: for people.
        units: its machines, like ones together.
    """

    code: str
    title: str = ""
    units: tuple[Unit, ...]


class Area(Model):
    """An area of the site (ISA-95).

    Attributes:
        code: as steps name it.
        title: for people.
        lines: production lines of the area.
    """

    code: Code
    title: str
    lines: tuple[Line, ...]


class Shift(Model):
    """A shift: its code and local start; it ends where the next begins.

    Attributes:
        code: name of the shift in records.
        starts_at: local start.
    """

    code: str
    starts_at: time


def machines_of(areas: Iterable[Area]) -> list[Machine]:
    """All machines of a site, in the order of the file."""
    return [
        Machine(
            id=machine_id,
            machine_class=unit.machine_class,
            step=unit.step,
            area=area.code,
            line=line.code,
            variant=unit.variant,
            positions_by_name=unit.positions,
            ideal_rate_per_h=unit.ideal_rate_per_h,
            rate_unit=unit.rate_unit,
            is_in_oee=unit.is_in_oee,
        )
        for area in areas
        for line in area.lines
        for unit in line.units
        for machine_id in unit.machine_ids
    ]
