"""The control plan (AIAG/IATF form): one row per step and characteristic, expanded over machines and positions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from pipelines.control_plan.feeds import Model
from pipelines.control_plan.numbers import numbers_to_give, point_no, refuse_clash
from pipelines.control_plan.row_check import InconsistentRowError, row_findings

if TYPE_CHECKING:
    import pyarrow as pa

EntityCode = Literal[
    "material_lot",
    "slurry_batch",
    "mother_roll",
    "daughter_roll",
    "cell",
    "module",
    "container",
    "machine",
    "machine_hour",
    "meter",
]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
# Outcomes that models aim at and that are no characteristic of the plan.
LABELS = ("is_premium", "is_hipot_passed", "is_k_value_passed", "cost_to_come_usd_per_kwh", "fails_within_24h")
ELECTRODES = ("cathode", "anode")
ANY_MACHINE = "*"


class Step(Model):
    """A step of the process chain.

    Attributes:
        code: as used in the plan.
        order: place in the chain; facility steps come from 90 on.
        title: for people.
        area: ISA-95 area it happens in.
    """

    code: Code
    order: int
    title: str
    area: str

    @property
    def is_facility(self) -> bool:
        """Whether it serves the line instead of being part of the chain."""
        return self.order >= 90


class Machine(Model):
    """A unit of the ISA-95 hierarchy.

    Attributes:
        variant: `cathode`, `anode` or empty when it serves both.
        positions_by_name: number of zones, lanes, trays ... it has.
        ideal_rate_per_h: units of `rate_unit` per hour at 100 % performance; None when it isn't counted.
        is_in_oee: whether its states count into the line's OEE.
    """

    id: str
    machine_class: str
    step: str
    area: str
    line: str
    variant: Literal["", "cathode", "anode"] = ""
    positions_by_name: dict[str, int] = Field(default_factory=dict)
    ideal_rate_per_h: float | None = None
    rate_unit: str = "cell"
    is_in_oee: bool = False


class Effect(Model):
    """Monotone knowledge: raising the characteristic raises (+1) or lowers (-1) the target, all else equal.

    Attributes:
        target: characteristic or label that it moves.
        sign: +1 raises it, -1 lowers it.
    """

    target: str
    sign: Literal[-1, 1]


class Characteristic(Model):
    """A row of control_plan.csv. Field by field as in the header; `class` is `special_class` here.

    Attributes:
        lsl: lower specification limit in `unit`, None when one-sided.
        physical_min: smallest value that instrument and physics allow; below it the value is no measurement.
        special_class: CC (critical), SC (significant) or empty.
        gauge_sd: standard deviation of the gauge's error in `unit`.
        resolution: smallest step the gauge shows, in `unit`.
        sample_every: `unit`, `batch`, `roll`, `lot`, `shift`, or an interval such as `60s`.
        delay_s: seconds from the event until the value is known.
        move_max: largest single set-point change in `unit`; None when it is not a set-point.
        move_rate_per_h: largest total change per hour in `unit`.
        step: step of site.yaml.
        variant: `cathode`, `anode`, a material, or empty.
        name: name with the unit at its end; `<variant>_<name>` is unique over the plan.
        type: product (of what is made) or process (of how).
        entity: what it is measured on.
        feed: feed of feeds.yaml that delivers it.
        machine_class: class of machines it applies to, `*` for all; empty when there is no machine.
        positions: positions per machine, such as `zone:12*side:2`.
        unit: unit of the values; a laboratory's in a unit of `units.UNIT_FACTORS` are converted, others set aside.
        nominal: value aimed at; None when there is none.
        usl: upper specification limit in `unit`, None when one-sided.
        physical_max: largest value that instrument and physics allow.
        gauge: instrument.
        sample_size: pieces per sample.
        control_method: how the step is kept in control.
        reaction: what to do outside the limits.
        effects: known signs, such as `capacity_ah:+ is_premium:-`; models may be bound to them.
        owner: team that answers for it.
        source_tag: where the numbers come from: S<n> public source, L literature, E estimate, C computed.
    """

    line_no: int = 0
    step: Code
    variant: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]*$")] = ""
    name: Code
    type: Literal["product", "process"]
    entity: EntityCode
    feed: str
    machine_class: str = ""
    positions: tuple[tuple[str, int], ...] = ()
    unit: str
    nominal: float | None = None
    lsl: float | None = None
    usl: float | None = None
    physical_min: float
    physical_max: float
    special_class: Literal["", "SC", "CC"] = Field("", alias="class")
    gauge: str = ""
    gauge_sd: float = Field(0.0, ge=0)
    resolution: float = Field(0.0, ge=0)
    sample_size: int = Field(1, ge=1)
    sample_every: Annotated[str, StringConstraints(pattern=r"^(unit|batch|roll|lot|shift|day|[1-9]\d*s)$")]
    delay_s: float = Field(0.0, ge=0)
    control_method: str = ""
    reaction: str = ""
    move_max: float | None = Field(None, gt=0)
    move_rate_per_h: float | None = Field(None, gt=0)
    effects: tuple[Effect, ...] = ()
    owner: str = ""
    source_tag: Annotated[str, StringConstraints(pattern=r"^(S\d+|L|E|C)( (S\d+|L|E|C))*$")]

    @property
    def code(self) -> str:
        """Name that is unique over the plan: `<variant>_<name>`, or the name alone."""
        return f"{self.variant}_{self.name}" if self.variant else self.name

    @property
    def is_setpoint(self) -> bool:
        """Whether the line may be advised to move it."""
        return self.move_max is not None

    @property
    def position_count(self) -> int:
        """Positions per machine."""
        return prod(count for _, count in self.positions)

    @model_validator(mode="after")
    def _consistent(self) -> Characteristic:
        if findings := list(row_findings(self)):
            raise InconsistentRowError(findings)
        return self


@dataclass(frozen=True)
class ControlPoint:
    """A characteristic at one machine and position."""

    no: int
    id: str
    machine: Machine | None
    characteristic: Characteristic
    position_no: int
    position: str


@dataclass(frozen=True)
class ControlPlan:
    """A site's control plan.

    Attributes:
        steps: in the order of the chain, facility steps last.
        rows: in the order of the file.
        machines: what the rows expand over.
        hash: sha256 over control_plan.csv and feeds.yaml.
        given_numbers: numbers that site.yaml gives to control points, by their id.
    """

    steps: list[Step]
    rows: list[Characteristic]
    machines: list[Machine]
    hash: str
    given_numbers: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def by_code(self) -> Mapping[str, Characteristic]:
        """Rows by their code."""
        return MappingProxyType({row.code: row for row in self.rows})

    @cached_property
    def steps_by_code(self) -> Mapping[str, Step]:
        """Steps by their code."""
        return MappingProxyType({step.code: step for step in self.steps})

    def machines_of(self, row: Characteristic) -> list[Machine]:
        """Machines that a row applies to: of its class, and of its electrode when it names one."""
        variants = ("", row.variant) if row.variant in ELECTRODES else ("", *ELECTRODES)
        return [
            machine
            for machine in self.machines
            if row.machine_class in (ANY_MACHINE, machine.machine_class) and machine.variant in variants
        ]

    @cached_property
    def points(self) -> tuple[ControlPoint, ...]:
        """Every control point, in the order of the rows, then machines, then positions.

        Raises:
            CellworksError: two points share a number (a chance of about 1 in 300 for 4,000 points); it says what
                site.yaml is to give.
        """
        points = self._expanded
        refuse_clash([(point.id, point.no) for point in points], self.given_numbers)
        return points

    @cached_property
    def points_hash(self) -> str:
        """Sha256 over `hash` and every control point's id and number, which follow from the machines too."""
        told = [self.hash, *(f"{point.no} {point.id}" for point in self.points)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    @cached_property
    def numbers_to_give(self) -> dict[str, int]:
        """What `point_numbers` of site.yaml lacks, by id; see `numbers.numbers_to_give`."""
        return numbers_to_give([(point.id, point.no) for point in self._expanded], self.given_numbers)

    @cached_property
    def _expanded(self) -> tuple[ControlPoint, ...]:
        return tuple(point for row in self.rows for point in self._points_of(row))

    def _points_of(self, row: Characteristic) -> Iterator[ControlPoint]:
        machines: list[Machine | None] = [*self.machines_of(row)] if row.machine_class else [None]
        for machine in machines:
            owner = machine.id if machine else row.step
            for position_no, position in enumerate(position_labels(row.positions), start=1):
                identity = ".".join(part for part in (owner, row.code, position) if part)
                no = self.given_numbers.get(identity) or point_no(identity)
                yield ControlPoint(no, identity, machine, row, position_no, position)

    def control_points(self) -> pa.Table:
        """Every control point as a table, sorted by control_point_no.

        Returns:
            Columns control_point_no INT32 (stable: from control_point_id alone, or as site.yaml gives it),
            control_point_id, machine_id (null for what has no machine), machine_class, step_code, characteristic_code,
            variant, entity, type, feed, position_no INT32 (1 and up), position, unit, nominal, lsl, usl, physical_min,
            physical_max, special_class, gauge_sd, resolution, sample_every, delay_s.
        """
        import pyarrow as pa

        points = sorted(self.points, key=lambda point: point.no)
        rows = [point.characteristic for point in points]
        columns: dict[str, pa.Array] = {
            "control_point_no": pa.array([point.no for point in points], pa.int32()),
            "control_point_id": pa.array([point.id for point in points], pa.string()),
            "machine_id": pa.array([point.machine and point.machine.id for point in points], pa.string()),
            "machine_class": pa.array([p.machine and p.machine.machine_class for p in points], pa.string()),
            "step_code": pa.array([row.step for row in rows], pa.string()),
            "characteristic_code": pa.array([row.code for row in rows], pa.string()),
            "position_no": pa.array([point.position_no for point in points], pa.int32()),
            "position": pa.array([point.position for point in points], pa.string()),
        }
        for name in ("variant", "entity", "type", "feed", "unit", "special_class", "sample_every"):
            columns[name] = pa.array([getattr(row, name) for row in rows], pa.string())
        for name in (
            "nominal",
            "lsl",
            "usl",
            "physical_min",
            "physical_max",
            "gauge_sd",
            "resolution",
            "delay_s",
        ):
            columns[name] = pa.array([getattr(row, name) for row in rows], pa.float64())
        return pa.table(columns)


def position_labels(positions: tuple[tuple[str, int], ...]) -> list[str]:
    """Labels of all positions, the last dimension running fastest; one empty label without positions.

    >>> position_labels((("side", 2), ("lane", 2)))
    ['side1.lane1', 'side1.lane2', 'side2.lane1', 'side2.lane2']
    """
    labels = [""]
    for name, count in positions:
        width = len(str(count))
        labels = [
            f"{label}.{name}{no:0{width}d}" if label else f"{name}{no:0{width}d}"
            for label in labels
            for no in range(1, count + 1)
        ]
    return labels
