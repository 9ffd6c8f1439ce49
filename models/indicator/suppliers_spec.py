"""What a supplier quality index is worked out from, as the YAML says it. Light: pydantic only."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from models.solution import Part

PARTS = ("quality", "capability", "delivery")
PERIOD = "period_from"
"""Column of the first day of a period, which the index makes."""


class Results(Part):
    """Measured characteristics of lots with their limits: a row per lot and characteristic."""

    table: str = Field(min_length=1, description="table of results")
    characteristic: str = Field(default="characteristic_code", description="column of the characteristic")
    value: str = Field(default="measured_value", description="column: what was measured; empty: not yet")
    lower: str = Field(default="lsl", description="column: lower limit; empty: there is none")
    upper: str = Field(default="usl", description="column: upper limit; empty: there is none")
    at: str = Field(default="received_at", description="column: when the lot came; lots follow each other by it")
    least: int = Field(default=5, ge=3, description="lots of a characteristic and period from which Cpk is told")
    aim: float = Field(default=1.33, gt=0.0, description="Cpk from which a characteristic is capable")


class Orders(Part):
    """Orders of material: a row per order."""

    table: str = Field(min_length=1, description="table of orders")
    promised: str = Field(default="promised_at", description="column: until when delivery is promised")
    delivered: str = Field(default="delivered_at", description="column: when it came; empty: it has not")


class Suppliers(Part):
    """Quality index of suppliers: 100 points less what nonconforming units, incapable characteristics and delay cost.

    Each row of the table is what was inspected of a lot. A part of which nothing is known leaves its weight to others.
    """

    kind: Literal["suppliers"] = Field(description="which figures: here the quality index of suppliers")
    supplier: str = Field(default="supplier_code", description="column of the supplier, in all tables")
    material: str = Field(default="material_code", description="column of the material, in all tables")
    period: Literal["week", "month", "quarter"] = Field(
        default="month", description="stretch of the calendar (UTC) that an index is of; `period_from` names it"
    )
    at: str = Field(default="inspected_at", description="column: when the lot was inspected")
    inspected: str = Field(default="inspected_count", description="column: units inspected")
    nonconforming: str = Field(default="nonconforming_count", description="column: units of these that do not conform")
    worst_ppm: float = Field(
        default=10_000.0, gt=0.0, description="nonconforming units per million that cost all points of quality"
    )
    results: Results = Field(description="measured characteristics")
    orders: Orders | None = Field(default=None, description="orders; none: delivery is not judged")
    weights: dict[Literal["quality", "capability", "delivery"], float] = Field(
        default={"quality": 0.4, "capability": 0.4, "delivery": 0.2}, description="share of the points by part"
    )
    below: float | None = Field(default=None, gt=0.0, le=100.0, description="points under which a supplier is flagged")
    settle_d: float = Field(
        default=10.0, ge=0.0, description="days after a period until its records are thought to be complete"
    )
    roll_up: list[list[str]] = Field(default_factory=list, description="further levels of figures")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if min(self.weights.values(), default=-1.0) < 0 or abs(sum(self.weights.values()) - 1) > 1e-9:
            msg = f"weights are shares that add up to 1; found {self.weights}"
            raise ValueError(msg)
        known = {self.supplier, self.material, PERIOD}
        if strange := sorted({name for level in self.roll_up for name in level} - known):
            msg = f"suppliers are rolled up by {', '.join(sorted(known))}; found {', '.join(strange)}"
            raise ValueError(msg)
        return self

    @property
    def tables(self) -> list[str]:
        """What it reads beside the inspections."""
        return [self.results.table, *([self.orders.table] if self.orders else [])]

    def over(self, relations: dict[str, str]) -> Self:
        """The same over other relations."""
        renamed: dict[str, Part] = {
            "results": self.results.model_copy(update={"table": relations.get(self.results.table, self.results.table)})
        }
        if self.orders is not None:
            named = relations.get(self.orders.table, self.orders.table)
            renamed["orders"] = self.orders.model_copy(update={"table": named})
        return self.model_copy(update=renamed)

    @property
    def columns(self) -> list[str]:
        """Columns of the inspections that it reads, each once."""
        return [self.supplier, self.material, self.at, self.inspected, self.nonconforming]
