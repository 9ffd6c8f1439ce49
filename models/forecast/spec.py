"""What a forecast is, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from models.solution import Action, ColumnSelection, LearningSpec, Part, three_rising


class Ahead(Part):
    """A table of what is known before it happens: a tariff, a plan, a calendar."""

    table: str = Field(min_length=1, description="lake relation or file with a row per step, future steps among them")
    time: str = Field(description="column: the step that the row is of, as `time`")
    known_at: str = Field(description="column: when the row became known (UTC); a forecast made before does not see it")
    columns: list[str] = Field(min_length=1, description="columns of numbers to learn from")
    by: list[str] = Field(
        default_factory=list, description="columns of `series` that it tells apart; none: one for all"
    )


class Orders(Part):
    """A table of what was ordered and has not come yet."""

    table: str = Field(min_length=1, description="lake relation or file with a row per order")
    by: list[str] = Field(min_length=1, description="columns that name the series, in the order of `series`")
    quantity: str = Field(description="column: how much comes, in the target's unit")
    ordered_at: str = Field(description="column: when it was ordered (UTC)")
    due_at: str = Field(description="column: when it is to come (UTC)")
    arrived_at: str = Field(description="column: when it came; empty while it is open")


class Cover(Part):
    """Whether what is in store and on order lasts: the forecast then proposes to buy."""

    stock: str = Field(description="column of the table: what is in store at the end of the step, in the target's unit")
    orders: Orders | None = Field(default=None, description="open orders; none: the store alone")
    lead_time_steps: int | None = Field(
        default=None,
        ge=1,
        description="steps from an order to its arrival; none: the median that the orders promise, at most the horizon",
    )


class ForecastAction(Action):
    """What follows where what is in store does not last."""

    cover: Cover | None = Field(default=None, description="what the demand is held against; none: nothing is flagged")


class ForecastGates(Part):
    """Limits that a challenger must keep; ratios in [0, 1]."""

    min_holdout_blocks: int = Field(
        default=3, ge=2, description="blocks of origins, each as long as a season and a forecast; fewer: 'insufficient'"
    )
    max_coverage_gap: float = Field(default=0.03, gt=0.0, description="|coverage - nominal| of the intervals")
    not_worse_margin: float = Field(default=0.02, ge=0.0, description="share of the champion's loss")
    max_seconds_per_1000_rows: float = Field(default=1.0, gt=0.0, description="time limit of scoring")
    horizon_nights: int = Field(default=60, ge=1, description="nights over which 5 % false claims are spent")


class ForecastSpec(LearningSpec):
    """One forecast: which series, how far ahead, from what, and what follows.

    Every series of the table is forecast from the moment that a step begins, for that step and those after it. What was
    known then is all that is seen: the target's own past, the past of what `features` selects, and what `ahead` tells.
    """

    time: str = Field(description="column: when the step begins (UTC), or its production day")
    series: list[str] = Field(default_factory=list, description="columns that name the series; none: the table is one")
    known_at: str | None = Field(
        default=None, description="column: when the row became known (UTC); none: at the end of its step"
    )
    target: str = Field(description="column: what is forecast, a number")
    unit: str = Field(default="", description="unit of the target, for people")
    step_h: float = Field(gt=0.0, description="hours from a step to the next one: 1, 24")
    season: int = Field(ge=1, description="steps of a season: 24 hours of a day, 7 days of a week")
    horizon: int = Field(ge=1, le=400, description="steps that are forecast")
    origin_every: int = Field(default=1, ge=1, description="steps between the moments that it is learnt and judged at")
    features: ColumnSelection = Field(
        default_factory=lambda: ColumnSelection(select=[]),
        description="further numbers of the table, of which only the past is known; none unless named",
    )
    given: list[str] = Field(
        default_factory=list,
        description=(
            "numbers of the forecast row itself that are given: the answer is then what the target should have been, "
            "for a row that is known already; none: the future is forecast"
        ),
    )
    ahead: Ahead | None = Field(default=None, description="what is known before it happens")
    quantiles: list[float] = Field(
        default_factory=lambda: [0.05, 0.5, 0.95], description="low, middle and high, rising; judged by all of them"
    )
    holdout_ratio: float = Field(
        default=0.25, gt=0.0, lt=0.6, description="share of the time, the latest, kept to judge by"
    )
    max_rounds: int = Field(default=600, ge=10, le=5000, description="boosting rounds at most")
    max_rows: int = Field(
        default=60_000, ge=500, description="rows (series, origin, step ahead) learnt from, the newest"
    )
    seed: int = Field(default=7, description="seed of fits and intervals")
    gates: ForecastGates = Field(default_factory=ForecastGates, description="limits a challenger must keep")
    action: ForecastAction = Field(default_factory=ForecastAction, description="what follows from an answer")

    _rising = field_validator("quantiles")(three_rising)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if set(self.keys) != {*self.series, self.time}:
            msg = f"keys are the columns of `series` and `time`, here {[*self.series, self.time]}; found {self.keys}"
            raise ValueError(msg)
        if self.target in self.keys:
            msg = f"the target '{self.target}' is also a key"
            raise ValueError(msg)
        if self.target in self.given or set(self.given) & set(self.features.select):
            msg = f"given names neither the target nor what features.select names; found {self.given}"
            raise ValueError(msg)
        if self.given and self.origin_every > self.horizon:
            msg = (
                f"origin_every {self.origin_every} is beyond the horizon of {self.horizon} steps: steps stay unanswered"
            )
            raise ValueError(msg)
        if self.given and self.action.cover is not None:
            msg = "action.cover needs a forecast of the future, and `given` asks what should have been"
            raise ValueError(msg)
        if self.ahead is not None and not set(self.ahead.by) <= set(self.series):
            msg = f"ahead.by names columns of `series`, here {self.series}; found {self.ahead.by}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _covers_what_it_tells(self) -> Self:
        cover = self.action.cover
        if cover is None:
            return self
        if cover.lead_time_steps is None and cover.orders is None:
            msg = "action.cover names lead_time_steps, or orders to learn the lead time from"
            raise ValueError(msg)
        if cover.lead_time_steps is not None and cover.lead_time_steps > self.horizon:
            msg = f"action.cover.lead_time_steps {cover.lead_time_steps} is beyond the horizon of {self.horizon} steps"
            raise ValueError(msg)
        if cover.orders is not None and len(cover.orders.by) != len(self.series):
            msg = f"action.cover.orders.by names a column for each of {self.series}; found {cover.orders.by}"
            raise ValueError(msg)
        return self

    @property
    def tables(self) -> list[str]:
        """The series, what is known ahead, and open orders."""
        orders = self.action.cover.orders if self.action.cover else None
        more = [part.table for part in (self.ahead, orders) if part is not None]
        return list(dict.fromkeys([self.table, *more]))

    @property
    def roles(self) -> dict[str, str]:
        """Columns that have another part to play than that of a feature."""
        roles = super().roles | {self.time: "the step", self.target: "the target"}
        if self.known_at:
            roles[self.known_at] = "when the row became known"
        return roles

    @property
    def named_columns(self) -> list[str]:
        """Columns of the table that the YAML names outright."""
        stock = self.action.cover.stock if self.action.cover else None
        more = [name for name in (self.target, self.known_at, stock, *self.given) if name is not None]
        return list(dict.fromkeys([*super().named_columns, self.time, *more]))

    @property
    def primary_metric(self) -> str:
        """Weighted quantile loss."""
        return "wql"

    @property
    def nominal_coverage(self) -> float:
        """Share of the values, in (0, 1), that the intervals promise to hold."""
        return round(self.quantiles[2] - self.quantiles[0], 12)  # 0.95 - 0.05 is 0.9 for people

    @property
    def step_s(self) -> int:
        """Seconds from a step to the next one."""
        return round(self.step_h * 3600)

    def over(self, relations: dict[str, str], domain: str) -> Self:
        """The same solution over other relations: series, what is known ahead, open orders."""
        moved = super().over(relations, domain)

        def renamed(part: Ahead | Orders | None) -> Ahead | Orders | None:
            return part and part.model_copy(update={"table": relations.get(part.table, part.table)})

        action = self.action
        if (cover := action.cover) is not None:
            cover = cover.model_copy(update={"orders": renamed(cover.orders)})
            action = action.model_copy(update={"cover": cover})
        return moved.model_copy(update={"ahead": renamed(self.ahead), "action": action})
