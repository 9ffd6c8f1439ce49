"""The platform's clocks: the plant's, which its records tell, and the wall's, which stamps what the platform writes.

What is decided follows the plant's: the newest moment that its records speak of; a replayed month and a live line then
behave alike. Stamps of the wall's clock tell only which of two rows was written later, and go on when it is set back.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from duckdb import DuckDBPyConnection

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier

_TICK = timedelta(microseconds=1)


def plant_now(con: DuckDBPyConnection) -> datetime:
    """Newest `known_at` (UTC, naive) delivered so far.

    Raises:
        CellworksError: nothing was ingested yet.
    """
    row = con.execute("SELECT max(max_known_at) FROM lake.ops.ingest_offset").fetchone()
    if row is None or row[0] is None:
        raise CellworksError(
            "the plant has no clock yet",
            expected="at least one ingested record",
            found="an empty lake",
            mend="run `cellworks simulate` (or drop files) and ingest",
        )
    now: datetime = row[0]
    return now


def wall_now() -> datetime:
    """The wall's clock (UTC, naive), for bookkeeping only."""
    return datetime.now(UTC).replace(tzinfo=None)


def newest_stamp(con: DuckDBPyConnection, relation: str, column: str) -> datetime | None:
    """The newest stamp in a column of a table, as SQL names it; None while there is none."""
    row = con.execute(f"SELECT max({quote_identifier(column)}) FROM {relation}").fetchone()
    newest: datetime | None = row[0] if row else None
    return newest


def stamp_after(newest: datetime | None) -> datetime:
    """The wall's clock, or a tick after a stamp where that is later.

    A clock that was set back, or that of another machine, then never makes what is written last look older.
    """
    now = wall_now()
    return now if newest is None or newest < now else newest + _TICK


def next_stamp(con: DuckDBPyConnection, relation: str, column: str) -> datetime:
    """The stamp of what is written to a table next.

    Args:
        con: a connection whose holder has the area that the table belongs to.
        relation: the table, as SQL names it.
        column: its column of stamps.
    """
    return stamp_after(newest_stamp(con, relation, column))
