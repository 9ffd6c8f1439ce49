"""Rows of a forecast: a series, the moment of the forecast, a step ahead; and what was known of them at that moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.forecast.panel import Panel
from models.forecast.runtime import AHEAD, SERIES, SPREAD, Array
from models.forecast.spec import ForecastSpec

_SEASONS, _STEPS = 8, 28  # what is looked back on: so many seasons, or more of them where seasons are short
_FOUR_FIFTHS = 2 * 1.2816  # standard deviations that the middle four fifths of a normal distribution span
_DAY_S, _HOUR_S = 86_400.0, 3600.0
LEVEL, PHASE_MEAN, NAIVE = "level", "phase_mean", "naive"
_SHARED = ("last", "recent_mean", "season_before", "season_mean")
BASES = (LEVEL, PHASE_MEAN)
"""What a value can be counted from: the mean of the last two seasons, or that of the same step of every season."""


@dataclass(frozen=True)
class Windows:
    """Rows, in the order of origins, series and steps ahead.

    Attributes:
        table: what was known at the origin, by name; also `level`, `phase_mean`, `naive` and `spread`.
        series: (rows,) number of the series.
        origin: (rows,) step that begins at the moment of the forecast.
        target: (rows,) step that is forecast.
        y: (rows,) what it was, in the target's unit; NaN where that is not known.
        known_s: (rows,) when that became known; infinity where it is not.
    """

    table: pa.Table
    series: Array
    origin: Array
    target: Array
    y: Array
    known_s: Array

    def __len__(self) -> int:
        """Rows."""
        return len(self.y)

    def take(self, rows: Array) -> Windows:
        """Some of the rows, by a mask or by numbers."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        parts = (self.series, self.origin, self.target, self.y, self.known_s)
        return Windows(self.table.take(pa.array(index)), *(part[index] for part in parts))

    def number(self, name: str) -> Array:
        """A column of the table as float64."""
        return np.asarray(self.table.column(name).to_numpy(), dtype=np.float64)


