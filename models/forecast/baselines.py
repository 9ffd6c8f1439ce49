"""What one would forecast without a model: the season before, exponential smoothing; as wide as their own errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from models.forecast.panel import Panel
from models.forecast.runtime import AHEAD, SPREAD, Array
from models.forecast.spec import ForecastSpec
from models.forecast.windows import NAIVE, Windows

SEASONAL_NAIVE, ETS = "seasonal_naive", "ets"
_MEMORY_SEASONS = 14  # that exponential smoothing looks back on: older ones weigh nothing
_MOST_SERIES = 40
_LEAST_SEASONS = 2


def seasonal_naive(spec: ForecastSpec, past: Windows, rows: Windows) -> Array:
    """The newest known value of the same step of a season, with the quantiles of its own errors before.

    Args:
        spec: the quantiles.
        past: development rows, whose errors are known.
        rows: rows to forecast.

    Returns:
        (rows, quantiles).
    """
    return _with_errors(spec, (past, past.number(NAIVE)), (rows, rows.number(NAIVE)))


def exponential_smoothing(spec: ForecastSpec, panel: Panel, cut: int, past: Windows, rows: Windows) -> Array | None:
    """Additive exponential smoothing (ETS: error, season, no trend) of each series, with the quantiles of its errors.

    Its smoothing parameters are fitted to what was known at the cut; at each origin it then sees what was known there.

    Args:
        spec: the quantiles, season.
        panel: series.
        cut: first step of the hold-out.
        past: development rows; the errors of the latest of them, as many as there are rows, are the width.
        rows: rows to forecast.

    Returns:
        (rows, quantiles); None for too short or too many series.
    """
    if len(panel.names) > _MOST_SERIES or cut < _LEAST_SEASONS * spec.season + 2:
        return None
    late = past.take(np.isin(past.origin, np.unique(past.origin)[-len(np.unique(rows.origin)) :]))
    points = [np.full(len(part), np.nan) for part in (late, rows)]
    for series in range(len(panel.names)):
        ahead_of = _smoother(spec, panel, series, cut)
        for part, out in zip((late, rows), points, strict=True):
            mine = np.flatnonzero(part.series == series)
            for origin in np.unique(part.origin[mine]):
                index = mine[part.origin[mine] == origin]
                out[index] = ahead_of(int(origin))[part.target[index] - origin]
    # Where too little was known to smooth, the season before stands in.
    filled = [
        np.where(np.isfinite(out), out, part.number(NAIVE)) for part, out in zip((late, rows), points, strict=True)
    ]
    return _with_errors(spec, (late, filled[0]), (rows, filled[1]))


def _smoother(spec: ForecastSpec, panel: Panel, series: int, cut: int) -> Callable[[int], Array]:
    """A function from an origin to the forecasts of all steps ahead of it, NaN where too little is known."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel  # type: ignore[import-untyped] # the library has no types

    values, known_s = panel.numbers[spec.target][series], panel.known_s[series]
    least = _LEAST_SEASONS * spec.season + 2

    def model(origin: int) -> tuple[Any, int]:
        seen = np.where(known_s[:origin] <= panel.begin_s[origin], values[:origin], np.nan)
        seen = seen[max(0, origin - _MEMORY_SEASONS * spec.season - 1) :]
        there = np.flatnonzero(np.isfinite(seen))
        if len(there) < least:
            return None, 0
        late = len(seen) - 1 - int(there[-1])
        whole = np.interp(np.arange(there[0], there[-1] + 1), there, seen[there])
        seasonal = "add" if spec.season > 1 else None
        made = ETSModel(
            whole, error="add", seasonal=seasonal, seasonal_periods=spec.season if seasonal else None,
            initialization_method="heuristic",
        )  # fmt: skip
        return made, late

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that ends early is judged by its errors like any other
        first, _ = model(cut)
        params = None if first is None else first.fit(disp=False).params

    def ahead_of(origin: int) -> Array:
        made, late = model(origin) if params is not None else (None, 0)
        if made is None:
            return np.full(spec.horizon, np.nan)
        return np.asarray(made.smooth(params).forecast(spec.horizon + late))[late:]

    return ahead_of


def _with_errors(spec: ForecastSpec, past: tuple[Windows, Array], rows: tuple[Windows, Array]) -> Array:
    """Point forecasts moved by the quantiles of past errors, in spreads, for each step ahead."""
    (before, known), (now, point) = past, rows
    error = (before.y - known) / before.number(SPREAD)
    ahead, wanted = before.number(AHEAD).astype(int), now.number(AHEAD).astype(int)
    moved = np.tile(np.quantile(error, spec.quantiles), (spec.horizon + 1, 1))
    for step in np.unique(ahead):
        moved[step] = np.quantile(error[ahead == step], spec.quantiles)
    return np.asarray(point[:, None] + now.number(SPREAD)[:, None] * moved[wanted])
