"""Checks of telemetry: millions of rows a day, read once into a table of aggregates per control point and six hours."""

from __future__ import annotations

from expectations.checks import ROWS, Check, Profile, lake, not_null, rows_satisfy
from expectations.groups import group_of, hours_of_day
from expectations.settings import GaugeSettings
from pipelines.control_plan.feeds import EVENT_AT, Feed
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier

POINTS = "control_point"  # the plan's control points, lent to the engine for the run
_NAME = "points"
# Raw, since the checks of a night may run before the staging of another feed; it is there from the first day on.
_STATES = "raw.scada__machine_state"


def series_checks(site: Site, feed: Feed, settings: GaugeSettings) -> tuple[list[Profile], list[Check]]:
    """Profile and checks of a feed of the form control_point_no, event_at, value."""
    return [_profile(site, settings)], [
        not_null("control_point_no"),
        _on("control_point_id IS NOT NULL", "control_point_no", "control_point_no is a control point of the plan"),
        _on("value_min >= physical_min AND value_max <= physical_max", "value", "values are physically possible"),
        _on(_inside_band(settings), "value", "values are given in the plan's unit"),
        _on(_moves(settings), "value", "gauges are not stuck"),
        _on("repeats = 0", "control_point_no", "control_point_no, event_at are unique on the newest day"),
        *[not_null(key) for key in feed.keys if key not in ("control_point_no", EVENT_AT)],
    ]


def _profile(site: Site, settings: GaugeSettings) -> Profile:
    # Distinct moments are counted on the newest day alone: every day is the newest of its night. And apart from the
    # rest: a distinct aggregate beside others makes DuckDB keep all rows' groups twice.
    groups = f"control_point_no, {hours_of_day(site, settings.group_h)}"
    sql = f"""
        SELECT gauge.*, coalesce(newest.repeats, 0) AS repeats, point.control_point_id, point.physical_min,
            point.physical_max, point.nominal, point.lsl, point.usl, point.unit, point.gauge_sd, point.resolution,
            coalesce(stop.standing_share, 0) AS standing_share
        FROM (
            SELECT {groups}, count(value) AS value_count, min(value) AS value_min, max(value) AS value_max,
                avg(value) AS value_mean
            FROM {ROWS} GROUP BY ALL
        ) AS gauge
        LEFT JOIN (
            SELECT {groups}, count(*) - count(DISTINCT {EVENT_AT}) AS repeats
            FROM {ROWS} WHERE production_day = (SELECT max(production_day) FROM {ROWS}) GROUP BY ALL
        ) AS newest USING (control_point_no, production_day, group_at)
        LEFT JOIN {quote_identifier(POINTS)}.{quote_identifier(POINTS)} AS point USING (control_point_no)
        LEFT JOIN ({_stops(site, settings)}) AS stop USING (machine_id, group_at)
    """
    return Profile(_NAME, sql, ("control_point_no", EVENT_AT, "value", "production_day"), is_by_day=True)


def _stops(site: Site, settings: GaugeSettings) -> str:
    """Share of each group of hours in which a machine stood, for the machines whose states are recorded."""
    hours = f"INTERVAL '{settings.group_h} hours'"
    return f"""
        SELECT machine_id, group_at,
            sum(epoch(least(ended_at, group_at + {hours})) - epoch(greatest({EVENT_AT}, group_at)))
                / {settings.group_h * 3600} AS standing_share
        FROM (
            SELECT machine_id, {EVENT_AT}, ended_at,
                unnest(range({group_of(site, settings.group_h, EVENT_AT)}, ended_at, {hours})) AS group_at
            FROM (SELECT DISTINCT machine_id, {EVENT_AT}, ended_at FROM {lake(_STATES)} WHERE state_code <> 'Execute')
        ) GROUP BY ALL
    """


def _inside_band(settings: GaugeSettings) -> str:
    """The mean of six hours of minutes lies around the specification; see `gauges.unit_band` for the bounds.

    A machine that stood for most of them shows its rest: no speed, no power. That tells nothing of the unit.
    """
    factor = settings.unit_factor
    least, most = "least(lsl, nominal, usl)", "greatest(lsl, nominal, usl)"
    is_judged = (
        f"value_count >= {settings.group_min_count} AND unit <> '1' AND NOT starts_with(unit, 'count') "
        f"AND standing_share <= {settings.standing_share}"
    )
    positive = f"value_mean <= {most} * {factor} AND (lsl IS NULL OR value_mean >= lsl / {factor})"
    negative = f"value_mean >= {least} * {factor} AND (usl IS NULL OR value_mean <= usl / {factor})"
    return (
        f"NOT coalesce({is_judged}, false) OR CASE WHEN {least} > 0 THEN {positive} "
        f"WHEN {most} < 0 THEN {negative} ELSE true END"
    )


def _moves(settings: GaugeSettings) -> str:
    shows = (
        f"resolution > 0 AND gauge_sd >= resolution * {settings.noise_to_resolution} AND NOT starts_with(unit, 'count')"
    )
    return f"value_count < {settings.group_min_count} OR value_min < value_max OR NOT coalesce({shows}, false)"


def _on(expression: str, column: str, title: str) -> Check:
    return rows_satisfy(expression, title=title, column=column, on=_NAME)
