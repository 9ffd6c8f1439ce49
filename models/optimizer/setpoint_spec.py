"""A search for the cheapest safe set-points, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from models.solution import LonePart, Part


class Kept(Part):
    """A quantity that must keep its specification, and the model that predicts it from the set-points."""

    solution: str = Field(
        pattern=r"^\w+/\w+$", description="`<stage>/<slug>` of a PredictiveModel; its champion is asked"
    )
    of: str = Field(description="characteristic that it predicts; usl and lsl of the plan are the limits")
    margin: float = Field(default=0.0, ge=0.0, description="in its unit; the limits are kept with so much to spare")
    rate: float | None = Field(
        default=None,
        ge=0.001,
        le=0.05,
        description=(
            "share of runs that may lie beyond the model's conformal bound: a chance constraint; "
            "none: the end of the model's own interval"
        ),
    )


class Factor(Part):
    """A set-point's part in a term: what it is above `less`, over the same with the recipe, to a power."""

    of: str = Field(description="set-point, one of `move`")
    less: float = Field(default=0.0, description="taken off in its unit first, such as the temperature of fresh air")
    power: float = Field(default=1.0, description="1: in proportion; 3: of a fan's speed in its power; -1: per speed")


class Term(Part):
    """A part of the cost that follows from the set-points as the product of its factors."""

    share: float = Field(gt=0.0, le=1.0, description="of the whole cost with the recipe's set-points")
    factors: list[Factor] = Field(min_length=1, description="their product is 1 with the recipe")


class SetpointSearch(LonePart):
    """Moves set-points, one at a time, to the cheapest values whose predicted quantities keep their limits."""

    kind: Literal["setpoint_search"] = Field(description="which way of optimising: here a search over promoted models")
    move: list[str] = Field(
        min_length=1, max_length=3, description="set-points, columns with their measured values; limits are the plan's"
    )
    keep: list[Kept] = Field(min_length=1, description="quantities that must keep their specification")
    cost: list[Term] = Field(min_length=1, description="what is to become less; shares below 1: the rest stays")
    variant: str | None = Field(
        default=None,
        description="column with the variant that makes `<variant>_<name>` the plan's code; none: no variant",
    )
    ran_at: str = Field(description="column: when the run ended")
    known_at: str = Field(description="column: when its record was known")
    rows: int = Field(default=30, ge=10, le=1000, description="last runs that stand for the next one")
    share: float = Field(
        default=0.9, gt=0.5, le=1.0, description="of these, whose prediction intervals must keep the limits"
    )
    min_saving: float = Field(default=0.002, ge=0.0, lt=0.5, description="share of the cost that a move must save")
    otherwise: Literal["hold", "recipe"] = Field(
        default="hold",
        description=(
            "where nothing shows that the limits are kept and no safe move mends it: leave the set-points, "
            "or take them back to the recipe's, as fast as the plan allows"
        ),
    )
    max_age_h: float = Field(default=6.0, gt=0.0, description="age of the newest run from which on nothing is moved")
    learn_days: float = Field(default=60.0, ge=1.0, le=365.0, description="days whose runs span what was seen")

    @field_validator("move")
    @classmethod
    def _different(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            msg = f"set-points are named once each; found {value}"
            raise ValueError(msg)
        return value

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        named = (*self.move, self.variant, self.ran_at, self.known_at)
        return list(dict.fromkeys(name for name in named if name))
