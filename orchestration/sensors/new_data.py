"""New data starts ingestion, curation and scoring; a person's own table that changed, its solutions' scoring alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from models.families import family_of
from models.solution import SolutionSpec
from orchestration.assets.keys import solution_key, table_key
from orchestration.deliveries import delivered, last_taken_in, own_tables
from orchestration.jobs import NEW_DATA, SOLUTION_TAG
from orchestration.plant import plant
from orchestration.sensors.marks import busy, ours_of, read_cursor, write_cursor
from orchestration.solving import PREDICTIONS
from orchestration.whose import Ours
from pipelines.lake.files import file_suffix


def new_data_sensor(interval_s: int, specs: Sequence[SolutionSpec]) -> dg.SensorDefinition:
    """Return the sensor.

    Its cursor holds a mark of the deliveries and one for each solution over a person's own files. A delivery starts
    the whole job, which scores those too; when only such files changed, only their solutions are scored. What a night
    has taken in and scored starts nothing, and neither does what a run that waits in the queue will take in.

    Args:
        interval_s: Seconds between ticks.
        specs: All solutions.
    """
    over_files = [spec for spec in specs if file_suffix(spec.table) and spec.trigger.on_new_data]

    @dg.sensor(
        name="new_data",
        job_name=NEW_DATA,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A file or row was delivered: take it in, curate, check and score. "
        "A person's own table file changed: score its solution.",
    )
    def sense(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        here = plant()
        if (reason := busy(here.home) or _awaited(context.instance, ours_of(context))) is not None:
            return reason
        cursor = read_cursor(context.cursor)
        known, mark, files = cursor.get("own_tables", {}), delivered(here), own_tables(over_files)
        changed = [spec for spec in over_files if files.get(spec.solution, "") not in ("", known.get(spec.solution))]
        is_delivered = mark not in ("", cursor.get("delivered", ""))
        if not is_delivered and not changed:
            return dg.SkipReason("nothing new was delivered")
        # A file that is away keeps its mark: when it comes back as it was, there is nothing new.
        after = {"delivered": mark, "own_tables": known | files, "looks": int(cursor.get("looks", 0)) + 1}
        feed = table_key("raw", next(iter(here.site.feeds)))
        if is_delivered and mark != last_taken_in(ours_of(context), feed):
            return _asking(dg.RunRequest(run_key=f"new data {mark}"), after)
        asked = [
            spec
            for spec in changed
            if files[spec.solution] != last_taken_in(ours_of(context), solution_key(spec, PREDICTIONS))
        ]
        if asked:
            return _asking(_request(asked, after), after)
        return dg.SensorResult(skip_reason="a night has taken in what was delivered", cursor=write_cursor(after))

    return sense


def _awaited(instance: dg.DagsterInstance, ours: Ours) -> dg.SkipReason | None:
    """A whole run that waits in the queue takes in what comes until it begins: a second one would find nothing."""
    waiting = instance.get_runs(dg.RunsFilter(job_name=NEW_DATA, statuses=[dg.DagsterRunStatus.QUEUED]))
    whole = [run.run_id for run in waiting if SOLUTION_TAG not in run.tags and ours.owns(run)]
    return dg.SkipReason(f"run {whole[0]} waits in the queue and will take it in") if whole else None


def _asking(request: dg.RunRequest, after: dict[str, Any]) -> dg.SensorResult:
    return dg.SensorResult(run_requests=[request], cursor=write_cursor(after))


def _request(changed: Sequence[SolutionSpec], after: dict[str, Any]) -> dg.RunRequest:
    """The run that scores the solutions; the number in its key tells a content that comes back from its first time."""
    files = ", ".join(f"{spec.solution}={after['own_tables'][spec.solution]}" for spec in changed)
    return dg.RunRequest(
        run_key=f"own tables {after['looks']}: {files}",
        asset_selection=[solution_key(spec, part) for spec in changed for part in family_of(spec).answering],
        tags={SOLUTION_TAG: ", ".join(spec.solution for spec in changed)},
    )
