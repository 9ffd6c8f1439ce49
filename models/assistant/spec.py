"""What an assistant can be asked, as its YAML says it. Light: pydantic only until a topic is read."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from models.assistant.documents_spec import Documents
from models.assistant.select import TableName, parse
from models.assistant.template import slots
from models.solution import Part, RuleSpec

NAME = r"^[a-z][a-z0-9_]*$"
SLOT = re.compile(r"\{([a-z_]+)\}")
"""A thing's place in a phrase, such as {machine}."""
MADE_KEYS = ("topic_code", "sentence_no")
"""Keys of the report's rows beside those of its table: which topic's sentence it is, from 1."""


class Entity(Part):
    """A kind of thing that a question may name; names are those in a column, and no others are known."""

    table: TableName = Field(description="table whose rows name it")
    column: str = Field(description="column of the names")
    called: list[str] = Field(default_factory=list, description="words that may stand before a name, such as `cell`")
    is_day: bool = Field(
        default=False,
        description=(
            "a production day: a question may name one (as 2026-09-30) anywhere; its parameter is empty where it names "
            "none, and the query says which day is meant then"
        ),
    )


class WorkedOut(Part):
    """How a column of the query follows from the rows that are cited."""

    how: Literal["value", "count", "sum", "mean", "min", "max", "ratio"] = Field(
        default="value", description="`value`: all cited rows say the same; `ratio`: sum of `of` over sum of `per`"
    )
    of: str | None = Field(default=None, description="column of the cited table; `count` needs none")
    per: str | None = Field(default=None, description="of a ratio: the column below")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.of is None) != (self.how == "count") or (self.per is None) == (self.how == "ratio"):
            msg = f"`count` names no column, `ratio` names `of` and `per`, all else names `of`; found how: {self.how}"
            raise ValueError(msg)
        return self


class Cited(Part):
    """The rows that a sentence rests on: all those of a table that agree with the row that was read."""

    table: TableName = Field(description="table that is cited")
    where: dict[str, str] = Field(
        min_length=1, description="columns of the table with the column of the query that each equals"
    )
    since: dict[str, str] = Field(default_factory=dict, description="likewise, at or above it")
    before: dict[str, str] = Field(default_factory=dict, description="likewise, below it")
    tells: list[str] = Field(default_factory=list, description="columns of the query that the rows have by this name")
    works_out: dict[str, WorkedOut] = Field(
        default_factory=dict, description="columns of the query that follow from the rows"
    )

    @property
    def told(self) -> dict[str, WorkedOut]:
        """Every column of the query that the rows tell, with how; what the rows agree in is told by them too."""
        same = {named: WorkedOut(of=column) for column, named in self.where.items()}
        return same | {name: WorkedOut(of=name) for name in self.tells} | self.works_out

    @property
    def named(self) -> set[str]:
        """Columns of the query that it names."""
        return {*self.where.values(), *self.since.values(), *self.before.values(), *self.tells, *self.works_out}


class Answer(Part):
    """A sentence for each row of a query."""

    read: str = Field(description="one SELECT; $machine and the like are what the question named")
    says: str = Field(description="the sentence; columns of the query in braces, such as {oee:.1%}")
    cites: list[Cited] = Field(min_length=1, description="the rows that say so; every column in braces is in one")
    rows: int = Field(default=1, ge=1, le=20, description="rows of the query that are said, the first ones")

    @field_validator("read")
    @classmethod
    def _is_one_select(cls, value: str) -> str:
        parse(value)
        return value

    @field_validator("says")
    @classmethod
    def _names_selected_columns(cls, value: str, info: ValidationInfo) -> str:
        named = {slot.column for slot in slots(value)}
        if not named:
            msg = "a sentence holds at least one column of its row"
            raise ValueError(msg)
        _refuse_unselected(named, info)
        return value

    @field_validator("cites")
    @classmethod
    def _cites_every_column(cls, value: list[Cited], info: ValidationInfo) -> list[Cited]:
        _refuse_unselected({name for each in value for name in each.named}, info)
        told = {name for each in value for name in each.told}
        said = {slot.column for slot in slots(info.data["says"])} if "says" in info.data else set()
        if lost := sorted(said - told):
            msg = f"every column of a sentence is in a row that it cites; not cited: {', '.join(lost)}"
            raise ValueError(msg)
        return value

    @property
    def tables(self) -> frozenset[str]:
        """Tables that it reads and cites."""
        return parse(self.read).tables | {each.table for each in self.cites}


def _refuse_unselected(named: set[str], info: ValidationInfo) -> None:
    if "read" not in info.data:  # its own fault is told already
        return
    columns = parse(info.data["read"]).columns
    if lost := sorted(named - set(columns)):
        msg = f"`read` selects no {', '.join(lost)}; it selects {', '.join(columns)}"
        raise ValueError(msg)


