"""Keeping the lake small: compaction, expiry of snapshots that nobody names, clean-up. Holds the writer lock alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from duckdb import DuckDBPyConnection

from pipelines.lake.connection import ALIAS, writer
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_literal


@dataclass(frozen=True)
class MaintenanceReport:
    """What maintenance did: snapshots expired and kept because something names them."""

    expired: int
    kept: int


def pin(con: DuckDBPyConnection, snapshot_id: int, reason: str, holder: str) -> None:
    """Keep a snapshot from expiry for as long as its holder (a model version, an open run) needs it.

    Args:
        con: a writing connection; inside a transaction or not.
        snapshot_id: the snapshot.
        reason: why, for people.
        holder: who; pinning twice by the same holder is one pin.
    """
    known = con.execute(
        "SELECT 1 FROM lake.ops.pin WHERE snapshot_id = ? AND holder = ?", [snapshot_id, holder]
    ).fetchone()
    if known is None:
        now = datetime.now(UTC).replace(tzinfo=None)
        con.execute("INSERT INTO lake.ops.pin VALUES (?, ?, ?, ?)", [snapshot_id, reason, holder, now])


def unpin(con: DuckDBPyConnection, holder: str) -> None:
    """Let go of everything that a holder pinned."""
    con.execute("DELETE FROM lake.ops.pin WHERE holder = ?", [holder])


def maintain(home: Home, *, keep_days: float = 7.0) -> MaintenanceReport:
    """Merge small files, expire old snapshots that are neither pinned nor published, remove what they leave.

    Args:
        home: the instance.
        keep_days: snapshots younger than this stay.

    Raises:
        CellworksError: another writer holds the lake.
    """
    with writer(home, why="maintenance") as con:
        con.execute(f"CALL ducklake_merge_adjacent_files('{ALIAS}')")
        before = datetime.now(UTC) - timedelta(days=keep_days)
        old = con.execute(
            f"SELECT snapshot_id FROM ducklake_snapshots('{ALIAS}') WHERE snapshot_time < ? "
            f"AND snapshot_id <> (SELECT max(snapshot_id) FROM ducklake_snapshots('{ALIAS}')) AND snapshot_id > 0",
            [before],
        ).fetchall()
        named = con.execute(
            "SELECT snapshot_id FROM lake.ops.pin UNION "
            "SELECT arg_max(snapshot_id, published_at) FROM lake.ops.published GROUP BY domain"
        ).fetchall()
        held = {int(row[0]) for row in named}
        chosen = [int(row[0]) for row in old if int(row[0]) not in held]
        if chosen:
            versions = ", ".join(quote_literal(each) for each in chosen)
            con.execute(f"CALL ducklake_expire_snapshots('{ALIAS}', versions => [{versions}])")
        con.execute(f"CALL ducklake_cleanup_old_files('{ALIAS}', cleanup_all => true)")
    return MaintenanceReport(len(chosen), len(old) - len(chosen))
