"""What each entity's numbers are expected to be, and by how much they may be off, learnt from its own past.

Every watched number is looked at over windows of several lengths. The shortest is the row itself, which shows a jump
at once; the longer ones show what creeps or stays, as the sum of a moving window does in a MOSUM chart (Bauer and
Hackl 1978). A window's mean is compared with a forecast from the time before the window, so that a level that is left
for good stands off for as long as the window lasts and is then the new level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from models.anomaly_detector.limits import block_maxima, chance_of_block, level
from models.anomaly_detector.runtime import FORMAT, TIME, Array, Past, by_entity, numbers

_FOLDS = 5
_RIDGE = 1.0  # of standardised predictors: as little as keeps windows that move together from cancelling each other
_LEAST_WINDOWS = 10  # a window is judged once the past holds its length this often
_LEAST_ROWS = 50
_HELD = 0.005  # share of each end to which predictors are held and targets are cut while learning
_MOST_ROWS = 5_000  # rows a forecast learns from, evenly taken: neighbours of a long window all but repeat each other


def learn_series(
    table: pa.Table, columns: Sequence[str], windows_h: Sequence[float], *, per_week: float, hold_off_s: float
) -> tuple[dict[str, Any], Array]:
    """Forecasts, scales and limits of each entity, and the limit that all together keep the budget with.

    Each window gets the limit that it alone would spend the whole budget with; scores over it are thus comparable, and
    the largest is the row's. One more factor for all then brings the alarms of all to the budget. Errors are those of
    forecasts that had not learnt from the block they are made for, so that they are as large as those to come.

    Args:
        table: `entity`, `time_s` and the numbers.
        columns: names of the numbers.
        windows_h: lengths of the windows in hours, beside the row itself.
        per_week: alarms a week, over all entities.
        hold_off_s: seconds.

    Returns:
        The bundle, and the largest score over its limit of each row, by which the factor was set; NaN where unknown.
    """
    time_s, values = numbers(table, [TIME])[:, 0], numbers(table, list(columns))
    followed = by_entity(table)
    step_s = _step(time_s, followed)
    parts = [_part(name, length) for name in columns for length in _lengths(windows_h, step_s)]
    score, code = np.full(len(time_s), np.nan), np.zeros(len(time_s), dtype=np.int64)
    entities: dict[str, list[dict[str, Any] | None]] = {}
    for number, (entity, rows) in enumerate(followed):
        code[rows] = number
        pasts = {name: Past(time_s[rows], values[rows, place], step_s) for place, name in enumerate(columns)}
        entities[entity] = fits = []
        for part in parts:
            fit, errors = _fit(pasts[part["variable"]], part["length_s"], (per_week, hold_off_s))
            fits.append(fit)
            if fit is not None:
                score[rows] = np.fmax(score[rows], errors / fit["limit"])
    maxima = block_maxima(score, time_s, code, hold_off_s)
    limit = level(maxima, chance_of_block(per_week, len(maxima), _span(time_s)))
    bundle = {"format": FORMAT, "kind": "series", "step_s": step_s, "parts": parts, "entities": entities}
    return {**bundle, "limit": limit}, score / limit


def _span(time_s: Array) -> float:
    return float(np.ptp(time_s)) if len(time_s) else 0.0


def _step(time_s: Array, followed: list[tuple[str, Array]]) -> float:
    """Seconds from one row of an entity to its next, the median of all."""
    steps = np.concatenate([np.diff(time_s[rows]) for _, rows in followed]) if followed else np.zeros(0)
    rising = steps[steps > 0]
    return float(np.median(rising)) if len(rising) else 1.0


def _lengths(windows_h: Sequence[float], step_s: float) -> list[float]:
    """Lengths in seconds; a window of a single row is the row itself, 0."""
    return [0.0, *(hours * 3600 for hours in windows_h if hours * 3600 > 1.5 * step_s)]


def _part(variable: str, length_s: float) -> dict[str, Any]:
    name = f"{variable} over {length_s / 3600:g} h" if length_s else variable
    return {"name": name, "variable": variable, "length_s": length_s}


def _fit(past: Past, length_s: float, budget: tuple[float, float]) -> tuple[dict[str, Any] | None, Array]:
    """A window's forecast with its own limit, and its errors (rows,); None where the past is too short to tell."""
    now, predictors = past.window(length_s)
    known = np.isfinite(now) & np.isfinite(predictors[:, 0])
    errors = np.full(len(now), np.nan)
    if known.sum() < _LEAST_ROWS or _span(past.time_s[known]) < _LEAST_WINDOWS * length_s:
        return None, errors
    fit, forecast = _forecast(predictors[known], now[known])
    errors[known] = np.abs(now[known] - forecast)
    per_week, hold_off_s = budget
    maxima = block_maxima(errors, past.time_s, np.zeros(len(errors), dtype=np.int64), hold_off_s)
    fit["limit"] = level(maxima, chance_of_block(per_week, len(maxima), _span(past.time_s)))
    return (fit, errors) if 0 < fit["limit"] < np.inf else (None, errors)


def _forecast(predictors: Array, now: Array) -> tuple[dict[str, Any], Array]:
    """A ridge regression held against outliers, and for each row the forecast of one that had not seen its block."""
    from sklearn.model_selection import KFold

    low, high = np.quantile(predictors, [_HELD, 1 - _HELD], axis=0)
    held = np.clip(predictors, low, high)
    centre, scale = held.mean(axis=0), held.std(axis=0)
    scale[scale == 0] = 1.0
    x, y = (held - centre) / scale, np.clip(now, *np.quantile(now, [_HELD, 1 - _HELD]))
    taken = np.zeros(len(y), dtype=bool)
    taken[:: max(1, len(y) // _MOST_ROWS)] = True
    forecast = np.empty(len(y))
    for others, block in KFold(_FOLDS).split(x):
        learnt = others[taken[others]]
        coefficients, intercept = _ridge(x[learnt], y[learnt])
        forecast[block] = x[block] @ coefficients + intercept
    coefficients, intercept = _ridge(x[taken], y[taken])
    held_by = {"low": low, "high": high, "centre": centre, "scale": scale, "coefficients": coefficients}
    return {name: each.tolist() for name, each in held_by.items()} | {"intercept": intercept}, forecast


def _ridge(x: Array, y: Array) -> tuple[Array, float]:
    """Coefficients and intercept; scikit-learn's solver without its checks, which cost as much as the solving."""
    from sklearn.linear_model import ridge_regression

    centre, mean = x.mean(axis=0), float(y.mean())
    coefficients = ridge_regression(x - centre, y - mean, _RIDGE, solver="cholesky", check_input=False)
    return np.asarray(coefficients), float(mean - centre @ coefficients)