class Topic(Part):
    """Something that can be asked, in several ways, and what is said of it."""

    topic: str = Field(pattern=NAME, description="its name")
    asks: list[str] = Field(min_length=1, description="phrases; what is asked of in braces, such as {machine}")
    lacks: str = Field(description="what is missing where no row is found, such as `an alarm of {machine}`")
    answers: list[Answer] = Field(min_length=1, description="what is said, in this order")

    @property
    def parameters(self) -> frozenset[str]:
        """Things that its queries are about."""
        return frozenset().union(*(parse(each.read).parameters for each in self.answers))

    @property
    def tables(self) -> frozenset[str]:
        """Tables that it reads and cites."""
        return frozenset().union(*(each.tables for each in self.answers))


class Report(Part):
    """What is written each night for every row of periods that ended: the sentences of some topics."""

    by: dict[str, str] = Field(min_length=1, description="things that the topics are about, with their key column")
    until: str = Field(description="column of the table: when the period ended")
    topics: list[str] = Field(min_length=1, description="topics, in the order of the report")
    days: int = Field(default=7, ge=1, le=92, description="days back for which a missing report is still written")


class AssistantSpec(RuleSpec):
    """One assistant: it answers questions by topics and reports by them each night, or it reads documents."""

    entities: dict[str, Entity] = Field(default_factory=dict, description="kinds of things that a question may name")
    topics: list[Topic] = Field(default_factory=list, description="what it can be asked")
    report: Report | None = Field(default=None, description="the report of each period, with `topics`")
    documents: Documents | None = Field(default=None, description="documents that it reads instead")

    @field_validator("topics")
    @classmethod
    def _asks_of_known_things(cls, value: list[Topic], info: ValidationInfo) -> list[Topic]:
        known: dict[str, Entity] = info.data.get("entities", {})
        names = [each.topic for each in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            msg = f"each topic has a name of its own; found twice: {', '.join(twice)}"
            raise ValueError(msg)
        phrases = [phrase for each in value for phrase in each.asks]
        if twice := sorted({phrase for phrase in phrases if phrases.count(phrase) > 1}):
            msg = f"each phrase asks one thing; found twice: {', '.join(twice)}"
            raise ValueError(msg)
        default = {name for name, each in known.items() if each.is_day}
        for each in value:
            for phrase in each.asks:
                slotted = set(SLOT.findall(phrase))
                if strange := sorted((slotted | each.parameters) - known.keys()):
                    msg = f"topic {each.topic}: no entity is called {', '.join(strange)}; there are {', '.join(known)}"
                    raise ValueError(msg)
                if slotted != each.parameters - default:
                    msg = (
                        f"topic {each.topic}: every phrase names what the queries are about, days apart: "
                        f"{', '.join(sorted(each.parameters - default)) or 'nothing'}; found '{phrase}'"
                    )
                    raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _reports_known_topics(self) -> Self:
        if self.documents is not None and not self.topics and self.report is None:
            if len(self.keys) != 2:
                msg = f"keys are that of a document and the name of a characteristic; found {', '.join(self.keys)}"
                raise ValueError(msg)
            return self
        if self.documents is not None or not self.topics or self.report is None:
            msg = "an assistant has `topics` and a `report`, or `documents`"
            raise ValueError(msg)
        known = {each.topic: each for each in self.topics}
        if strange := [name for name in self.report.topics if name not in known]:
            msg = f"the report names no topic that there is: {', '.join(strange)}"
            raise ValueError(msg)
        if self.keys != [*self.report.by.values(), *MADE_KEYS]:
            msg = f"keys are those of `report.by`, then {', '.join(MADE_KEYS)}; found {', '.join(self.keys)}"
            raise ValueError(msg)
        for name in self.report.topics:
            if strange := sorted(known[name].parameters - self.report.by.keys()):
                msg = f"the report cannot fill {', '.join(strange)} of topic {name}"
                raise ValueError(msg)
        return self

    @property
    def reporting(self) -> Report:
        """The report of one that has topics.

        Raises:
            ValueError: it reads documents.
        """
        if self.report is None:
            msg = f"{self.solution} reads documents and reports nothing"
            raise ValueError(msg)
        return self.report

    @property
    def reported(self) -> list[Topic]:
        """Topics of the report, in its order."""
        known = {each.topic: each for each in self.topics}
        return [known[name] for name in self.reporting.topics]

    @property
    def tables(self) -> list[str]:
        """What a night reads of curated tables; a question may read more."""
        if self.documents is not None:
            return [self.table, self.documents.planned.table]
        read = sorted({table for topic in self.reported for table in topic.tables})
        curated = [table for table in read if table.split(".")[0] in ("marts", "staging")]
        return list(dict.fromkeys([self.table, *curated]))

    @property
    def named_columns(self) -> list[str]:
        """Columns of the table of periods, or of documents."""
        if self.documents is not None:
            return [self.keys[0], self.documents.text, self.documents.supplier, self.documents.time]
        return [*self.reporting.by.values(), self.reporting.until]
