"""Staged rows: typed columns in a temporary table with the verdict on each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.ingest.connector import Delivery
from pipelines.ingest.part import Part
from pipelines.ingest.rules import Rules
from pipelines.lake.sql import columns_sql, quote_literal

_numbers = count(1)


@dataclass(frozen=True)
class Workplace:
    """Where a batch keeps the files that its parts refer to until they are written, and the batch's number."""

    folder: Path
    batch_id: int


def temporary_name(what: str) -> str:
    """A name for a temporary table that no other one has."""
    return f"cw_{what}_{next(_numbers)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def is_about_the_machine(error: duckdb.Error) -> bool:
    """Whether an error speaks of the machine (disk, memory, interruption) and not of the file that was read."""
    text = str(error).lower()
    signs = ("no space left", "file too large", "could not write", "out of memory", "permission denied")
    return isinstance(error, duckdb.OutOfMemoryException | duckdb.InterruptException) or any(s in text for s in signs)


def source_sql(deliveries: Sequence[Delivery]) -> str:
    """Expression of the source of a row read from the files of `files_sql`.

    By the file's number: to build a text out of the path row by row takes as long as to parse a short row.
    """
    if len(deliveries) == 1:
        return quote_literal(deliveries[0].source)
    sources = ", ".join(quote_literal(each.source) for each in deliveries)
    return f"list_extract([{sources}], CAST(file_index AS BIGINT) + 1)"


def files_sql(deliveries: Sequence[Delivery]) -> str:
    """List of the deliveries' files."""
    return f"[{', '.join(quote_literal(each.file) for each in deliveries)}]"


def judge(con: DuckDBPyConnection, rules: Rules, part: Part, staged: str) -> None:
    """Count a staged table by source and say which of its rows go where.

    Args:
        con: the connection that holds the table.
        rules: rules of the feed.
        part: gets counts, `good_sql` and `days`.
        staged: relation with the feed's typed columns, `_source` and `_is_bad`.
    """
    for source, day, good, bad, newest in con.execute(
        f"SELECT _source, CASE WHEN NOT _is_bad THEN {rules.day()} END AS day, count(*) FILTER (NOT _is_bad), "
        f"count(*) FILTER (_is_bad), max(known_at) FILTER (NOT _is_bad) FROM {staged} GROUP BY ALL"
    ).fetchall():
        part.count(str(source)).add(int(good), int(bad), newest)
        part.days |= {day} if day is not None else set()
    if part.days:
        columns = f"{columns_sql(rules.schema)}, _source, {rules.day()} AS production_day"
        part.good_sql = f"SELECT {columns} FROM {staged} WHERE NOT _is_bad"
