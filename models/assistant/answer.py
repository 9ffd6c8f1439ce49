"""From a topic to sentences: rows are read, said, and what is said is looked up once more in the rows that are cited.

A sentence of which a number is not that of its rows is not said; it is told as withheld.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import duckdb

from models.assistant.select import parse
from models.assistant.source import Source
from models.assistant.spec import Answer, Cited, Topic, WorkedOut
from models.assistant.template import shown, taken_apart
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier, quote_relation

TOLERANCE = 1e-9
"""Relative, of numbers: what adding doubles in another order costs."""


@dataclass(frozen=True)
class Citation:
    """Rows that a sentence rests on.

    Attributes:
        table: schema.table.
        snapshot: of the lake.
        where: columns with the value that each has. since: at or above it. before: below it.
        rows: how many rows these are, at least one.
    """

    table: str
    snapshot: int
    where: dict[str, Any]
    since: dict[str, Any]
    before: dict[str, Any]
    rows: int


@dataclass(frozen=True)
class Figure:
    """A value in a sentence.

    Attributes:
        column: of the query.
        value: as the row has it. shown: as the sentence has it. shape: how it is written, see `template.Slot`.
        table: cited. how, of, per: how it follows from its rows, see `WorkedOut`.
    """

    column: str
    value: Any
    shown: str
    shape: str
    table: str
    how: str
    of: str | None
    per: str | None


@dataclass(frozen=True)
class Sentence:
    """One sentence with what it rests on."""

    text: str
    citations: tuple[Citation, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Said:
    """What was found to a topic.

    Attributes:
        sentences: none where no row says anything.
        withheld: why rows were not said: their figures are not those of the rows that the topic cites.
        missing: tables that are not there yet.
    """

    sentences: list[Sentence] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class TopicError(CellworksError):
    """A topic that does not fit the lake, with the place of its fault in the attributes of its YAML."""

    def __init__(self, path: tuple[str | int, ...], found: str, where: str) -> None:
        super().__init__(
            "a topic cannot be read",
            expected="tables and columns that the lake has",
            found=found,
            mend="correct the names; `cellworks dbt-docs` shows those of curated tables",
            where=where,
        )
        self.path = path


def answer(source: Source, topic: Topic, number: int, given: Mapping[str, object], solution: str) -> Said:
    """Say what the rows say.

    Args:
        source: what is read.
        topic: what is asked.
        number: the topic's place in the YAML, for messages.
        given: what it is asked of, by the names of its parameters.
        solution: stage/slug, for messages.

    Raises:
        TopicError: a query or a citation names what its tables do not have, or a sentence writes a value in a way
            that its type cannot be written.
    """
    said = Said()
    for place, each in enumerate(topic.answers):
        if missing := source.lacking(each.tables):
            said.missing.extend(missing)
            continue
        path = ("topics", number, "answers", place)
        field_name = "read"
        try:
            rows = rows_of(source, each, given)
            field_name = "cites"
            looked_up = [(row, [look_up(source, cited, row) for cited in each.cites]) for row in rows]
            field_name = "says"
            for row, found in looked_up:
                _say(each, row, found, said)
        except (duckdb.Error, ValueError, TypeError) as error:
            where = f"{solution}, topic {topic.topic}: {'.'.join(map(str, path))}.{field_name}"
            raise TopicError((*path, field_name), str(error).splitlines()[0], where) from error
    return said


def rows_of(source: Source, asked: Answer, given: Mapping[str, object]) -> list[dict[str, Any]]:
    """The first rows of an answer's query, by column; parameters that are not given are empty."""
    query = parse(asked.read)
    bound = {name: given.get(name) for name in query.parameters}
    found = source.con.execute(asked.read, bound).fetchmany(asked.rows)
    return [dict(zip(query.columns, row, strict=True)) for row in found]


def look_up(source: Source, cited: Cited, row: Mapping[str, Any]) -> tuple[Citation, dict[str, Any]]:
    """The rows that are cited, and every column that they tell, worked out from them."""
    conditions, bound = ["true"], []
    for operator, named in ((" IS NOT DISTINCT FROM ?", cited.where), (" >= ?", cited.since), (" < ?", cited.before)):
        for column, name in named.items():
            conditions.append(quote_identifier(column) + operator)
            bound.append(row[name])
    told = cited.told
    what = ", ".join(["count(*)", *(_aggregate(each) for each in told.values())])
    sql = f"SELECT {what} FROM {quote_relation(cited.table)} WHERE {' AND '.join(conditions)}"
    count, *values = source.con.execute(sql, bound).fetchall()[0]
    where, since, before = (
        {column: row[name] for column, name in each.items()} for each in (cited.where, cited.since, cited.before)
    )
    snapshot = source.snapshots[cited.table.split(".")[0]]
    citation = Citation(cited.table, snapshot, where, since, before, int(count))
    return citation, dict(zip(told, values, strict=True))


def _aggregate(how: WorkedOut) -> str:
    if how.of is None:
        return "count(*)"
    of = quote_identifier(how.of)
    if how.how == "value":  # nothing where the rows do not agree
        return f"CASE WHEN count(DISTINCT {of}) = 1 AND count({of}) = count(*) THEN any_value({of}) END"
    if how.how == "ratio":
        return f"sum({of}) / sum({quote_identifier(how.per or '')})"
    return f"{'avg' if how.how == 'mean' else how.how}({of})"


def _say(
    asked: Answer, row: Mapping[str, Any], found: Sequence[tuple[Citation, Mapping[str, Any]]], said: Said
) -> None:
    """Add the row's sentence, or why it is not said; a row that leaves a column of the sentence empty says nothing."""
    text, figures = "", []
    for words, slot in taken_apart(asked.says):
        text += words
        if slot is None:
            continue
        value = row[slot.column]
        if value is None:
            return
        place = next(number for number, cited in enumerate(asked.cites) if slot.column in cited.told)
        citation, told = found[place]
        if not citation.rows or not same(value, told[slot.column]):
            cited = f"{citation.rows} rows cited of {citation.table}"
            said.withheld.append(f"{slot.column} is {value}, but {told[slot.column]} by the {cited}")
            return
        how = asked.cites[place].told[slot.column]
        written = shown(value, slot.shape)
        figures.append(Figure(slot.column, value, written, slot.shape, citation.table, how.how, how.of, how.per))
        text += written
    said.sentences.append(Sentence(text, tuple(citation for citation, _ in found if citation.rows), tuple(figures)))


def same(one: object, other: object) -> bool:
    """Whether two values are equal; numbers within `TOLERANCE`."""
    if isinstance(one, int | float | Decimal) and isinstance(other, int | float | Decimal):
        return math.isclose(float(one), float(other), rel_tol=TOLERANCE)
    return one == other
