"""What the figures of an alarm system are worked out from, as the YAML says it. Light: pydantic only."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from models.solution import LonePart


class Alarms(LonePart):
    """Performance of an alarm system after ISA-18.2 (IEC 62682): load, floods, chatter, stale alarms, priorities.

    Each row of the table is one annunciation of an alarm, from its being raised to its return.
    """

    kind: Literal["alarms"] = Field(description="which figures: here those of alarms")
    alarm: list[str] = Field(
        default=["machine_id", "alarm_code"], min_length=1, description="columns that together name an alarm"
    )
    priority: str = Field(default="priority_code", description="column of the priority")
    priorities: dict[str, float] = Field(
        default={"low": 0.80, "medium": 0.15, "high": 0.05},
        min_length=1,
        description="priorities with the share of alarms that each is to have",
    )
    raised: str = Field(default="raised_at", description="column: when it was raised")
    returned: str = Field(default="returned_at", description="column: when it returned to normal; empty: it stands")
    period: list[str] = Field(default=["production_day"], min_length=1, description="columns that name the period")
    operators: int = Field(default=1, ge=1, description="operators that the alarms are shared out to at any time")
    window_s: int = Field(default=600, gt=0, description="stretch of time in which alarms are counted")
    flood_from: float = Field(default=10.0, gt=0.0, description="alarms per operator and window: a flood begins")
    flood_below: float = Field(default=5.0, gt=0.0, description="alarms per operator and window: it has ended")
    chatter_count: int = Field(
        default=3, ge=2, le=10, description="times within `chatter_s` that make an alarm chatter"
    )
    chatter_s: float = Field(default=60.0, gt=0.0, description="see `chatter_count`")
    stale_h: float = Field(default=24.0, gt=0.0, description="hours from which an alarm that stands is stale")
    top: int = Field(default=10, ge=1, le=100, description="most frequent alarms whose share of the load is told")
    roll_up: list[list[str]] = Field(default_factory=list, description="further levels of figures")
    min_floods: int = Field(default=2, ge=1, description="floods in which one alarm follows another to be told a chain")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.flood_below > self.flood_from:
            msg = f"a flood ends below what it begins with; found {self.flood_below:g} and {self.flood_from:g}"
            raise ValueError(msg)
        if abs(sum(self.priorities.values()) - 1) > 1e-6:
            msg = f"shares of priorities add up to 1; found {sum(self.priorities.values()):g}"
            raise ValueError(msg)
        return self

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        levels = (column for level in self.roll_up for column in level)
        return list(dict.fromkeys([*self.alarm, *self.period, self.priority, self.raised, self.returned, *levels]))
