"""How values are read from documents, as the YAML says it: a pattern of a line for each layout. Light: pydantic."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from models.assistant.select import TableName
from models.solution import Part

GROUPS = ("name", "value", "unit")


class WrittenUnit(Part):
    """What a unit in a document is in the plan's."""

    unit: str = Field(description="unit of the plan")
    factor: float = Field(gt=0.0, description="of the plan's unit in one of the written")


class Layout(Part):
    """How some suppliers print a value: one line each."""

    suppliers: list[str] = Field(min_length=1, description="who prints so; `*` and `?` as wildcards")
    line: str = Field(description="RE2 pattern of a line with a value: groups named name, value and unit")
    decimal: Literal[".", ","] = Field(default=".", description="decimal mark; the other one is no part of a number")
    units: dict[str, WrittenUnit] = Field(
        default_factory=dict, description="units that are not written as the plan writes them"
    )

    @field_validator("line")
    @classmethod
    def _has_its_groups(cls, value: str) -> str:
        try:
            found = re.compile(value).groupindex
        except re.error as error:
            msg = f"a line's pattern can't be read: {error}"
            raise ValueError(msg) from error
        if found.keys() != set(GROUPS):
            msg = f"a line's pattern has the groups (?P<name>...), (?P<value>...) and (?P<unit>...); found '{value}'"
            raise ValueError(msg)
        return value

    @property
    def groups(self) -> list[str]:
        """Groups in their order."""
        found = re.compile(self.line).groupindex
        return sorted(found, key=found.__getitem__)


class Planned(Part):
    """What a document is to say: names of characteristics, a row for each document and characteristic."""

    table: TableName = Field(description="table with the keys of the answers")
    within: str = Field(description="column: material; names begin with it")
    unit: str = Field(description="column: unit of the plan")


class Documents(Part):
    """Values that are read from documents, each with its line; what cannot be read is told and not guessed."""

    text: str = Field(description="column of the table: the document")
    supplier: str = Field(description="column of the table: whose layout it has")
    time: str = Field(description="column of the table: when it came")
    planned: Planned = Field(description="what is to be read from it")
    unread_ratio: float = Field(
        default=0.01,
        gt=0.0,
        lt=0.5,
        description="share of values that suppliers misprint or leave out; `spoken` fails beyond what it explains",
    )
    layouts: list[Layout] = Field(min_length=1, description="how documents are laid out; the first that fits is taken")
