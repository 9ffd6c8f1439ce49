"""Figures of Dagster's storage: the queue, when jobs went well or failed, and what checks said last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from orchestration.metrics.domains import table_domains
from orchestration.metrics.names import Sample
from orchestration.plant import Plant

if TYPE_CHECKING:
    from dagster import DagsterInstance


def run_samples(instance: DagsterInstance, here: Plant, solutions: Sequence[str]) -> Iterator[Sample]:
    """Everything that Dagster's storage tells.

    Args:
        instance: Dagster's.
        here: the plant.
        solutions: its solutions, as `<stage>/<slug>`.
    """
    yield from _queue(instance)
    yield from _jobs(instance)
    yield from _checks(instance, here, set(solutions))


def _queue(instance: DagsterInstance) -> Iterator[Sample]:
    from dagster import DagsterRunStatus, RunsFilter

    states = {
        "queued": [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED],
        "in_progress": [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING],
    }
    for name, statuses in states.items():
        wanted = RunsFilter(statuses=statuses)
        yield Sample(f"cellworks_runs_{name}", instance.get_runs_count(wanted))
        oldest = instance.get_run_records(wanted, limit=1, ascending=True)
        if oldest:
            at = oldest[0].start_time or oldest[0].create_timestamp.timestamp()
            yield Sample(f"cellworks_run_oldest_{name}_timestamp_seconds", at)


def _jobs(instance: DagsterInstance) -> Iterator[Sample]:
    """When each job last ended, however many runs of others came since; a night of one solution is no job here.

    Dagster's own call would want one question for each job and state; its table answers for all at once.
    """
    import sqlalchemy as sa
    from dagster import DagsterRunStatus
    from dagster._core.storage.runs.schema import RunsTable as Table
    from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):  # one in memory, of a test
        return
    words = {DagsterRunStatus.SUCCESS.value: "success", DagsterRunStatus.FAILURE.value: "failure"}
    newest = (
        sa.select(Table.c.status, Table.c.pipeline_name, sa.func.max(Table.c.end_time))
        .where(Table.c.status.in_(words), Table.c.end_time.is_not(None))
        .group_by(Table.c.status, Table.c.pipeline_name)
    )
    with storage.connect() as con:
        rows: list[Any] = list(con.execute(newest))
    for status, job, at in rows:
        if "__" not in job:
            yield Sample(f"cellworks_job_last_{words[status]}_timestamp_seconds", at, (job,))


def _checks(instance: DagsterInstance, here: Plant, solutions: set[str]) -> Iterator[Sample]:
    domains = table_domains(here.site)
    asked: Counter[tuple[str, str]] = Counter()
    failing: Counter[tuple[str, str]] = Counter()
    for key, check, has_failed in _last_evaluations(instance):
        if len(key) == 2 and (domain := domains.get(".".join(key))):
            asked[key[0], domain] += 1
            failing[key[0], domain] += has_failed
        elif len(key) == 3 and (solution := "/".join(key[:2])) in solutions:
            yield Sample("cellworks_solution_check_failing", has_failed, (solution, check))
    for labels, count in asked.items():
        yield Sample("cellworks_table_checks", count, labels)
        yield Sample("cellworks_table_checks_failing", failing[labels], labels)


def _last_evaluations(instance: DagsterInstance) -> Iterator[tuple[list[str], str, bool]]:
    """Asset key, check and whether it failed, of each check's newest evaluation.

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
    columns = (Table.c.asset_key, Table.c.check_name, Table.c.execution_status)
    with storage.index_connection() as con:
        rows: list[Any] = list(con.execute(sa.select(*columns).where(Table.c.id.in_(newest))))
    for key, check, status in rows:
        yield json.loads(key), str(check), status == "FAILED"
