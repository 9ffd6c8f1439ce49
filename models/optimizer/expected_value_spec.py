"""Set-points by what they are worth, as YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from models.solution import Part


class PricedMove(Part):
    """A set-point that is moved, and what a unit of it costs."""

    of: str = Field(description="set-point, a column with its measured value; limits are the plan's")
    usd_per_unit: float = Field(ge=0.0, description="US$ that a unit more of it costs for each item")


class Miss(Part):
    """An outcome whose miss costs money."""

    of: str = Field(description="column of the table of outcomes with its measured value, or a set-point of `move`")
    at_least: float | None = Field(default=None, description="smallest value that is no miss; none: no limit")
    at_most: float | None = Field(default=None, description="largest value that is no miss; none: no limit")
    usd: float = Field(gt=0.0, description="US$ that an item loses that misses")

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.at_least is None and self.at_most is None:
            msg = f"'{self.of}' cannot be missed: write at_least, at_most or both"
            raise ValueError(msg)
        return self


class Outcomes(Part):
    """Table with what came of the items."""

    table: str = Field(description="table with a row for each item, named by the same last key")
    known_at: str = Field(description="column: when the last of its outcomes was known")


class ExpectedValue(Part):
    """Moves set-points, one at a time, to where their cost and the expected misses together cost least."""

    kind: Literal["expected_value"] = Field(
        description="which way of optimising: here by money, learnt from past items"
    )
    move: list[PricedMove] = Field(min_length=1, max_length=3, description="set-points and what a unit of each costs")
    miss: list[Miss] = Field(min_length=1, description="outcomes with a limit, and what a miss costs")
    variant: str | None = Field(
        default=None,
        description="column with the variant that makes `<variant>_<name>` the plan's code; none: no variant",
    )
    ran_at: str = Field(description="column: when the item was made")
    known_at: str = Field(description="column: when its record was known")
    outcomes: Outcomes = Field(description="where the outcomes stand")
    rows: int = Field(default=30000, ge=300, description="last items with outcomes that are learnt from")
    min_saving_usd: float = Field(default=0.01, ge=0.0, description="US$ an item that a move must save")
    max_age_h: float = Field(default=6.0, gt=0.0, description="age of the newest item from which on nothing is moved")
    learn_days: float = Field(default=60.0, ge=1.0, le=365.0, description="days whose items are learnt from")

    @property
    def names(self) -> list[str]:
        """Set-points that are moved."""
        return [one.of for one in self.move]

    @property
    def told(self) -> list[str]:
        """Columns of the table of outcomes that it reads: those of the misses that are no set-point."""
        return [one.of for one in self.miss if one.of not in self.names]

    @property
    def tables(self) -> list[str]:
        """Tables beside the solution's own."""
        return [self.outcomes.table]

    def over(self, relations: dict[str, str]) -> ExpectedValue:
        """The same search over other relations, by the names that the YAML gives its tables."""
        table = relations.get(self.outcomes.table, self.outcomes.table)
        return self.model_copy(update={"outcomes": self.outcomes.model_copy(update={"table": table})})

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        named = (*self.names, self.variant, self.ran_at, self.known_at)
        return list(dict.fromkeys(name for name in named if name))
