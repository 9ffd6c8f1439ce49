"""Hours of a production day: what gauges and telemetry are grouped by, so that no group lies in two days."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipelines.control_plan.feeds import EVENT_AT
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_literal


def site_start(site: Site) -> datetime:
    """Begin of the site's first production day, in UTC."""
    local = datetime.combine(site.start_day, site.day_starts_at, tzinfo=site.zone)
    offset = local.utcoffset() or timedelta(0)
    return local.replace(tzinfo=None) - offset


def hours_of_day(site: Site, hours: int) -> str:
    """SQL of the groups `production_day, group_at`: hours counted from the start of the day.

    The day is part of the group because a clock change moves its start against the hours.
    """
    return f"production_day, {group_of(site, hours, EVENT_AT)} AS group_at"


def group_of(site: Site, hours: int, moment: str) -> str:
    """SQL of the begin of the group that a moment lies in."""
    start = quote_literal(site_start(site).isoformat(sep=" "))
    return f"time_bucket(INTERVAL '{hours} hours', {moment}, TIMESTAMP {start})"
