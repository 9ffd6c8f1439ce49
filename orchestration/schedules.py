"""Schedules: the site's own cron lines in the site's own time zone."""

from __future__ import annotations

import dagster as dg

from orchestration.jobs import NIGHTLY, WEEKLY_SEARCH
from pipelines.control_plan.site import Site

_JOBS = {"nightly": NIGHTLY, "weekly_search": WEEKLY_SEARCH}


def platform_schedules(site: Site) -> list[dg.ScheduleDefinition]:
    """Return a schedule for each cron line of site.yaml that names a job of ours; they run as soon as the daemon does.

    Dagster catches up one missed tick and keeps the local hour through daylight-saving changes.
    """
    return [
        dg.ScheduleDefinition(
            name=f"{name}_schedule",
            job_name=_JOBS[name],
            cron_schedule=cron,
            execution_timezone=site.time_zone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
        for name, cron in site.schedules.items()
        if name in _JOBS
    ]
