"""What a solution for remaining life is, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from models.solution import Part
from models.spec import PredictiveSpec, Search, Sequence, Split, Target

_METRICS = (
    "concordance",
    "rmse",
    "mae",
    "brier",
    "integrated_brier",
    "coverage",
    "interval_width",
    "policy_cost",
)


class LifeTarget(Target):
    """The remaining life: `column` where it ended, or so much at least where it had not when last seen."""

    event: str | None = Field(
        default=None, description="column: whether the life ended with the event; none: every life did"
    )
    upper: str | None = Field(
        default=None,
        description="column: the life had ended by then (found at an inspection); empty where it was not seen to end",
    )
    age: str | None = Field(
        default=None, description="column: how old the life is at its row, in the target's unit; what was used up"
    )
    horizon: float = Field(gt=0.0, description="the probability is that of the event within this, in the target's unit")

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> LifeTarget:
        if self.event is not None and self.upper is not None:
            msg = "target.event and target.upper both say which lives ended: an empty `upper` is a life that had not"
            raise ValueError(msg)
        if self.at_most is not None and self.horizon > self.at_most:
            msg = (
                f"target.horizon {self.horizon:g} is beyond target.at_most {self.at_most:g}, where lives count as long"
            )
            raise ValueError(msg)
        return self


class LifeSequence(Sequence):
    """Windows over the past, and over what the numbers have in common."""

    windows: list[int] = Field(
        default=[5, 10, 20, 40, 80, 160], min_length=1, description="rows that a window reaches back, at least 2"
    )
    fused: int = Field(
        default=2,
        ge=0,
        le=5,
        description="condition indices: principal components of the smoothed numbers, with windows; 0: none",
    )


class LifeSplit(Split):
    """How the hold-out and the inner folds are cut: lives stay whole."""

    group: str = Field(description="column that names the life: an engine, a tool from one change to the next")


class Policy(Part):
    """What the ways to maintain cost, so that they can be compared per unit of life."""

    failure: float = Field(gt=0.0, description="cost of a failure, with what it spoils")
    planned: float = Field(gt=0.0, description="cost of a replacement before the failure")
    wasted: float = Field(default=0.0, ge=0.0, description="cost of a unit of life that was thrown away with it")
    unit: str = Field(default="US$", description="unit of the costs")

    @model_validator(mode="after")
    def _worth_a_plan(self) -> Policy:
        if self.planned >= self.failure:
            msg = f"a planned replacement ({self.planned:g}) that costs no less than a failure ({self.failure:g})"
            raise ValueError(f"{msg} is never worth it: run to failure")
        return self


class SurvivalSpec(PredictiveSpec):
    """One solution for remaining life.

    It is read, split, searched, scored and watched as a regression is; what differs is that some lives are only known
    in part, and what follows from that.
    """

    target: LifeTarget = Field(description="the remaining life")
    task: Literal["regression"] = Field(default="regression", description="kind of answer: a number, nothing to choose")
    sequence: LifeSequence | None = Field(
        default=None, description="windows over the past of a sequence; none: rows alone"
    )
    split: LifeSplit = Field(description="how hold-out and folds are cut; its group names the life")
    search: Search = Field(
        default_factory=lambda: Search(members=3), description="budget of the search; linear is Weibull regression here"
    )
    train_on: Literal["machine"] = Field(default="machine", description="where the final fit is: nothing to choose")
    interval_rate: float = Field(
        default=0.0, ge=0.0, le=0.0, description="0: a life is known when it has ended, too late for its interval"
    )
    policy: Policy | None = Field(default=None, description="costs; sets below which remaining life to act")
    min_concordance: float = Field(
        default=0.7, ge=0.5, lt=1.0, description="share of pairs in the right order, at least"
    )

    @model_validator(mode="after")
    def _policy_has_ages(self) -> SurvivalSpec:
        if self.policy is not None and self.target.age is None:
            msg = "policy compares cost per unit of life, so target.age must name the column of the age"
            raise ValueError(msg)
        if self.policy is not None and (self.action.above is not None or self.action.below is not None):
            msg = "policy finds the remaining life below which to act, so action.above and action.below are left out"
            raise ValueError(msg)
        return self

    @property
    def roles(self) -> dict[str, str]:
        """Columns that have another part to play than that of a feature; what says how a life ended is the target."""
        told = [name for name in (self.target.event, self.target.upper) if name is not None]
        return super().roles | dict.fromkeys(told, "the target")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that the hold-out gets."""
        return _METRICS if self.policy is not None else _METRICS[:-1]
