"""Suites of the staging layer: keys, references, genealogy, ranges, clocks and gauges."""

from __future__ import annotations

from collections.abc import Iterator

from expectations.checks import (
    NOW,
    ROWS,
    Check,
    Profile,
    TableSuite,
    between,
    in_set,
    not_null,
    number,
    references,
    rows_satisfy,
    unique,
)
from expectations.gauges import gauge_checks
from expectations.series import series_checks
from expectations.settings import Settings
from pipelines.control_plan.derive import ColumnRange, expectation_ranges, raw_schema
from pipelines.control_plan.feeds import EVENT_AT, KNOWN_AT, Feed
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier, quote_literal

_ORDERED = (("started_at", EVENT_AT), ("received_at", KNOWN_AT), ("opened_at", "closed_at"), (EVENT_AT, "ended_at"))
_OVERLAP_M = 0.01  # metre counters are read to a centimetre


def staging_table(feed: str) -> str:
    """Name of a feed's staging table."""
    return f"stg_{feed}"


def staging_suite(site: Site, feed: Feed, settings: Settings) -> TableSuite:
    """Checks of one staging table."""
    table = staging_table(feed.name)
    types = raw_schema(site, feed)
    if feed.shape == "series":
        profiles, checks = series_checks(site, feed, settings.gauges)
        checks += [not_null(EVENT_AT), not_null(KNOWN_AT)]
    else:
        profiles, checks = gauge_checks(site, feed, settings.gauges)
        checks += [not_null(key) for key in feed.keys]
        checks += [unique(feed.keys)]
        checks += [range_check(each) for each in expectation_ranges(site, types, feed=feed.name)]
    checks += _references(site, feed, settings)
    checks += _clocks(feed)
    intervals, overlaps = _intervals(feed)
    return TableSuite("staging", table, feed.domain, (*checks, *overlaps), types, (*profiles, *intervals))


def range_check(each: ColumnRange) -> Check:
    """Values are physically possible; beyond the specification is for control charts, not for a blocked night."""
    if each.when is None:
        return between(each.column, each.low, each.high)
    column, value = each.when
    name = quote_identifier(each.column)
    bounds = [f"{name} >= {number(each.low)}"] if each.low is not None else []
    bounds += [f"{name} <= {number(each.high)}"] if each.high is not None else []
    expression = f"{quote_identifier(column)} <> {quote_literal(value)} OR ({' AND '.join(bounds)})"
    return rows_satisfy(
        expression, title=f"{each.code or each.column} is physically possible", column=each.column, uses=[column]
    )


def _references(site: Site, feed: Feed, settings: Settings) -> Iterator[Check]:
    for name, column in feed.columns.items():
        if column.references == "machine":
            yield in_set(name, machines_of(site, name), title=f"{name} is a machine of the site")
        elif column.references == "step":
            yield in_set(name, list(site.plan.steps_by_code), title=f"{name} is a step of the site")
        elif column.references:
            yield _record(site, feed, name, column.references, settings)


def machines_of(site: Site, column: str) -> list[str]:
    """Machines that a column may name: `stacker_id` those of the class stacker, `machine_id` all."""
    stem = column.removeprefix("cathode_").removeprefix("anode_").removesuffix("_id")
    return [machine.id for machine in site.machines(stem)] or list(site.machines_by_id)


def _record(site: Site, feed: Feed, column: str, target: str, settings: Settings) -> Check:
    other, key = target.split(".")
    # Another domain's staging may be held back by its own checks; what arrived from it is in raw all the same.
    is_same = site.feeds[other].domain == feed.domain
    relation = f"staging.{staging_table(other)}" if is_same else f"raw.{other}"
    return references(
        column,
        relation,
        key,
        title=f"{column} is found in {other}.{key}",
        settled=f"{KNOWN_AT} <= {NOW} - to_seconds({number(settings.reference_grace_h * 3600)})",
        waiting_share=settings.reference_grace_share,
    )


def _clocks(feed: Feed) -> Iterator[Check]:
    present = {*feed.columns, EVENT_AT, KNOWN_AT}
    for begin, end in _ORDERED:
        if begin in present and end in present:
            yield rows_satisfy(f"{begin} <= {end}", title=f"{begin} is not after {end}", column=begin, uses=[end])
    yield rows_satisfy(f"{KNOWN_AT} <= {NOW}", title="nothing is known after the plant's clock", column=KNOWN_AT)


def _intervals(feed: Feed) -> tuple[list[Profile], list[Check]]:
    """Metres taken from a roll: each stretch has a length, and no two of a roll overlap."""
    profiles, checks = [], []
    for roll in [name for name in feed.columns if name.endswith("_roll_id")]:
        stem = roll.removesuffix("roll_id")
        begin, end = f"{stem}from_m", f"{stem}to_m"
        if stem == "mother_":
            begin, end = "from_m", "to_m"
        if begin not in feed.columns or end not in feed.columns:
            continue
        checks.append(rows_satisfy(f"{begin} < {end}", title=f"{begin} is before {end}", column=begin, uses=[end]))
        lane = ", lane_no" if "lane_no" in feed.columns else ""
        keys = ", ".join(quote_identifier(key) for key in feed.keys)
        sql = (
            f"SELECT {keys}, {roll}{lane}, {begin}, {end}, lag({end}) OVER "
            f"(PARTITION BY {roll}{lane} ORDER BY {begin}, {end}) AS previous_to_m FROM {ROWS}"
        )
        uses = tuple(dict.fromkeys((*feed.keys, roll, *(["lane_no"] if lane else []), begin, end)))
        profiles.append(Profile(f"{stem}intervals", sql, uses))
        checks.append(
            rows_satisfy(
                f"{begin} >= previous_to_m - {_OVERLAP_M}",
                title=f"stretches of one {roll.removesuffix('_id').replace('_', ' ')} don't overlap",
                column=begin,
                on=f"{stem}intervals",
            )
        )
    return profiles, checks
