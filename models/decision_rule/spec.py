"""What a decision rule is, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from models.solution import Part, RuleSpec
from pipelines.sampling.iso2859 import AQLS, Level


class AqlBy(Part):
    """An acceptance quality limit for each value of a column, as for major and minor nonconformities."""

    column: str = Field(description="column that tells it; one of `of`, for lots of one limit follow each other")
    of: dict[str, float] = Field(min_length=1, description="limit in percent nonconforming by the column's value")


class Sampling(Part):
    """Lots judged by a sample, after ISO 2859-1: single plans by attributes, with switching."""

    lot_size: str = Field(description="column: units in the lot")
    inspected: str = Field(description="column: units inspected of it")
    nonconforming: str = Field(description="column: units of these that do not conform")
    of: list[str] = Field(
        default_factory=list,
        description="columns (supplier, product) that name whose lots follow each other; inspection switches for each",
    )
    aql: float | AqlBy = Field(
        description="acceptance quality limit in percent nonconforming, one of the standard's, or one by a column"
    )
    level: Level = Field(default="II", description="general inspection level")
    resumed: dict[str, list[datetime]] = Field(
        default_factory=dict,
        description="moments (UTC) from which lots are accepted again after inspection was discontinued, by `of`, "
        "several values with `/` between: the supplier has acted",
    )

    @model_validator(mode="after")
    def _of_the_standard(self) -> Self:
        limits = [self.aql] if isinstance(self.aql, float) else list(self.aql.of.values())
        if strange := [each for each in limits if each not in AQLS]:
            msg = f"aql is one of {', '.join(f'{each:g}' for each in AQLS)}; found {strange[0]:g}"
            raise ValueError(msg)
        if isinstance(self.aql, AqlBy) and self.aql.column not in self.of:
            msg = f"aql.column is one of `of`, {', '.join(self.of) or 'which names none'}; found {self.aql.column}"
            raise ValueError(msg)
        return self

    @property
    def texts(self) -> list[str]:
        """Columns read as text."""
        return self.of

    @property
    def numbers(self) -> list[str]:
        """Columns read as numbers."""
        return [self.lot_size, self.inspected, self.nonconforming]


class Screen(Part):
    """Rows beside their peers: how far a value is from the median of its group, in robust standard deviations.

    The limit is an extreme value: so far the farthest of as many good rows goes with `chance`.
    """

    column: str = Field(description="column: the number that is judged")
    group: list[str] = Field(min_length=1, description="columns that name the peers: tray, batch, machine and day")
    side: Literal["above", "below", "both"] = Field(default="above", description="which outliers are looked for")
    scale: Literal["linear", "log"] = Field(
        default="linear", description="`log` for what is positive and spreads by factors, such as a leakage current"
    )
    chance: float = Field(
        default=0.01, ge=0.001, le=0.5, description="chance that a group of good rows has one beyond the limit"
    )
    min_peers: int = Field(default=8, ge=4, description="rows of a group below which nothing is decided")

    @property
    def texts(self) -> list[str]:
        """Columns read as text."""
        return self.group

    @property
    def numbers(self) -> list[str]:
        """Columns read as numbers."""
        return [self.column]


class Limit(Part):
    """Bounds of a number; both ends belong to it."""

    at_least: float | None = Field(default=None, description="smallest value")
    at_most: float | None = Field(default=None, description="largest value")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.at_least is None and self.at_most is None:
            msg = "a limit has at_least, at_most or both"
            raise ValueError(msg)
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            msg = f"at_least {self.at_least:g} is above at_most {self.at_most:g}"
            raise ValueError(msg)
        return self


class Grade(Part):
    """A class and the limits that all must hold for it."""

    name: str = Field(min_length=1, description="how the class is called")
    limits: dict[str, Limit] = Field(min_length=1, description="limits by column")


class Grading(Part):
    """Classes in order: a row belongs to the first whose limits it keeps."""

    grades: list[Grade] | Literal["site"] = Field(
        description="classes, the best first; `site`: the grades of site.yaml with their limits, the one without being "
        "the last",
    )
    otherwise: str = Field(default="", description="class of a row that keeps the limits of none; not with `site`")
    flagged: list[str] = Field(default_factory=list, description="classes that call for the action")

    @model_validator(mode="after")
    def _names_each_class_once(self) -> Self:
        if self.grades == "site":
            if self.otherwise:
                msg = f"grades: site names every class, leave otherwise out; found {self.otherwise}"
                raise ValueError(msg)
            return self
        if not self.grades or not self.otherwise:
            msg = (
                "grading needs at least one of grades, and otherwise: the class of a row that keeps the limits of none"
            )
            raise ValueError(msg)
        if len(set(self.names)) < len(self.names):
            msg = f"classes have different names; found {', '.join(self.names)}"
            raise ValueError(msg)
        if strangers := sorted(set(self.flagged) - set(self.names)):
            msg = f"flagged names classes among {', '.join(self.names)}; found {', '.join(strangers)}"
            raise ValueError(msg)
        return self

    @property
    def written(self) -> list[Grade]:
        """The classes with their limits; none while those of the site are not read."""
        return [] if self.grades == "site" else self.grades

    @property
    def names(self) -> list[str]:
        """Names of the classes, the best first."""
        return [*(grade.name for grade in self.written), self.otherwise]

    @property
    def texts(self) -> list[str]:
        """Columns read as text: none."""
        return []

    @property
    def numbers(self) -> list[str]:
        """Columns read as numbers."""
        return list(dict.fromkeys(column for grade in self.written for column in grade.limits))


class Conformance(Part):
    """What a certificate says of a characteristic: that it is there, within its limits, and what we measured ourselves.

    Two measurements of one thing differ by the root of 2 of the gauge's deviation; a difference of more than
    `most_deviations` of that is none of the gauge's.
    """

    certified: str = Field(description="column: the certificate's value, in the unit of limits and measurement")
    unit: str = Field(description="column: the unit that the certificate names; empty: it says nothing")
    lower: str = Field(description="column: lower limit; empty: there is none")
    upper: str = Field(description="column: upper limit; empty: there is none")
    measured: str = Field(description="column: our own measurement; empty: there is none yet")
    gauge_sd: str = Field(description="column: standard deviation of our gauge's error")
    most_deviations: float = Field(default=4.0, gt=0.0, description="deviations of a difference that are let pass")
    missing_after_h: float = Field(
        default=24.0, ge=0.0, description="hours after its moment from which a value that did not come is missing"
    )

    @property
    def texts(self) -> list[str]:
        """Columns read as text."""
        return [self.unit]

    @property
    def numbers(self) -> list[str]:
        """Columns read as numbers."""
        return [self.certified, self.lower, self.upper, self.measured, self.gauge_sd]


class Due(Part):
    """What has to be done again in time: a row is a calibration, with what was found and until when the next is due."""

    of: list[str] = Field(min_length=1, description="columns that name whose rows follow each other: the gauge")
    due: str = Field(description="column: moment (UTC) until which it is to be done again")
    found: str = Field(description="column: error as it was found, before anything was adjusted")
    tolerance: str = Field(description="column: error that is let pass, in the same unit, on both sides")
    notice_d: float = Field(default=7.0, ge=0.0, description="days before it is due from which it is called for")
    booked_within_h: float = Field(
        default=24.0, ge=0.0, description="hours within which what was done is on record: it is overdue only then"
    )

    @property
    def texts(self) -> list[str]:
        """Columns read as text."""
        return [*self.of, self.due]

    @property
    def numbers(self) -> list[str]:
        """Columns read as numbers."""
        return [self.found, self.tolerance]


class RuleGates(Part):
    """What the newest decisions are checked for; a check that fails warns."""

    over_days: float = Field(default=7.0, gt=0.0, description="days before the newest row that are looked at")
    max_flagged_ratio: float = Field(
        default=0.1, gt=0.0, le=1.0, description="share that may be flagged; more by chance is no failure"
    )
    max_undecided_ratio: float = Field(default=0.1, ge=0.0, le=1.0, description="share that may be left undecided")


class DecisionSpec(RuleSpec):
    """One decision rule of one kind: sampling of lots, a screen among peers, grading by limits, conformance, due."""

    time: str | None = Field(
        default=None, description="column: the moment of the row (UTC); lots are decided in its order"
    )
    sampling: Sampling | None = Field(default=None, description="lots judged by a sample (ISO 2859-1)")
    screen: Screen | None = Field(default=None, description="rows unlike their peers")
    grading: Grading | None = Field(default=None, description="classes by limits")
    conformance: Conformance | None = Field(default=None, description="certificates beside limits and measurements")
    due: Due | None = Field(default=None, description="what has to be done again in time, and what was found")
    act_within_h: float | None = Field(
        default=None, gt=0.0, description="hours after its moment for which a row is acted upon; none: for good"
    )
    gates: RuleGates = Field(default_factory=RuleGates, description="what the newest decisions are checked for")

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        kinds = ("sampling", "screen", "grading", "conformance", "due")
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            msg = f"a decision rule has one of {', '.join(kinds)}; found {', '.join(given) or 'none'}"
            raise ValueError(msg)
        if self.sampling is not None and self.time is None:
            msg = "sampling needs `time`: switching goes by the order of the lots"
            raise ValueError(msg)
        if self.conformance is not None and self.time is None:
            msg = "conformance needs `time`: from it on a certificate is waited for"
            raise ValueError(msg)
        if self.due is not None and self.time is None:
            msg = "due needs `time`: by it one follows the other"
            raise ValueError(msg)
        return self

    @property
    def rule(self) -> Sampling | Screen | Grading | Conformance | Due:
        """The rule of whichever kind."""
        rule = self.sampling or self.screen or self.grading or self.conformance or self.due
        if rule is None:
            raise LookupError("a spec that was validated has a rule")
        return rule

    @property
    def named_columns(self) -> list[str]:
        """Columns of the table that the YAML names, each once."""
        own = [*self.rule.texts, *self.rule.numbers, *([self.time] if self.time else [])]
        return list(dict.fromkeys([*super().named_columns, *own]))

    @property
    def acts_within_h(self) -> float | None:
        """Hours after its moment for which a row can be acted upon."""
        return self.act_within_h
