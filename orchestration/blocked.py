"""Solutions that a run was to do and never began, since what they read failed: their state says so and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestration.catalogue import discover
from orchestration.night_store import last_night, nights, store_night
from orchestration.plant import Plant
from orchestration.solving import PARTS, Outcome
from pipelines.lake.clock import wall_now

if TYPE_CHECKING:
    from dagster import DagsterInstance


def tell_blocked(here: Plant, instance: DagsterInstance, run_id: str) -> list[str]:
    """Write `failing` for each solution whose step of a finished run was planned and not begun.

    Without it the solution would go on saying `working` of the night before. One that another run has done since stays
    as it is.

    Args:
        here: The plant.
        instance: Dagster's, which has the run's events.
        run_id: A run that is over.

    Returns:
        The solutions, as `<stage>/<slug>`.
    """
    planned, begun, failed, ended_at = _steps(instance, run_id)
    blocked = {name for name, step in planned.items() if step not in begun}
    if not blocked or not failed:
        return []
    known = nights(here.home)
    why = f"not run: {', '.join(sorted(failed))} failed before it; its last good state stays published"
    told = []
    for spec in discover():
        newest = known.get(spec.solution, {}).get("run_at")
        # A stamp ahead of the clock is of before the clock was set back.
        is_older = newest is None or newest < ended_at or newest > wall_now()
        if spec.solution in blocked and is_older:
            row = last_night(here.home, spec.solution)
            store_night(here.home, row, Outcome(spec, failure=why), wall_now())
            told.append(spec.solution)
    return told


def _steps(instance: DagsterInstance, run_id: str) -> tuple[dict[str, str], set[str], set[str], datetime]:
    """Step of each planned solution, steps that began, steps that failed, and when the run spoke last (UTC, naive)."""
    from dagster import DagsterEventType as Kind

    planned: dict[str, str] = {}
    begun: set[str] = set()
    failed: set[str] = set()
    last = 0.0
    for entry in instance.all_logs(run_id):
        last = max(last, entry.timestamp)
        event = entry.dagster_event
        if event is None or event.step_key is None:
            continue
        if event.event_type is Kind.ASSET_MATERIALIZATION_PLANNED:
            path = event.asset_materialization_planned_data.asset_key.path
            if len(path) == 3 and path[2] in PARTS:
                planned["/".join(path[:2])] = event.step_key
        elif event.event_type is Kind.STEP_START:
            begun.add(event.step_key)
        elif event.event_type is Kind.STEP_FAILURE:
            failed.add(event.step_key)
    return planned, begun, failed, datetime.fromtimestamp(last, UTC).replace(tzinfo=None)
