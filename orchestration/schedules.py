"""Schedules: the site's own cron lines in the site's own time zone."""

from __future__ import annotations

import dagster as dg

from orchestration.jobs import MAINTENANCE, NIGHTLY, PLANT_DAY, WEEKLY_SEARCH
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site

_JOBS = (PLANT_DAY, NIGHTLY, WEEKLY_SEARCH, MAINTENANCE)
_TWIN = "twin.yaml"


def platform_schedules(site: Site) -> list[dg.ScheduleDefinition]:
    """Return a schedule for each cron line of site.yaml; they run as soon as the daemon does.

    Dagster catches up the newest missed tick, once, and keeps the local hour through daylight-saving changes.

    Raises:
        CellworksError: A line names no job, or a plant day where there is no twin to simulate it.
    """
    for name in site.schedules:
        _refuse_idle(site, name)
    return [
        dg.ScheduleDefinition(
            name=f"{name}_schedule",
            job_name=name,
            cron_schedule=cron,
            execution_timezone=site.time_zone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
        for name, cron in site.schedules.items()
    ]


def _refuse_idle(site: Site, name: str) -> None:
    if name not in _JOBS:
        raise CellworksError(
            f"the schedule '{name}' starts nothing",
            expected=f"schedules named {', '.join(_JOBS)}",
            found=name,
            mend="correct its name or take it out",
            where=str(site.folder / "site.yaml"),
        )
    if name == PLANT_DAY and not site.file(_TWIN).is_file():
        raise CellworksError(
            "a plant day is scheduled on a site without a twin",
            expected=f"{_TWIN} beside site.yaml",
            found="none",
            mend="take plant_day out of the schedules: a real plant delivers by itself",
            where=str(site.folder / "site.yaml"),
        )