def look_back(spec: ForecastSpec) -> int:
    """Steps before the origin that a forecast sees; whole seasons."""
    return max(_SEASONS, -(-_STEPS // spec.season)) * spec.season


def windows_at(spec: ForecastSpec, panel: Panel, origins: Array) -> Windows:
    """Every series' rows at some origins, with nothing in them that became known later.

    Args:
        spec: the solution.
        panel: series.
        origins: steps that begin at the moment of the forecast, in [1, steps].

    Returns:
        Rows of the series that have a known value before the origin.
    """
    n_series, horizon = len(panel.names), spec.horizon
    past = _Past(spec, panel, origins)
    own = past.of(panel.numbers[spec.target])
    shape = (len(origins), n_series, horizon)
    phase = np.arange(horizon) % spec.season
    target = origins[:, None, None] + np.arange(horizon)[None, None, :]
    columns = _of_target(own, phase, shape)
    for name in panel.further:
        columns |= {f"{name}_{what}": each for what, each in past.of(panel.numbers[name]).told(phase, shape).items()}
    origin_s = panel.begin_s[origins]
    for name in spec.given:
        columns |= _of_given(name, panel.numbers[name], past, target, shape)
    if n_series > 1:
        columns |= {f"common_{name}": _over_series(columns[name]) for name in _SHARED}
    columns |= _of_ahead(panel, target, origin_s, shape)
    columns |= _of_calendar(spec, panel, target, shape)
    columns[AHEAD] = np.broadcast_to(np.arange(1, horizon + 1, dtype=np.float64), shape)
    series = np.broadcast_to(np.arange(n_series)[None, :, None], shape).ravel()
    flat = {name: each.ravel() for name, each in columns.items()}
    where = np.broadcast_to(target, shape).ravel()
    inside = where < panel.steps
    y, known_s = np.full(len(where), np.nan), np.full(len(where), np.inf)
    y[inside] = panel.numbers[spec.target][series[inside], where[inside]]
    known_s[inside] = panel.known_s[series[inside], where[inside]]
    table = pa.table({SERIES: pa.array(panel.names[series].tolist(), pa.string()), **flat})
    rows = Windows(table, series, np.broadcast_to(origins[:, None, None], shape).ravel(), where, y, known_s)
    return rows.take(np.isfinite(flat[LEVEL]))


class _Past:
    """What was known of a column before each origin: the way from the grid to windows.

    Args:
        spec: the solution.
        panel: series.
        origins: see `windows_at`.
    """

    def __init__(self, spec: ForecastSpec, panel: Panel, origins: Array) -> None:
        self._season = spec.season
        self._step = origins[:, None] + np.arange(-look_back(spec), 0)[None, :]
        there = self._step >= 0
        self._step = np.maximum(self._step, 0)
        known_s = panel.known_s[:, self._step]
        self._seen = there[None] & (known_s <= panel.begin_s[origins][None, :, None])

    def of(self, values: Array) -> _Seen:
        """Windows of a column (series, steps)."""
        window = np.where(self._seen, values[:, self._step], np.nan)
        return _Seen(np.moveaxis(window, 0, 1), self._season)


class _Seen:
    """Windows (origins, series, steps back) of one column, what was not known as NaN."""

    def __init__(self, window: Array, season: int) -> None:
        self.window = window
        self.season = season
        *outer, width = window.shape
        self._phases = window.reshape(*outer, width // season, season)

    def mean(self, steps: int) -> Array:
        """Mean of the last steps."""
        return _mean(self.window[..., -steps:])

    def spread(self) -> Array:
        """Standard deviation as the middle four fifths of the window tell it, so that no outage makes the rest narrow.

        At least a thousandth of the level.
        """
        ordered = np.sort(self.window, axis=-1)  # what is missing comes last
        count = np.isfinite(ordered).sum(axis=-1, keepdims=True)
        low, high = (
            np.take_along_axis(ordered, np.maximum(np.round(part * (count - 1)), 0).astype(int), axis=-1)[..., 0]
            for part in (0.1, 0.9)
        )
        least = np.maximum(1e-3 * np.abs(np.nan_to_num(_mean(self.window))), 1e-9)
        return np.asarray(np.maximum(np.nan_to_num((high - low) / _FOUR_FIFTHS), least))

    def last(self) -> tuple[Array, Array]:
        """The newest known value, and how many steps ago its step began."""
        return _newest(self.window)

    def phase(self, phase: Array, skip: int = 0) -> Array:
        """The newest known value of the same step of a season (origins, series, phases); `skip` seasons are passed."""
        seasons = np.moveaxis(self._phases, -2, -1)[..., phase, :]
        return _newest(seasons[..., : seasons.shape[-1] - skip])[0]

    def phase_mean(self, phase: Array) -> Array:
        """Mean of the same step over the seasons."""
        return _mean(np.moveaxis(self._phases, -2, -1)[..., phase, :])

    def told(self, phase: Array, shape: tuple[int, ...]) -> dict[str, Array]:
        """What a column of which only the past is known tells: newest value, mean of a season, the same step before."""
        last, _ = self.last()
        whole = {"last": last, "season_mean": self.mean(self.season)}
        wide = {name: np.broadcast_to(each[..., None], shape) for name, each in whole.items()}
        return wide | {"season_before": np.broadcast_to(self.phase(phase), shape)}


def _mean(values: Array) -> Array:
    """Mean over the last axis without what is missing; NaN of nothing."""
    there = np.isfinite(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, 0.0).sum(axis=-1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _newest(values: Array) -> tuple[Array, Array]:
    """Last value over the last axis that is not missing, and its distance from the end, from 1; NaN of nothing."""
    back = np.argmax(np.isfinite(values)[..., ::-1], axis=-1)
    found = np.take_along_axis(values, values.shape[-1] - 1 - back[..., None], axis=-1)[..., 0]
    return found, np.where(np.isfinite(found), back + 1.0, np.nan)


def _over_series(values: Array) -> Array:
    """Mean over all series of one origin: what moves them together shows more clearly than in each of them."""
    common: Array = np.broadcast_to(_mean(np.moveaxis(values, 1, -1))[:, None], values.shape)
    return common


def _of_target(own: _Seen, phase: Array, shape: tuple[int, ...]) -> dict[str, Array]:
    """The target's own past: bases and spread in its unit, features as spreads from the level."""
    level = own.mean(2 * own.season)
    level = np.where(np.isfinite(level), level, own.mean(own.window.shape[-1]))
    spread = own.spread()
    last, age = own.last()
    recent = own.mean(max(2, own.season // 4))

    def off(values: Array) -> Array:
        wide = values if values.ndim == 3 else values[..., None]
        return np.broadcast_to((wide - level[..., None]) / spread[..., None], shape)

    phase_mean = own.phase_mean(phase)
    phase_mean = np.where(np.isfinite(phase_mean), phase_mean, level[..., None])
    naive = own.phase(phase)
    naive = np.where(np.isfinite(naive), naive, level[..., None])
    return {
        LEVEL: np.broadcast_to(level[..., None], shape),
        SPREAD: np.broadcast_to(spread[..., None], shape),
        PHASE_MEAN: np.broadcast_to(phase_mean, shape),
        NAIVE: np.broadcast_to(naive, shape),
        "last": off(last),
        "last_age_steps": np.broadcast_to(age[..., None], shape),
        "recent_mean": off(recent),
        "season_before": off(naive),
        "two_seasons_before": off(own.phase(phase, skip=1)),
        "season_mean": off(phase_mean),
        "relative_spread": np.broadcast_to((spread / np.maximum(np.abs(level), 1e-9))[..., None], shape),
    }


def _of_given(name: str, values: Array, past: _Past, target: Array, shape: tuple[int, ...]) -> dict[str, Array]:
    """What is given of the step itself: its value, and how far that is from what it was before the origin."""
    inside = np.minimum(target, values.shape[1] - 1)
    own = np.where(target < values.shape[1], values[np.arange(shape[1])[None, :, None], inside], np.nan)
    before = past.of(values)
    level, phase_mean = before.mean(2 * before.season), before.phase_mean((np.arange(shape[2])) % before.season)
    return {name: own, f"{name}_off_level": own - level[..., None], f"{name}_off_phase": own - phase_mean}


def _of_ahead(panel: Panel, target: Array, origin_s: Array, shape: tuple[int, ...]) -> dict[str, Array]:
    """What was told of the step before the origin; told later, it is missing."""
    if not panel.ahead:
        return {}
    series = np.arange(shape[1])[None, :, None]
    told = panel.ahead_known_s[series, target] <= origin_s[:, None, None]
    return {name: np.where(told, values[series, target], np.nan) for name, values in panel.ahead.items()}


def _of_calendar(spec: ForecastSpec, panel: Panel, target: Array, shape: tuple[int, ...]) -> dict[str, Array]:
    """Hour of the day and day of the week of the step that is forecast, by its label."""
    label_s = panel.label_s(target)
    out = {"weekday": np.floor(label_s / _DAY_S + 3) % 7}  # 1970 began on a Thursday
    if spec.step_s < _DAY_S:
        out["hour"] = (label_s % _DAY_S) / _HOUR_S
    return {name: np.broadcast_to(each, shape) for name, each in out.items()}


def feature_names(windows: Windows) -> list[str]:
    """Columns that are learnt from: all but the series, and the bases and the spread, which have the target's unit."""
    left = {SERIES, LEVEL, PHASE_MEAN, NAIVE, SPREAD}
    return [name for name in windows.table.column_names if name not in left]
