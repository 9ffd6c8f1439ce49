"""What OEE and its loss tree are worked out from, as the YAML says it. Light: pydantic only, safe to import."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from models.solution import LonePart

Element = Literal["production", "setup", "delay", "down", "planned_stop"]


class Oee(LonePart):
    """Overall equipment effectiveness and its loss tree, by the time elements of ISO 22400-2.

    Each row of the table is a state of a machine from one moment to another, within one period such as a shift.
    """

    kind: Literal["oee"] = Field(description="which figures: here OEE and where the time went")
    machine: str = Field(default="machine_id", description="column of the machine")
    begin: str = Field(default="begun_at", description="column: when the state began")
    end: str = Field(default="ended_at", description="column: when it ended")
    state: str = Field(default="state_code", description="column of the state, such as PackML's")
    reason: str | None = Field(default="reason_code", description="column of the reason; none: states have none")
    period: list[str] = Field(
        default=["production_day", "shift_code"], min_length=1, description="columns that name the period of a row"
    )
    period_from: str = Field(default="shift_from_at", description="column: when the period began")
    period_to: str = Field(default="shift_to_at", description="column: when it ends; between is its calendar time")
    produced: str = Field(default="produced_count", description="column: pieces made in the state")
    good: str = Field(default="good_count", description="column: of these, good the first time")
    ideal_rate_per_h: str = Field(default="ideal_rate_per_h", description="column: pieces per hour at the ideal cycle")
    only: str | None = Field(default=None, description="column that says which rows count; none: all")
    elements: dict[Element, list[str]] = Field(
        description=(
            "states by the time element they belong to, as `State` or `State/reason` (which wins): production (APT), "
            "setup (AUST), delay (ADET: stops while an order is under way), down (ADOT: none is under way), "
            "planned_stop (outside planned busy time)"
        )
    )
    failures: list[str] = Field(default_factory=list, description="states, named likewise, that are a failure (MTBF)")
    roll_up: list[list[str]] = Field(
        default_factory=list,
        description="further levels of figures, each the columns it is by; an empty one is the whole",
    )
    max_unrecorded_ratio: float = Field(
        default=0.05, ge=0.0, le=1.0, description="share of calendar time that may lack a state before a check says so"
    )
    below: float | None = Field(default=None, gt=0.0, le=1.0, description="OEE under which a row is flagged")
    top_k: int = Field(default=3, ge=1, le=20, description="losses named as reasons of a row, the largest")

    @field_validator("elements")
    @classmethod
    def _each_state_once(cls, value: dict[Element, list[str]]) -> dict[Element, list[str]]:
        named = [state for states in value.values() for state in states]
        if twice := sorted({state for state in named if named.count(state) > 1}):
            msg = f"each state belongs to one element; found twice: {', '.join(twice)}"
            raise ValueError(msg)
        if not value.get("production"):
            msg = "elements.production names the state in which the machine produces, such as [Execute]"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _reasons_have_a_column(self) -> Self:
        named = [*self.failures, *(state for states in self.elements.values() for state in states)]
        if self.reason is None and (with_reason := [state for state in named if "/" in state]):
            msg = f"write `reason`, the column of the reason, to name {', '.join(with_reason)}"
            raise ValueError(msg)
        return self

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        single = (self.machine, self.begin, self.end, self.state, self.reason, self.period_from, self.period_to)
        counts = (self.produced, self.good, self.ideal_rate_per_h, self.only)
        levels = (column for level in self.roll_up for column in level)
        return list(dict.fromkeys(name for name in (*single, *counts, *self.period, *levels) if name))
