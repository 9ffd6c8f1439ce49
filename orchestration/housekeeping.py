"""Jobs without assets: the plant's next day, care of the lake, alarms of failed runs.

Each runs in its run's own process. Dagster reads the annotations of ops while it imports them, so they are no strings.
"""

import subprocess
import sys
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import SCHEDULE_NAME_TAG
from pydantic import Field

from orchestration.jobs import ALARM, MAINTENANCE, PLANT_DAY
from orchestration.plant import plant, require_rules
from orchestration.run_lock import PATIENCE_S, night_lock
from orchestration.whose import site_tag

_FIRST = "10"  # in the queue they go before the night, which is long


class FailedRun(dg.Config):
    """What an alarm tells.

    Attributes:
        job: The job whose run failed.
        why: Step and reason.
    """

    job: str
    why: str


class FailedRuns(dg.Config):
    """Runs that failed since the sensor last looked: what is told of them, the same once, and the ids of all."""

    runs: list[FailedRun]
    ids: list[str] = Field(default_factory=list)


@dg.op
def simulate_a_day(context: dg.OpExecutionContext) -> None:
    """Let the twin deliver its next production day, as the program of its own that a plant is to the platform.

    The home's run lock is held meanwhile: sensors look away, so no run takes in half a day's files.
    """
    command = [str(Path(sys.executable).parent / "cellworks"), "simulate", "--days", "1", "--telemetry-days", "1"]
    with night_lock(plant().home, PLANT_DAY, wait_s=PATIENCE_S):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        raise dg.Failure(f"the twin's day failed: {done.stderr.strip()[-2000:]}", allow_retries=False)
    context.log.info(done.stdout.strip())


@dg.op
def tidy_up(context: dg.OpExecutionContext) -> None:
    """Let go what the site's retention does not keep, and compact the lake.

    What went is an act of the audit, as after `cellworks prune`: whoever may start runs in Dagster can launch this job,
    and Dagster does not know who that was.

    A run reads its snapshots while it holds the home's run lock, so with that lock held no run is open.
    """
    from orchestration.retention.prune import prune, told
    from pipelines.access.ledger import record_job

    here, origin = plant(), context.run.remote_job_origin
    with night_lock(here.home, MAINTENANCE, wait_s=PATIENCE_S):
        require_rules(here)
        found = prune(here, context.instance, origin.location_name if origin else None)
        begun = context.run.tags.get(SCHEDULE_NAME_TAG)
        why = f"the schedule {begun}, as its run says" if begun else "launched in Dagster's pages or by its tools"
        record_job(here.home, "prune", here.site.name, MAINTENANCE, why, {"gone": told(found), "run": context.run_id})
    context.log.info(told(found))


@dg.op
def raise_alarms(context: dg.OpExecutionContext, config: FailedRuns) -> None:
    """Write an alarm for each failed run, the same words once a day, and the state of solutions that it never began."""
    from models.registry.alarms import raise_alarm
    from orchestration.blocked import tell_blocked

    for run in config.runs:
        raise_alarm(plant().home, f"platform/{run.job}", run.why)
    for run_id in config.ids:
        told = context.instance.get_run_by_id(run_id)
        # Whoever may start runs can launch this job with any id; of a run that goes on nothing is told.
        if told is not None and told.status is dg.DagsterRunStatus.FAILURE:
            tell_blocked(plant(), context.instance, run_id)
        else:
            context.log.warning(f"{run_id} is no run that failed, so no solution is told as held back by it")


def housekeeping_jobs() -> list[dg.JobDefinition]:
    """Return the jobs, each in one process."""
    described = {
        PLANT_DAY: (simulate_a_day, "The twin's next production day, into the drop folder."),
        MAINTENANCE: (tidy_up, "Compaction of the lake; old snapshots, runs and versions that nothing points to go."),
        ALARM: (raise_alarms, "Alarms of runs that failed."),
    }
    return [
        dg.GraphDefinition(name=name, node_defs=[op]).to_job(
            executor_def=dg.in_process_executor, description=text, tags={"dagster/priority": _FIRST, **site_tag()}
        )
        for name, (op, text) in described.items()
    ]
