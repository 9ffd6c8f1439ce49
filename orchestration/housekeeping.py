"""Jobs without assets: the plant's next day, care of the lake, alarms of failed runs.

Each runs in its run's own process. Dagster reads the annotations of ops while it imports them, so they are no strings.
"""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import dagster as dg
from pydantic import Field

from orchestration.jobs import ALARM, MAINTENANCE, PLANT_DAY
from orchestration.plant import plant
from orchestration.run_lock import PATIENCE_S, night_lock

_FIRST = "10"  # in the queue they go before the night, which is long


class Upkeep(dg.Config):
    """Settings of maintenance.

    Attributes:
        keep_days: Age up to which every snapshot, and on servers every study of a search, stays, in days.
    """

    keep_days: float = 7.0


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
def tidy_lake(context: dg.OpExecutionContext, config: Upkeep) -> None:
    """Compact the lake and let old snapshots and studies go, but no snapshot that a version or an open run names.

    A run reads its snapshots while it holds the home's run lock, so with that lock held no run is open.
    """
    from models.registry.published import snapshots_of_versions
    from models.tuning.shared import board_of, prune
    from pipelines.lake.maintenance import maintain

    home, keep = plant().home, timedelta(days=config.keep_days)
    with night_lock(home, "maintenance", wait_s=PATIENCE_S):
        report = maintain(home, keep=keep, also_keep=snapshots_of_versions(home))
    context.log.info(
        f"files {report.files_before} to {report.files_after}, {report.removed} removed, "
        f"{report.orphans} left by killed writers; snapshots {len(report.expired)} expired, {len(report.kept)} kept"
    )
    if (board := board_of(home)) is not None:
        context.log.info(f"{len(prune(board, keep))} studies of searches deleted")


@dg.op
def raise_alarms(context: dg.OpExecutionContext, config: FailedRuns) -> None:
    """Write an alarm for each failed run, the same words once a day, and the state of solutions that it never began."""
    from models.registry.alarms import raise_alarm
    from orchestration.blocked import tell_blocked

    for run in config.runs:
        raise_alarm(plant().home, f"platform/{run.job}", run.why)
    for run_id in config.ids:
        tell_blocked(plant(), context.instance, run_id)


def housekeeping_jobs() -> list[dg.JobDefinition]:
    """Return the jobs, each in one process."""
    described = {
        PLANT_DAY: (simulate_a_day, "The twin's next production day, into the drop folder."),
        MAINTENANCE: (tidy_lake, "Compaction and expiry of snapshots that nobody names."),
        ALARM: (raise_alarms, "Alarms of runs that failed."),
    }
    return [
        dg.GraphDefinition(name=name, node_defs=[op]).to_job(
            executor_def=dg.in_process_executor, description=text, tags={"dagster/priority": _FIRST}
        )
        for name, (op, text) in described.items()
    ]
