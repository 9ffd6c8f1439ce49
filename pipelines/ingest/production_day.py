"""The production day as SQL, without a time zone look-up per row."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier

_STEP = timedelta(days=7)


def _offset_s(site: Site, moment: datetime) -> int:
    return int(site.day_shift(moment).total_seconds())


def _changes(site: Site, low: datetime, high: datetime) -> list[tuple[datetime, int]]:
    """Moments (UTC) between low and high at which the offset changes, with the offset before."""
    changes = []
    at = low
    while at < high:
        after = min(at + _STEP, high)
        if _offset_s(site, at) != _offset_s(site, after):
            left, right = at, after
            while right - left > timedelta(seconds=1):
                middle = (left + (right - left) / 2).replace(microsecond=0)
                left, right = (middle, right) if _offset_s(site, middle) == _offset_s(site, at) else (left, middle)
            changes.append((right, _offset_s(site, at)))
        at = after
    return changes


def production_day_sql(site: Site, low: datetime, high: datetime, column: str = "event_at") -> str:
    """Expression of the local production day of a UTC timestamp column: local date of (time - start of the day).

    A zone's offset is constant between its few changes, so the expression compares with those instead of
    asking for the zone row by row (measured: fourteen times faster).

    Args:
        site: time zone and start of the day.
        low: smallest value of the column (UTC).
        high: largest value of the column (UTC).
        column: name of the column.

    Returns:
        SQL of type DATE; right for values in [low, high].
    """
    low, high = low.replace(microsecond=0), high.replace(microsecond=0) + timedelta(seconds=1)
    name = quote_identifier(column)
    arms = "".join(
        f"WHEN {name} < TIMESTAMP '{at:%Y-%m-%d %H:%M:%S}' THEN {_shifted(name, offset)} "
        for at, offset in _changes(site, low, high)
    )
    last = _shifted(name, _offset_s(site, high))
    return f"CASE {arms}ELSE {last} END" if arms else last


def _shifted(name: str, offset_s: int) -> str:
    return f"CAST({name} + INTERVAL ({offset_s}) SECOND AS DATE)"


def single_day(site: Site, low: datetime, high: datetime) -> date | None:
    """The production day of all moments (UTC) from low to high when they have but one, else None."""
    if _changes(site, low.replace(microsecond=0), high.replace(microsecond=0) + timedelta(seconds=1)):
        return None
    first, last = ((each + timedelta(seconds=_offset_s(site, each))).date() for each in (low, high))
    return first if first == last else None
