"""Figures of Dagster's storage: the queue, when jobs went well or failed, and what checks said last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from orchestration.metrics.domains import table_domains
from orchestration.metrics.names import Sample
from orchestration.plant import Plant
from orchestration.whose import Ours

if TYPE_CHECKING:
    from dagster import AssetCheckKey, DagsterInstance, DagsterRunStatus


def run_samples(instance: DagsterInstance, here: Plant, solutions: Sequence[str]) -> Iterator[Sample]:
    """Everything that Dagster's storage tells.

    Args:
        instance: Dagster's.
        here: the plant.
        solutions: its solutions, as `<stage>/<slug>`.
    """
    ours = Ours(instance)
    yield from _queue(instance, ours)
    yield from _jobs(instance, ours)
    yield from _checks(instance, ours, here, set(solutions))


def _queue(instance: DagsterInstance, ours: Ours) -> Iterator[Sample]:
    from dagster import DagsterRunStatus, RunsFilter

    states = {
        "queued": [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED],
        "in_progress": [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING],
    }
    for name, statuses in states.items():
        records = instance.get_run_records(RunsFilter(statuses=statuses), ascending=True)
        oldest = [record for record in records if ours.owns(record.dagster_run)]
        yield Sample(f"cellworks_runs_{name}", len(oldest))
        if oldest:
            at = oldest[0].start_time or oldest[0].create_timestamp.timestamp()
            yield Sample(f"cellworks_run_oldest_{name}_timestamp_seconds", at)


def _jobs(instance: DagsterInstance, ours: Ours) -> Iterator[Sample]:
    """When the newest run of each job ended, by how; a night of one solution is no job of its own here."""
    from dagster import DagsterRunStatus, RunsFilter

    words = {DagsterRunStatus.SUCCESS: "success", DagsterRunStatus.FAILURE: "failure"}
    for job, status in _ended(instance, words):
        run = ours.newest_run(RunsFilter(job_name=job, statuses=[status]))
        record = instance.get_run_record_by_id(run.run_id) if run else None
        if "__" not in job and record is not None and record.end_time is not None:
            yield Sample(f"cellworks_job_last_{words[status]}_timestamp_seconds", record.end_time, (job,))


def _ended(instance: DagsterInstance, statuses: Collection[DagsterRunStatus]) -> list[tuple[str, DagsterRunStatus]]:
    """Jobs with a run that ended so, from Dagster's table: it has no call that tells them."""
    import sqlalchemy as sa
    from dagster import DagsterRunStatus
    from dagster._core.storage.runs.schema import RunsTable as Table
    from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):  # one in memory, of a test
        return []
    wanted = Table.c.status.in_([each.value for each in statuses])
    with storage.connect() as con:
        rows: list[Any] = list(con.execute(sa.select(Table.c.pipeline_name, Table.c.status).where(wanted).distinct()))
    return [(str(job), DagsterRunStatus(status)) for job, status in rows]


def _checks(instance: DagsterInstance, ours: Ours, here: Plant, solutions: set[str]) -> Iterator[Sample]:
    domains = table_domains(here.site)
    asked: Counter[tuple[str, str]] = Counter()
    failing: Counter[tuple[str, str]] = Counter()
    for key, check, has_failed in _last_evaluations(instance, ours):
        if len(key) == 2 and (domain := domains.get(".".join(key))):
            asked[key[0], domain] += 1
            failing[key[0], domain] += has_failed
        elif len(key) == 3 and (solution := "/".join(key[:2])) in solutions:
            yield Sample("cellworks_solution_check_failing", has_failed, (solution, check))
    for labels, count in asked.items():
        yield Sample("cellworks_table_checks", count, labels)
        yield Sample("cellworks_table_checks_failing", failing[labels], labels)


def _last_evaluations(instance: DagsterInstance, ours: Ours) -> Iterator[tuple[list[str], str, bool]]:
    """Asset key, check and whether it failed, of each check's newest evaluation by a run of this site.

    Dagster's own call wants every key and reads one after the other; its table answers for all at once. The version
    is pinned.
    """
    import sqlalchemy as sa
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Table
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):  # one in memory, of a test
        return
    newest = (
        sa.select(sa.func.max(Table.c.id))
        .where(Table.c.execution_status != "PLANNED")
        .group_by(Table.c.asset_key, Table.c.check_name)
    )
    columns = (Table.c.asset_key, Table.c.check_name, Table.c.execution_status, Table.c.run_id)
    with storage.index_connection() as con:
        rows: list[Any] = list(con.execute(sa.select(*columns).where(Table.c.id.in_(newest))))
    ours.look(str(run_id) for *_, run_id in rows)
    others = [_check_key(text, str(check)) for text, check, _, run_id in rows if not ours(str(run_id))]
    said = {key: record.status.value for key, record in ours.overtaken_checks(others, is_over=True).items()}
    said |= {_check_key(text, str(check)): str(status) for text, check, status, run_id in rows if ours(str(run_id))}
    for key, status in said.items():
        yield list(key.asset_key.path), key.name, status == "FAILED"


def _check_key(text: str, check: str) -> AssetCheckKey:
    from dagster import AssetCheckKey, AssetKey

    return AssetCheckKey(AssetKey(json.loads(text)), check)
