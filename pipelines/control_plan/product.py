"""The product, its grades, and what actions may do at a site."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.control_plan.feeds import Model


class Product(Model):
    """The cell that the line makes.

    Attributes:
        nominal_capacity_ah: rated capacity; times nominal_voltage_v it is the rated energy.
        materials_kg_per_cell: bill of materials by material code.
        design: further numbers of the design, unit in the name.
        code: as records name it.
        title: for people.
        nominal_voltage_v: rated voltage.
        cathode_sheets: cathodes of a stack.
        anode_sheets: anodes of a stack.
        cells_per_module: cells in a module.
        modules_per_rack: modules in a rack.
        racks_per_container: racks in a container.
        source_tag: where the numbers come from: S public source, L literature, E estimate, C computed.
    """

    code: str
    title: str
    nominal_capacity_ah: Annotated[float, Field(gt=0)]
    nominal_voltage_v: Annotated[float, Field(gt=0)]
    cathode_sheets: Annotated[int, Field(gt=0)]
    anode_sheets: Annotated[int, Field(gt=0)]
    cells_per_module: Annotated[int, Field(gt=0)]
    modules_per_rack: Annotated[int, Field(gt=0)]
    racks_per_container: Annotated[int, Field(gt=0)]
    materials_kg_per_cell: dict[str, Annotated[float, Field(ge=0)]]
    design: dict[str, float]
    source_tag: str

    @property
    def nominal_energy_kwh(self) -> float:
        """Rated energy of one cell, in kWh."""
        return self.nominal_capacity_ah * self.nominal_voltage_v / 1000

    @property
    def cells_per_container(self) -> int:
        """Cells in a container."""
        return self.cells_per_module * self.modules_per_rack * self.racks_per_container


class Limits(Model):
    """Inclusive limits of one characteristic within a grade; None is open.

    Attributes:
        min: smallest value of the grade.
        max: largest value of the grade.
    """

    min: float | None = None
    max: float | None = None


class Grade(Model):
    """A grade: a cell gets the first one whose limits it keeps, by characteristic code.

    Attributes:
        is_premium: whether it counts into the premium ratio.
        max_test_no: latest grading test that may still give it.
        is_scrap: whether the cell is lost.
        code: as the tester writes it.
        title: for people.
        limits: limits by characteristic code; a value that is not known keeps none.
    """

    code: str
    title: str
    is_premium: bool = False
    is_scrap: bool = False
    max_test_no: int = 9
    limits: dict[str, Limits] = Field(default_factory=dict)


class ActionPolicy(Model):
    """What an action kind may do at this site.

    Attributes:
        mode: shadow (record only), advise, approve (a person confirms) or auto.
        max_per_day: actions of the kind per production day, all solutions together.
        max_per_hour: actions of the kind per hour, all solutions together.
        max_per_target_day: actions of the kind on one machine, lot or cell per production day.
        cooldown_s: seconds before the same target may be acted on again.
        valid_for_s: seconds after which an action that nobody took lapses.
        approvals: how many different people must approve an action before it is approved; 0 counts as one.
    """

    mode: Literal["shadow", "advise", "approve", "auto"] = "advise"
    max_per_day: Annotated[int, Field(ge=0)]
    max_per_hour: Annotated[int, Field(ge=0)]
    max_per_target_day: Annotated[int, Field(ge=0)] = 1
    cooldown_s: Annotated[float, Field(ge=0)] = 0
    valid_for_s: Annotated[float, Field(gt=0)] = 86400
    approvals: Annotated[int, Field(ge=0)] = 0


ActionKind = Literal["alarm", "hold_lot", "setpoint_advice", "work_order", "schedule", "route", "release", "report"]
