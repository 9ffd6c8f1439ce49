"""What an activity-based conversion cost is worked out from, as the YAML says it. Light: pydantic only."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from models.solution import Part


class Pools(Part):
    """Cost that a period's steps share, with what each step's share goes by."""

    table: str = Field(min_length=1, description="table with a row per period and pool")
    pool: str = Field(default="pool_code", description="column that names the pool")
    amount: str = Field(default="cost_usd", description="column: cost of the pool in the period, in US$")
    drivers: dict[str, list[str]] = Field(
        min_length=1,
        description="by pool the columns of the steps to share it by: the first whose sum in the period is above 0",
    )

    @model_validator(mode="after")
    def _each_has_a_driver(self) -> Self:
        if without := [pool for pool, drivers in self.drivers.items() if not drivers]:
            msg = f"each pool has a driver; found none for {', '.join(without)}"
            raise ValueError(msg)
        return self


class Total(Part):
    """What the cost of a period has to add up to, told by somebody else, and what was made for it."""

    table: str = Field(min_length=1, description="table with a row per period")
    cost: str = Field(default="total_cost_usd", description="column: cost of the period in US$; empty: not known")
    output: str = Field(default="premium_kwh", description="column: what was made of it, in kWh")
    is_final: str | None = Field(
        default=None, description="column that says whether the output is all known; none: it always is"
    )


class Cost(Part):
    """Conversion cost by step and period: what a step spent itself, and its share of what all steps share.

    Each row of the table is a step in a period.
    """

    kind: Literal["cost"] = Field(description="which figures: here activity-based cost")
    step: str = Field(default="step_code", description="column of the step")
    period: list[str] = Field(default=["production_day"], min_length=1, description="columns that name the period")
    end: str = Field(default="ended_at", description="column: when the period ended")
    direct: list[str] = Field(min_length=1, description="columns of cost that the step itself spent, in US$")
    pools: Pools = Field(description="cost that the steps share")
    total: Total = Field(description="what the cost of a period has to add up to")
    standard: str | None = Field(default=None, description="column: standard cost of the step in US$/kWh")
    above_ratio: float = Field(
        default=1.25, gt=1.0, description="multiple of the standard from which a step and period is flagged"
    )
    roll_up: list[list[str]] = Field(default_factory=list, description="further levels of figures")
    top_k: int = Field(default=3, ge=1, le=20, description="parts named as reasons of a row, the largest")

    @model_validator(mode="after")
    def _levels_are_of_step_and_period(self) -> Self:
        known = {self.step, *self.period}
        if strange := sorted({name for level in self.roll_up for name in level} - known):
            msg = f"cost is rolled up by {', '.join(sorted(known))}; found {', '.join(strange)}"
            raise ValueError(msg)
        return self

    @property
    def tables(self) -> list[str]:
        """What it reads beside the steps."""
        return [self.pools.table, self.total.table]

    def over(self, relations: dict[str, str]) -> Self:
        """The same over other relations."""
        pools = self.pools.model_copy(update={"table": relations.get(self.pools.table, self.pools.table)})
        total = self.total.model_copy(update={"table": relations.get(self.total.table, self.total.table)})
        return self.model_copy(update={"pools": pools, "total": total})

    @property
    def columns(self) -> list[str]:
        """Columns of the table of steps that it reads, each once."""
        drivers = (name for names in self.pools.drivers.values() for name in names)
        own = (self.step, *self.period, self.end, *self.direct, *drivers, self.standard)
        return list(dict.fromkeys(name for name in own if name))
