"""Plant time: seconds since the start of production day 0, and the site's calendar around it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from pipelines.twin.parameters import Parameters
from pipelines.twin.rng import DAY_OFFSET, hash_normal, salt
from pipelines.twin.table import Array, Floats

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True)
class Clock:
    """Calendar of a site. A production day is 24 h, but 23 or 25 where the clocks change.

    Attributes:
        zone: time zone of the site.
        day_starts_at: local time at which a production day begins.
        start_day: production day 0.
    """

    zone: ZoneInfo
    day_starts_at: time
    start_day: date

    def date_of(self, day: int) -> date:
        """Local date of a production day, counted from day 0."""
        return self.start_day + timedelta(days=day)

    def starts_at(self, day: int) -> datetime:
        """Start of a production day, UTC without zone."""
        local = datetime.combine(self.date_of(day), self.day_starts_at, tzinfo=self.zone)
        return local.astimezone(UTC).replace(tzinfo=None)

    @property
    def origin(self) -> np.datetime64:
        """Plant time 0 in UTC."""
        return np.datetime64(self.starts_at(0), "us")

    def bounds(self, day: int) -> tuple[float, float]:
        """Start and end of a production day in plant seconds."""
        origin = self.starts_at(0)
        start, end = self.starts_at(day) - origin, self.starts_at(day + 1) - origin
        return start.total_seconds(), end.total_seconds()

    def utc(self, seconds: Array) -> NDArray[np.datetime64]:
        """Plant seconds as UTC, rounded to the millisecond."""
        millis = np.round(np.asarray(seconds, dtype=np.float64) * 1000).astype(np.int64)
        return self.origin + (millis * 1000).astype("timedelta64[us]")

    def seconds_at(self, day: date, at: time | None) -> float:
        """Plant seconds of a local time within a production day; its beginning without a time."""
        at = at or self.day_starts_at
        local = datetime.combine(day, at, tzinfo=self.zone)
        if at < self.day_starts_at:
            local += timedelta(days=1)
        return (local.astimezone(UTC).replace(tzinfo=None) - self.starts_at(0)).total_seconds()

    def local_hour(self, seconds: Floats) -> Floats:
        """Hour of the local day, 0 to 24, taking the offset at each day's start."""
        offset = self.day_starts_at.hour + self.day_starts_at.minute / 60
        hours: Floats = (np.asarray(seconds) / HOUR + offset) % 24
        return hours

    def day_of_year(self, day: int) -> int:
        """1 to 366."""
        return self.date_of(day).timetuple().tm_yday


@dataclass(frozen=True)
class Season:
    """Weather of a day as a whole: mean temperature and dew point outside, in Celsius."""

    temp_c: float
    dew_point_c: float


def season(seed: int, clock: Clock, day: int, p: Parameters) -> Season:
    """The season of the year and the day's own mood; the mean dew point follows from the mean humidity."""
    of_year = float(np.sin(2 * np.pi * (clock.day_of_year(day) - 105) / 365))
    usual_c = p("weather.temp_mean_c") + p("weather.temp_swing_c") * of_year
    mood_c = p("weather.day_sd_c") * float(hash_normal(salt(seed, "weather"), day + DAY_OFFSET))
    humidity_pct = p("weather.humidity_mean_pct") - p("weather.humidity_pct_per_c") * mood_c
    return Season(usual_c + mood_c, usual_c + mood_c - (100 - humidity_pct) / p("weather.humidity_pct_per_dew_c"))
