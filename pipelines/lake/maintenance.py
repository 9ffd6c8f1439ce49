"""Maintenance: compaction, expiry that keeps what somebody names, and removal of what belongs to nothing.

Everything here holds the writer lock alone: expiring beside an open transaction can lose deletes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from duckdb import DuckDBPyConnection

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import wall_now
from pipelines.lake.connection import ALIAS, current_snapshot, retrying, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import DEFAULT_TIMEOUT_S, require_held

KEEP = timedelta(days=7)
# Readers hold no lock: a file that compaction has replaced stays this long for queries that still read it.
GRACE = timedelta(hours=6)
# Share of deleted rows from which a file is written anew; merging passes over files with deletes.
_REWRITE = 0.2


@dataclass(frozen=True)
class MaintenanceReport:
    """What maintenance did.

    Attributes:
        files_before: data files of the newest snapshot before compaction; files_after likewise.
        expired: snapshots that were forgotten.
        kept: snapshots that are left.
        removed: data files deleted, as no snapshot names them any more.
        orphans: files deleted that no snapshot ever named (left by a killed writer).
    """

    files_before: int
    files_after: int
    expired: tuple[int, ...]
    kept: tuple[int, ...]
    removed: int
    orphans: int


def pin(con: DuckDBPyConnection, snapshot_id: int, reason: str, holder: str) -> None:
    """Keep a snapshot from expiry, until the same holder unpins it; pinning twice is harmless.

    Args:
        con: a writing connection.
        snapshot_id: a snapshot that exists.
        reason: what it is kept for.
        holder: who holds it, such as `model finishing.yield_root_cause 3` or a run's id.

    Raises:
        CellworksError: there is no such snapshot (any more).
    """
    if snapshot_id not in snapshots(con):
        raise CellworksError(
            f"snapshot {snapshot_id} can't be pinned",
            expected="a snapshot that the lake still has",
            found="it never was or has expired",
            mend="take a newer one",
        )
    con.execute(
        "INSERT INTO lake.ops.pin SELECT ?, ?, ?, ? WHERE NOT EXISTS "
        "(SELECT 1 FROM lake.ops.pin WHERE snapshot_id = ? AND holder = ?)",
        [snapshot_id, reason, holder, wall_now(), snapshot_id, holder],
    )


def unpin(con: DuckDBPyConnection, holder: str, snapshot_id: int | None = None) -> None:
    """Let go of a holder's pins, or of one of them."""
    condition = "" if snapshot_id is None else " AND snapshot_id = ?"
    values: list[object] = [holder] if snapshot_id is None else [holder, snapshot_id]
    con.execute(f"DELETE FROM lake.ops.pin WHERE holder = ?{condition}", values)


def snapshots(con: DuckDBPyConnection) -> dict[int, datetime]:
    """Snapshots that the lake has, with the time (UTC, naive) each was made."""
    rows = con.execute(
        f"SELECT snapshot_id, snapshot_time AT TIME ZONE 'UTC' FROM ducklake_snapshots('{ALIAS}') ORDER BY 1"
    ).fetchall()
    return {int(number): at for number, at in rows}


def named_snapshots(con: DuckDBPyConnection, let_go: Iterable[str] = ()) -> set[int]:
    """Snapshots that must not expire: pinned ones, the published one of each domain and the newest.

    Args:
        con: a connection to the lake.
        let_go: holders whose pins count no more.
    """
    rows = con.execute(
        "SELECT snapshot_id FROM lake.ops.pin WHERE NOT list_contains(?::VARCHAR[], holder) "
        "UNION SELECT max(snapshot_id) FROM lake.ops.published GROUP BY domain",
        [list(let_go)],
    ).fetchall()
    return {int(number) for (number,) in rows} | {current_snapshot(con)}


def expirable(
    con: DuckDBPyConnection, keep: timedelta = KEEP, also_keep: Iterable[int] = (), let_go: Iterable[str] = ()
) -> tuple[int, ...]:
    """Snapshots that `expire` would forget.

    Args:
        con: a connection to the lake.
        keep: age up to which every snapshot stays.
        also_keep: snapshots that something outside the lake names.
        let_go: holders whose pins count no more.
    """
    limit = wall_now() - keep
    kept = named_snapshots(con, let_go) | set(also_keep)
    return tuple(number for number, at in snapshots(con).items() if at < limit and number not in kept)


def expire(con: DuckDBPyConnection, keep: timedelta = KEEP, also_keep: Iterable[int] = ()) -> tuple[int, ...]:
    """Forget snapshots older than `keep` that nothing names.

    Args:
        con: a writing connection; the caller holds the writer lock.
        keep: age up to which every snapshot stays.
        also_keep: snapshots that something outside the lake names (registered model versions).

    Returns:
        The snapshots that were forgotten.
    """
    old = expirable(con, keep, also_keep)
    if old:
        con.execute(f"CALL ducklake_expire_snapshots('{ALIAS}', versions => [{', '.join(map(str, old))}])").fetchall()
    return old


def maintain(
    home: Home,
    *,
    keep: timedelta = KEEP,
    grace: timedelta = GRACE,
    also_keep: Iterable[int] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> MaintenanceReport:
    """Compact, expire and clean the lake, alone.

    Args:
        home: the instance.
        keep: age up to which every snapshot stays.
        grace: how long replaced files stay for readers that still use them.
        also_keep: snapshots that something outside the lake names.
        timeout_s: how long to wait for the writer lock.

    Raises:
        CellworksError: another writer holds the lock.
    """
    named = frozenset(also_keep)

    def work() -> MaintenanceReport:
        with writer(home, why="maintenance", timeout_s=timeout_s) as con:
            before = _file_count(con)
            con.execute(f"CALL ducklake_rewrite_data_files('{ALIAS}', delete_threshold => {_REWRITE})").fetchall()
            con.execute(f"CALL ducklake_merge_adjacent_files('{ALIAS}')").fetchall()
            expired = expire(con, keep, named)
            older = f"older_than => now() - INTERVAL ({int(grace.total_seconds())}) SECOND"
            removed = con.execute(f"CALL ducklake_cleanup_old_files('{ALIAS}', {older})").fetchall()
            # Nobody else writes, so what no snapshot names is what a killed writer left.
            require_held()
            orphans = con.execute(f"CALL ducklake_delete_orphaned_files('{ALIAS}', cleanup_all => true)").fetchall()
            kept = tuple(snapshots(con))
            after = _file_count(con)
        if home.stores.objects is None:
            _remove_empty_folders(home.data_dir)
        return MaintenanceReport(before, after, expired, kept, len(removed), len(orphans))

    return retrying(work)


def _file_count(con: DuckDBPyConnection) -> int:
    row = con.execute(f"SELECT coalesce(sum(file_count), 0) FROM ducklake_table_info('{ALIAS}')").fetchone()
    return int(row[0]) if row else 0


def _remove_empty_folders(root: Path) -> None:
    """Folders that held a partition once; a folder that a reader is about to open again is made anew by writers."""
    folders = sorted(
        (each for each in root.rglob("*") if each.is_dir()), key=lambda each: len(each.parts), reverse=True
    )
    for folder in folders:
        if not any(folder.iterdir()):
            folder.rmdir()
