"""A failed run raises an alarm."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from dagster._core.events import JobFailureData

from orchestration.jobs import ALARM
from orchestration.sensors.marks import ours_of, read_cursor, write_cursor

_AT_ONCE = 100
_LONGEST = 1000


def failure_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor.

    All failures since the last look become one run of the alarm job, because a tick must not wait for the lake's
    writer lock. Failed alarms raise none. Nights of the command line count too; those of another site that shares this
    Dagster do not.

    Args:
        interval_s: Seconds between ticks.
    """

    @dg.sensor(
        name="run_failed",
        job_name=ALARM,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A run failed: raise an alarm.",
    )
    def sense(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = read_cursor(context.cursor)
        if "event" not in cursor:
            newest = context.instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
            start = write_cursor({"event": newest[0].storage_id if newest else 0})
            return dg.SensorResult(skip_reason="the first look: only what fails from now on counts", cursor=start)
        wanted = dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=cursor["event"])
        records = context.instance.fetch_run_status_changes(wanted, limit=_AT_ONCE, ascending=True).records
        if not records:
            return dg.SensorResult(skip_reason="no run has failed")
        last = records[-1].storage_id
        ours = ours_of(context).look(record.run_id for record in records)
        entries = [record.event_log_entry for record in records if ours(record.run_id)]
        told = _told(event for entry in entries if (event := entry.dagster_event) is not None)
        ids = [entry.run_id for entry in entries if entry.job_name != ALARM]
        requests = [_request(cursor["event"], last, told, ids)] if told else []
        skip = None if told else "only alarms, or runs of another site, failed"
        return dg.SensorResult(run_requests=requests, skip_reason=skip, cursor=write_cursor({"event": last}))

    return sense


def _told(events: Iterable[dg.DagsterEvent]) -> list[dict[str, str]]:
    """Job and reason of each failure; the same twice is told once."""
    told = [{"job": event.job_name, "why": _why(event)} for event in events if event.job_name != ALARM]
    return [each for number, each in enumerate(told) if each not in told[:number]]


def _why(event: dg.DagsterEvent) -> str:
    data = event.event_specific_data
    # A run that was killed, or never began, has a message and no more.
    if not isinstance(data, JobFailureData):
        return _cut(event.message)
    step = data.first_step_failure_event
    if step is not None and step.step_failure_data is not None:
        failure = step.step_failure_data
        error = failure.error
        while error is not None and error.cause is not None:
            error = error.cause
        said = failure.user_failure_data.description if failure.user_failure_data else None
        return _cut(f"step {step.step_key} failed: {said or (error.message.strip() if error else 'no reason given')}")
    return _cut(data.error.message.strip() if data.error else event.message)


def _cut(text: str | None) -> str:
    return (text or "no reason given")[:_LONGEST]


def _request(first: int, last: int, told: list[dict[str, str]], ids: list[str]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"failures {first} to {last}",
        run_config={"ops": {"raise_alarms": {"config": {"runs": told, "ids": ids}}}},
    )
