"""The platform's clock: the newest moment that the plant's records speak of, never the wall clock.

A replayed month and a live line then behave alike.
"""

from __future__ import annotations

from datetime import datetime

from duckdb import DuckDBPyConnection

from pipelines.control_plan.errors import CellworksError


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
