"""Publishing: readers take the last snapshot of a domain whose blocking checks passed."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from pipelines.lake.clock import wall_now
from pipelines.lake.connection import current_snapshot, reader, transaction
from pipelines.lake.home import Home
from pipelines.lake.tables import has_table


def publish(con: DuckDBPyConnection, domain: str, run_id: str) -> int:
    """Publish what `con` sees now as the domain's state for all readers.

    Args:
        con: a writing connection outside a transaction.
        domain: material_inspection, process, test, equipment, energy or kpi.
        run_id: the run whose checks passed.

    Returns:
        The published snapshot's number.
    """
    with transaction(con):  # which a lost lock undoes: another may have written what nobody checked
        snapshot = current_snapshot(con)
        con.execute(
            "INSERT INTO lake.ops.published (domain, snapshot_id, published_at, run_id) VALUES (?, ?, ?, ?)",
            [domain, snapshot, wall_now(), run_id],
        )
    return snapshot


def published_snapshot(source: DuckDBPyConnection | Home, domain: str) -> int | None:
    """The domain's published snapshot, None before the first one (or before there is a lake)."""
    if isinstance(source, Home):
        if not source.has_lake:
            return None
        with reader(source) as con:
            return published_snapshot(con, domain)
    if not has_table(source, "ops", "published"):
        return None
    row = source.execute(
        "SELECT snapshot_id FROM lake.ops.published WHERE domain = ? "
        # Snapshots are numbered as they are made; the clock may have been set back between two of them.
        "ORDER BY snapshot_id DESC LIMIT 1",
        [domain],
    ).fetchone()
    return int(row[0]) if row else None
