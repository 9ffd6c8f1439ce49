"""Bytes that this process has moved from and to the object store: as DuckDB's log of HTTP tells, and our own uploads.

Not in them: what goes to PostgreSQL, and what MLflow fetches and stores by itself.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Traffic(NamedTuple):
    """Bytes of bodies, retries included; headers are not."""

    read: int = 0
    written: int = 0


_lock = threading.Lock()
_moved = [Traffic()]


def moved() -> Traffic:
    """What this process has moved since it began."""
    return _moved[0]


def count(read: int, written: int) -> None:
    """Add what was moved."""
    with _lock:
        _moved[0] = Traffic(_moved[0].read + read, _moved[0].written + written)


def watch(con: DuckDBPyConnection) -> None:
    """Let a connection's DuckDB write down its requests, in its own memory alone, until `take`."""
    con.execute("CALL enable_logging('HTTP')")


def take(con: DuckDBPyConnection) -> None:
    """Count what a watched connection's DuckDB has moved, and empty its log.

    A connection of its own asks: the given one may be within a transaction that failed.
    """
    with con.cursor() as own:
        row = own.execute(
            "SELECT coalesce(sum(CAST(response.headers['Content-Length'] AS BIGINT)) "
            "FILTER (request.type = 'GET'), 0), coalesce(sum(request.request_body_length), 0) "
            "FROM duckdb_logs_parsed('HTTP')"
        ).fetchone()
        own.execute("CALL truncate_duckdb_logs()")
    if row is not None:
        count(int(row[0]), int(row[1]))
