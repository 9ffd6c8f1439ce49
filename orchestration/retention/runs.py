"""Old runs of Dagster: which may go, and letting them go with events, checks and logs.

Kept whatever their age: runs that are not over, those that an asset's newest materialization or a check's newest result
stands on (sensors and pages read these), and of each job the newest that went well and the newest that failed. Of a run
that the audit names as who moved something the record stays, and its events go.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from orchestration.whose import Ours
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.tables import has_table

PRUNED_TAG: Final = "cellworks/events_pruned"
"""On a run whose events went while its record stays: when."""
_ENDED: Final = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_BATCH: Final = 500
_MOVERS = "SELECT DISTINCT substr(who, 5) FROM {} WHERE starts_with(who, 'run ')"


@dataclass(frozen=True)
class OldRuns:
    """Runs that are older than the policy keeps and that nothing stands on.

    Attributes:
        whole: ids of runs that go.
        events_only: ids of runs that the audit names: events go, the record stays.
        oldest: when the oldest of them ended, UTC; None without any.
    """

    whole: tuple[str, ...]
    events_only: tuple[str, ...]
    oldest: datetime | None


def old_runs(instance: DagsterInstance, ours: Ours, home: Home, before: datetime) -> OldRuns:
    """Runs that may go.

    Args:
        instance: Dagster's.
        ours: tells this site's runs; those of others that share the instance stay.
        home: whose audit is asked.
        before: a run that ended later stays, UTC.
    """
    records = instance.get_run_records(RunsFilter(statuses=_ENDED, updated_before=before))
    ended = [each for each in records if ours.owns(each.dagster_run)]
    needed = _stood_upon(instance, ours) | _newest_of_jobs(ours, {each.dagster_run.job_name for each in ended})
    free = [each for each in ended if each.dagster_run.run_id not in needed]
    audited = _audited(home)
    whole = [each for each in free if each.dagster_run.run_id not in audited]
    named = [each for each in free if each.dagster_run.run_id in audited]
    emptied = [each for each in named if PRUNED_TAG not in each.dagster_run.tags]
    return OldRuns(_ids(whole), _ids(emptied), min(map(_ended_at, [*whole, *emptied]), default=None))


def let_runs_go(instance: DagsterInstance, old: OldRuns) -> None:
    """Delete runs, or their events, as `old_runs` found them; what is gone already is no fault."""
    _delete_checks(instance, [*old.whole, *old.events_only])
    for run_id in old.whole:
        _delete_events(instance, run_id)
        instance.delete_run(run_id)
        _delete_shard(instance, run_id)
    for run_id in old.events_only:
        _delete_events(instance, run_id)
        _shrink_shard(instance, run_id)
        instance.add_run_tags(run_id, {PRUNED_TAG: datetime.now(UTC).isoformat(timespec="seconds")})


def _ids(records: Sequence[RunRecord]) -> tuple[str, ...]:
    return tuple(each.dagster_run.run_id for each in records)


def _ended_at(record: RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def _stood_upon(instance: DagsterInstance, ours: Ours) -> set[str]:
    """Runs of the newest materialization of each asset and of the newest result of each check, of this site."""
    entries = [each.asset_entry for each in instance.get_asset_records()]
    newest = [each.last_materialization for each in entries if each.last_materialization is not None]
    ours.look(each.run_id for each in newest)
    found = {each.run_id for each in newest}
    for entry in entries:
        if (last := entry.last_materialization) is not None and not ours(last.run_id):
            own = ours.newest_materialization(entry.asset_key)
            found |= set() if own is None else {own.run_id}
    found |= {each.last_observation.run_id for each in entries if each.last_observation is not None}
    return found | _checked_last(instance, ours)


def _checked_last(instance: DagsterInstance, ours: Ours) -> set[str]:
    """Runs of this site's newest execution of each check, and of its newest that has a result."""
    storage, table = instance.event_log_storage, AssetCheckExecutionsTable
    if not isinstance(storage, SqlEventLogStorage):  # one in memory, of a test
        return set()
    keys = (table.c.asset_key, table.c.check_name, table.c.run_id)
    told = sa.case((table.c.execution_status != "PLANNED", table.c.id))
    with storage.index_connection() as con:
        rows = list(con.execute(sa.select(*keys, sa.func.max(table.c.id), sa.func.max(told)).group_by(*keys)))
    ours.look(str(run_id) for _, _, run_id, _, _ in rows)
    newest: dict[tuple[str, str, bool], tuple[int, str]] = {}
    for asset, check, run_id, *places in rows:
        for has_result, place in zip((False, True), places, strict=True):
            key = (str(asset), str(check), has_result)
            if place is not None and ours(str(run_id)) and place > newest.get(key, (-1, ""))[0]:
                newest[key] = (place, str(run_id))
    return {run_id for _, run_id in newest.values()}


def _newest_of_jobs(ours: Ours, jobs: set[str]) -> set[str]:
    """Of each job the newest run that went well and the newest that failed: figures and pages tell when that was."""
    statuses = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
    newest = [ours.newest_run(RunsFilter(job_name=job, statuses=[status])) for job, status in product(jobs, statuses)]
    return {run.run_id for run in newest if run is not None}


def _audited(home: Home) -> set[str]:
    """Runs that the audit names as who did something."""
    if not home.has_lake:
        return set()
    with reader(home) as con:
        return {
            str(run_id)
            for table in ("alias_audit", "act")
            if has_table(con, "ops", table)
            for (run_id,) in con.execute(_MOVERS.format(f"lake.ops.{table}")).fetchall()
        }


def _delete_checks(instance: DagsterInstance, runs: Sequence[str]) -> None:
    """Results of checks, which Dagster leaves when it deletes a run; the version whose table this is is pinned."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):  # one in memory, of a test
        return
    for first in range(0, len(runs), _BATCH):
        some = runs[first : first + _BATCH]
        with storage.index_connection() as con:
            con.execute(sa.delete(AssetCheckExecutionsTable).where(AssetCheckExecutionsTable.c.run_id.in_(some)))


def _delete_events(instance: DagsterInstance, run_id: str) -> None:
    """Logs and events before the run itself, so that a prune that is killed leaves none that no run names."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.event_log_storage.delete_events(run_id)


def _delete_shard(instance: DagsterInstance, run_id: str) -> None:
    """SQLite keeps a file of events for each run, which Dagster empties and leaves."""
    file = _shard(instance, run_id)
    if file is not None:
        for end in ("", "-wal", "-shm"):
            Path(f"{file}{end}").unlink(missing_ok=True)


def _shrink_shard(instance: DagsterInstance, run_id: str) -> None:
    """The file of a run whose record stays: a server that had it open would not make its tables anew."""
    file = _shard(instance, run_id)
    if file is not None:
        with closing(sqlite3.connect(file)) as con:
            con.execute("VACUUM")


def _shard(instance: DagsterInstance, run_id: str) -> str | None:
    storage = instance.event_log_storage
    return storage.path_for_shard(run_id) if isinstance(storage, SqliteEventLogStorage) else None
