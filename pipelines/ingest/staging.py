"""Staged rows: typed columns in a temporary table with the verdict on each row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import count

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.control_plan.site import Site
from pipelines.ingest.connector import Delivery
from pipelines.ingest.part import Part
from pipelines.ingest.production_day import production_day_sql
from pipelines.ingest.rules import Rules
from pipelines.lake.sql import columns_sql, quote_literal

_numbers = count(1)


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


def source_sql(feed: str) -> str:
    """Expression of the source of a row read with `filename = true`."""
    return f"{quote_literal(feed + '/')} || parse_filename(filename)"


def files_sql(deliveries: Sequence[Delivery]) -> str:
    """List of the deliveries' files."""
    return f"[{', '.join(quote_literal(each.file) for each in deliveries)}]"


def judge(con: DuckDBPyConnection, site: Site, rules: Rules, part: Part, staged: str) -> None:
    """Count a staged table by source and say which of its rows go where.

    Args:
        con: the connection that holds the table.
        site: the site.
        rules: rules of the feed.
        part: gets counts, `good_sql` and `days`.
        staged: relation with the feed's typed columns, `_source` and `_reason` (NULL for a good row).
    """
    low, high = None, None
    for source, good, bad, newest, first, last in con.execute(
        "SELECT _source, count(*) FILTER (_reason IS NULL), count(_reason), max(known_at) FILTER (_reason IS NULL), "
        "min(event_at) FILTER (_reason IS NULL), max(event_at) FILTER (_reason IS NULL) "
        f"FROM {staged} GROUP BY _source"
    ).fetchall():
        part.count(str(source)).add(int(good), int(bad), newest)
        if first is not None:
            low, high = min(low or first, first), max(high or last, last)
    if low is not None and high is not None:
        day = production_day_sql(site, low, high)
        part.good_sql = (
            f"SELECT {columns_sql(rules.schema)}, _source, {day} AS production_day FROM {staged} WHERE _reason IS NULL"
        )
        part.days |= days_of(con, day, f"FROM {staged} WHERE _reason IS NULL")


def days_of(con: DuckDBPyConnection, day: str, rows: str) -> set[date]:
    """Production days of rows.

    Args:
        con: the connection that sees the rows.
        day: SQL of a row's production day.
        rows: FROM clause of the rows.
    """
    return {found for (found,) in con.execute(f"SELECT DISTINCT {day} {rows}").fetchall()}
