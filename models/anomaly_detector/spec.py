"""What an anomaly detector is, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from models.solution import LearningSpec, Part


def _lengths(value: list[float]) -> list[float]:
    if any(hours <= 0 for hours in value) or len(set(value)) < len(value):
        msg = f"windows_h are different lengths in hours above 0; found {value}"
        raise ValueError(msg)
    return value


class Series(Part):
    """The table follows entities over time; each number is judged by its own past over windows of several lengths."""

    windows_h: list[float] = Field(
        default=[1.0, 8.0, 24.0],
        description="hours over which what creeps or stays is judged, beside each row alone: an hour, a shift, a day",
    )

    @field_validator("windows_h")
    @classmethod
    def _different_and_positive(cls, value: list[float]) -> list[float]:
        return _lengths(value)


class Streams(Part):
    """Rows that one machine makes follow each other: what they have in common is judged beside each row by itself."""

    windows_h: list[float] = Field(
        default=[8.0, 24.0, 72.0],
        min_length=1,
        description="hours over which the mean of a machine's rows is judged: a shift, a day, what creeps",
    )

    @field_validator("windows_h")
    @classmethod
    def _different_and_positive(cls, value: list[float]) -> list[float]:
        return _lengths(value)


class Alarms(Part):
    """What those who get the alarms are willing to look at; the limit follows from it."""

    per_week: float = Field(default=1.0, gt=0.0, description="alarms a week over all entities; the limit follows")
    hold_off_h: float = Field(
        default=24.0,
        ge=0.0,
        description=(
            "hours without a row over the limit after which an alarm is over: an excursion is one alarm. A day: the "
            "hours of one are not alike. 0: every row over the limit is an alarm, as for cells"
        ),
    )


class Events(Part):
    """A table of what really happened, where somebody wrote it down; only to judge by, never to learn from."""

    table: str = Field(description="lake relation or file with a row per event")
    begins_at: str = Field(description="column: from when an alarm tells of the event (UTC)")
    ends_at: str = Field(description="column: until when (UTC)")
    entity: list[str] = Field(default_factory=list, description="columns that name whom it befell, as `follow`")


class AnomalyGates(Part):
    """Limits that a challenger must keep."""

    min_holdout_rows: int = Field(default=200, ge=1, description="fewer later rows: the verdict is 'insufficient'")
    min_holdout_days: float = Field(default=3.0, gt=0.0, description="a shorter later part: 'insufficient'")
    not_worse_margin: float = Field(default=0.02, ge=0.0, description="share of the champion's loss")
    max_seconds_per_1000_rows: float = Field(default=1.0, gt=0.0, description="time limit of scoring")
    horizon_nights: int = Field(default=60, ge=1, description="nights over which 5 % false claims are spent")


class AnomalySpec(LearningSpec):
    """One anomaly detector: which numbers it watches, how many alarms it may raise, and what follows from one.

    Numbers that `features` selects are watched. With `series` each is judged by its own past, without it the numbers of
    a row are judged together, by how rows of the reference look. Nothing is learnt from events or outcomes.
    """

    time: str = Field(description="column: the moment of the row (UTC)")
    follow: list[str] = Field(
        default_factory=list,
        description="columns that name what rows belong to (machine, cabinet), with alarms of its own; none: all one",
    )
    series: Series | None = Field(default=None, description="judged by the past of what is followed; none: row by row")
    streams: Streams | None = Field(
        default=None, description="rows of what is followed judged together too, as a machine's cells; none: each alone"
    )
    alarms: Alarms = Field(default_factory=Alarms, description="the budget of alarms")
    holdout_ratio: float = Field(
        default=0.2,
        gt=0.0,
        lt=0.6,
        description="share of the time, the latest, kept to judge by; the reference is before",
    )
    events: Events | None = Field(default=None, description="known events to judge by; none: faults put in alone")
    top_k: int = Field(default=3, ge=1, le=20, description="reasons of a row under an alarm")
    act_within_h: float | None = Field(
        default=None, gt=0.0, description="hours after its moment for which a row is acted upon; none: for good"
    )
    seed: int = Field(default=7, description="seed of the faults put in")
    gates: AnomalyGates = Field(default_factory=AnomalyGates, description="limits a challenger must keep")

    @model_validator(mode="after")
    def _named_for_one_thing(self) -> Self:
        if self.time in self.follow:
            msg = f"the moment '{self.time}' cannot be what is followed"
            raise ValueError(msg)
        if self.streams is not None and (self.series is not None or not self.follow):
            msg = "streams are of rows without `series`, and `follow` names what makes them"
            raise ValueError(msg)
        if self.events is not None and len(self.events.entity) not in (0, len(self.follow)):
            msg = f"events.entity names as many columns as `follow`, or none; found {self.events.entity}"
            raise ValueError(msg)
        return self

    @property
    def tables(self) -> list[str]:
        """Rows and events."""
        return list(dict.fromkeys([self.table, *([self.events.table] if self.events else [])]))

    @property
    def roles(self) -> dict[str, str]:
        """Columns that have another part to play than that of a watched number."""
        roles = super().roles
        for name in self.follow:
            roles.setdefault(name, "what is followed")
        return roles | {self.time: "moment of the row"}

    @property
    def named_columns(self) -> list[str]:
        """Columns of the table that the YAML names outright."""
        return list(dict.fromkeys([*super().named_columns, self.time, *self.follow]))

    @property
    def primary_metric(self) -> str:
        """Share of the faults put into later rows that it finds."""
        return "faults_found"

    @property
    def acts_within_h(self) -> float | None:
        """Hours after its moment for which a row can be acted upon."""
        return self.act_within_h

    @property
    def hold_off_s(self) -> float:
        """Seconds without a row over the limit after which an alarm is over."""
        return self.alarms.hold_off_h * 3600.0

    def over(self, relations: dict[str, str], domain: str) -> Self:
        """The same solution over other relations: rows and events."""
        moved = super().over(relations, domain)
        if self.events is None:
            return moved
        table = relations.get(self.events.table, self.events.table)
        return moved.model_copy(update={"events": self.events.model_copy(update={"table": table})})
