"""Bytes that this process has moved from and to the object store: as DuckDB's log of HTTP tells, and our own uploads.

Not in them: what goes to PostgreSQL, and what MLflow fetches and stores by itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
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


@contextlib.contextmanager
def watched(own: DuckDBPyConnection) -> Iterator[None]:
    """Count what a DuckDB moves within the block, which it writes down in its own memory alone.

    Args:
        own: a connection that the block does not use; the block's may be closed by the end, or within a transaction
            that failed.
    """
    own.execute("CALL enable_logging('HTTP')")
    try:
        yield
    finally:
        _take(own)


def _take(own: DuckDBPyConnection) -> None:
    """Count what the log of HTTP holds, and empty it."""
    row = own.execute(
        "SELECT coalesce(sum(CAST(response.headers['Content-Length'] AS BIGINT)) "
        "FILTER (request.type = 'GET'), 0), coalesce(sum(request.request_body_length), 0) "
        "FROM duckdb_logs_parsed('HTTP')"
    ).fetchone()
    own.execute("CALL truncate_duckdb_logs()")
    if row is not None:
        count(int(row[0]), int(row[1]))
