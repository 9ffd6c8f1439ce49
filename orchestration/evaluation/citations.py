"""Sentences held against the rows that they cite, by other means than those that said them: Arrow, and no query."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.assistant.template import shown
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier, quote_relation

TOLERANCE = 1e-9
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class Reread:
    """Columns of whole tables at a snapshot, each read once."""

    home: Home
    _columns: dict[tuple[str, int, str], pa.ChunkedArray] = field(default_factory=dict)

    def column(self, table: str, snapshot: int, name: str) -> pa.ChunkedArray:
        """All values of a column, in the order that the table has at every reading."""
        key = table, snapshot, name
        if key not in self._columns:
            with reader(self.home, snapshot=snapshot) as con:
                found = con.execute(f"SELECT {quote_identifier(name)} FROM lake.{quote_relation(table)}")
                self._columns[key] = found.to_arrow_table().column(0)
        return self._columns[key]

    def rows(self, citation: Mapping[str, Any]) -> pa.Array:
        """Which rows of the table are cited: true or false for each."""
        mask: Any = None
        for part, compare in (("where", _equal), ("since", pc.greater_equal), ("before", pc.less)):
            for name, value in citation[part].items():
                column = self.column(citation["table"], citation["snapshot"], name)
                agrees = pc.fill_null(compare(column, _as(value, column.type)), False)
                mask = agrees if mask is None else pc.and_(mask, agrees)
        return mask

    def value(self, citation: Mapping[str, Any], figure: Mapping[str, Any]) -> Any:
        """A figure, worked out from the rows that are cited; None where they do not agree in one."""
        rows = self.rows(citation)
        if figure["how"] == "count":
            return int(pc.sum(rows).as_py() or 0)
        of = self._cited(citation, figure["of"], rows)
        if figure["how"] == "value":
            return of[0] if of and of.count(of[0]) == len(of) else None
        known = [each for each in of if each is not None]
        if figure["how"] in ("min", "max"):
            return (min if figure["how"] == "min" else max)(known)
        total = math.fsum(known)
        if figure["how"] == "ratio":
            per = math.fsum(each for each in self._cited(citation, figure["per"], rows) if each is not None)
            return total / per
        return total / len(known) if figure["how"] == "mean" else total

    def _cited(self, citation: Mapping[str, Any], name: str, rows: pa.Array) -> list[Any]:
        column = self.column(citation["table"], citation["snapshot"], name)
        values: list[Any] = column.filter(rows).to_pylist()
        return values


def _equal(column: pa.ChunkedArray, value: pa.Scalar) -> pa.ChunkedArray:
    return pc.equal(column, value) if value.is_valid else pc.is_null(column)


def _as(value: Any, kind: pa.DataType) -> pa.Scalar:
    """A value as the column has it; days and moments may stand as text."""
    return pa.scalar(None, kind) if value is None else pa.scalar(value).cast(kind)


@dataclass(frozen=True)
class Found:
    """What is wrong with sentences.

    Attributes:
        sentences: looked at. citations: of them. figures: of them.
        uncited: sentences without a citation, or with one that no row answers to, or another number of rows.
        differing: values in sentences that are not those of the cited rows, or are written otherwise.
        unexplained: sentences with a digit that is of no figure.
    """

    sentences: int
    citations: int
    figures: int
    uncited: list[str]
    differing: list[str]
    unexplained: list[str]


def held(sentences: Sequence[Mapping[str, Any]], again: Reread) -> Found:
    """Hold sentences against their rows.

    Args:
        sentences: `text`, `citations` and `figures` of each, as `cellworks ask --json` tells them.
        again: where rows are read.
    """
    found = Found(
        len(sentences), sum(len(each["citations"]) for each in sentences),
        sum(len(each["figures"]) for each in sentences), [], [], [],
    )  # fmt: skip
    for each in sentences:
        counts = [int(pc.sum(again.rows(cited)).as_py() or 0) for cited in each["citations"]]
        if not counts or not all(counts) or counts != [cited["rows"] for cited in each["citations"]]:
            found.uncited.append(each["text"])
        found.differing.extend(_differing(each, again))
        if _DIGIT.search(_without_figures(each)):
            found.unexplained.append(each["text"])
    return found


def _differing(sentence: Mapping[str, Any], again: Reread) -> list[str]:
    wrong = []
    for figure in sentence["figures"]:
        cited = [each for each in sentence["citations"] if each["table"] == figure["table"]]
        anew = [again.value(each, figure) for each in cited]
        if not any(_is(figure, value) for value in anew):
            wrong.append(f"{figure['column']} {figure['shown']}, by the rows {anew}")
    return wrong


def _is(figure: Mapping[str, Any], value: Any) -> bool:
    if value is None:
        return False
    told = figure["value"]
    if isinstance(told, int | float) and not isinstance(told, bool):
        if not math.isclose(float(told), float(value), rel_tol=TOLERANCE):
            return False
    elif str(told) not in (str(value), getattr(value, "isoformat", str)()):
        return False
    return bool(figure["shown"] == shown(_as_told(value, told), figure["shape"]))


def _as_told(value: Any, told: Any) -> Any:
    """Whole numbers that were added up as such stay whole."""
    return int(value) if isinstance(told, int) and not isinstance(told, bool) else value


def _without_figures(sentence: Mapping[str, Any]) -> str:
    """The words of a sentence without its figures, each taken out where it comes next."""
    text, rest = "", str(sentence["text"])
    for figure in sentence["figures"]:
        before, _, rest = rest.partition(figure["shown"])
        text += before + " "
    return text + rest
