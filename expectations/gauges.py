"""Gauges that stand still, and readings in another unit: judged on a small table of aggregates per gauge.

A gauge is a machine's column (or a laboratory's characteristic). Frequent records are grouped by gauge and six hours;
of rarer ones the newest of each gauge are taken. The median lies outside of a band exactly if more than half of the
values lie on one side of it, so counting tells it without sorting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from expectations.checks import ROWS, Check, Profile, number, rows_satisfy
from expectations.groups import hours_of_day
from expectations.settings import GaugeSettings
from pipelines.control_plan.derive import characteristics, column_of
from pipelines.control_plan.feeds import EVENT_AT, VARIANT_COLUMN, Feed
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier, quote_literal

_FREQUENT = "cell_id"
_CODE = "characteristic_code"


@dataclass(frozen=True)
class Band:
    """Where half of a gauge's values must lie if they are in the plan's unit; None is open."""

    low: float | None
    high: float | None


def unit_band(row: Characteristic, factor: float) -> Band | None:
    """Band around a characteristic's specification that a wrong power of ten leaves.

    Returns:
        None when the plan says too little: no limit, a count or an index without unit, or a range around zero.
    """
    limits = [value for value in (row.lsl, row.nominal, row.usl) if value is not None]
    if not limits or row.unit == "1" or row.unit.startswith("count"):
        return None
    if min(limits) > 0:
        # With an upper limit alone (contaminations, wear) there is no telling how small good values are.
        return Band(row.lsl / factor if row.lsl is not None else None, max(limits) * factor)
    if max(limits) < 0:
        return Band(min(limits) * factor, row.usl / factor if row.usl is not None else None)
    return None


def shows_noise(row: Characteristic, least: float) -> bool:
    """Whether a working gauge can't show one value for long: its noise reaches `least` steps of its display."""
    return not row.unit.startswith("count") and 0 < row.resolution * least <= row.gauge_sd


def gauge_checks(site: Site, feed: Feed, settings: GaugeSettings) -> tuple[list[Profile], list[Check]]:
    """Profiles and checks of a wide or long feed; of each gauge that the plan says enough about."""
    by_machine: dict[str, list[Characteristic]] = {}
    for row in characteristics(site, feed):
        by_machine.setdefault(_CODE if feed.is_long else _machine_column(feed, row), []).append(row)
    profiles: list[Profile] = []
    checks: list[Check] = []
    for group, rows in by_machine.items():
        judged = [(row, unit_band(row, settings.unit_factor)) for row in rows]
        judged = [(r, band) for r, band in judged if band or shows_noise(r, settings.noise_to_resolution)]
        if not judged:
            continue
        profile = _profile(site, feed, group, judged, settings)
        profiles.append(profile)
        for row, band in judged:
            checks += _checks_of(site, feed, row, band, profile.name, settings)
    return profiles, checks


def _machine_column(feed: Feed, row: Characteristic) -> str:
    own = f"{row.machine_class}_id"
    if own in feed.columns:
        return own
    return "machine_id" if "machine_id" in feed.columns else ""


def _profile(
    site: Site, feed: Feed, group: str, judged: Sequence[tuple[Characteristic, Band | None]], settings: GaugeSettings
) -> Profile:
    keys = [name for name in (group, VARIANT_COLUMN if feed.has_variant else "") if name]
    bands: dict[str, list[tuple[Characteristic, Band]]] = {}
    for row, band in judged:
        bands.setdefault(column_of(site, row), []).extend([(row, band)] if band else [])
    values = [part for column, of_column in bands.items() for part in _aggregates(feed, column, of_column)]
    names = ", ".join(quote_identifier(key) for key in keys)
    name, sums = f"gauge_{group or 'all'}", ", ".join(values)
    if _FREQUENT in feed.keys:
        grouping = ", ".join(filter(None, (names, hours_of_day(site, settings.group_h))))
        sql = f"SELECT {grouping}, {sums} FROM {ROWS} GROUP BY ALL"
        return Profile(name, sql, (*keys, EVENT_AT, *bands, "production_day"), is_by_day=True)
    partition = f"PARTITION BY {names} " if names else ""
    newest = f"row_number() OVER ({partition}ORDER BY {EVENT_AT} DESC) <= {settings.last_count}"
    source = f"(SELECT * FROM {ROWS} QUALIFY {newest})"
    sql = f"SELECT {names or 'NULL AS gauge'}, {sums} FROM {source} GROUP BY ALL"
    return Profile(name, sql, (*keys, EVENT_AT, *bands))


def _aggregates(feed: Feed, column: str, bands: Sequence[tuple[Characteristic, Band]]) -> Iterable[str]:
    value = quote_identifier(column)
    yield f"count({value}) AS {_part(column, 'n')}"
    yield f"min({value}) AS {_part(column, 'min')}"
    yield f"max({value}) AS {_part(column, 'max')}"
    for side, sign in (("low", "<"), ("high", ">")):
        limits = [(row, getattr(band, side)) for row, band in bands if getattr(band, side) is not None]
        if limits:
            yield f"count_if({value} {sign} {_limit(feed, limits)}) AS {_part(column, side)}"


def _limit(feed: Feed, limits: Sequence[tuple[Characteristic, float]]) -> str:
    """The limit that applies to a row: one number, or by electrode or characteristic."""
    if not feed.has_variant and not feed.is_long:
        return number(limits[0][1])
    if feed.is_long:
        cases = [f"WHEN {quote_literal(row.code)} THEN {number(limit)}" for row, limit in limits]
        return f"CASE {_CODE} {' '.join(cases)} END"
    cases = [f"WHEN {quote_literal(row.variant)} THEN {number(limit)}" for row, limit in limits]
    return f"CASE {VARIANT_COLUMN} {' '.join(cases)} END"


def _checks_of(
    site: Site, feed: Feed, row: Characteristic, band: Band | None, profile: str, settings: GaugeSettings
) -> Iterable[Check]:
    column = column_of(site, row)
    is_frequent = _FREQUENT in feed.keys
    count = settings.group_min_count if is_frequent else settings.last_count
    unconcerned = [f"{_part(column, 'n')} < {count}"]
    if feed.is_long:
        unconcerned.append(f"{_CODE} <> {quote_literal(row.code)}")
    elif feed.has_variant:
        unconcerned.append(f"{VARIANT_COLUMN} <> {quote_literal(row.variant)}")
    excuse = " OR ".join(unconcerned)
    if shows_noise(row, settings.noise_to_resolution):
        moves = f"{_part(column, 'min')} < {_part(column, 'max')}"
        yield _on(profile, column, f"{excuse} OR {moves}", f"the gauge of {row.code} is not stuck")
    if band is not None:
        sides = [side for side in ("low", "high") if getattr(band, side) is not None]
        inside = " AND ".join(f"2 * {_part(column, side)} <= {_part(column, 'n')}" for side in sides)
        yield _on(profile, column, f"{excuse} OR ({inside})", f"{row.code} is given in {row.unit}")


def _on(profile: str, column: str, expression: str, title: str) -> Check:
    return rows_satisfy(expression, title=title, column=column, on=profile)


def _part(column: str, part: str) -> str:
    return quote_identifier(f"{column}__{part}")
