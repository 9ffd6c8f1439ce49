"""Probabilities that mean what they say: fitted on out-of-fold predictions, kept as JSON."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression, minimize, minimize_scalar

from models.scoring.runtime import Array, calibrate, logit
from models.spec import Task

_ISOTONIC_EVENTS = 300
_MAX_POINTS = 200
BINS = 10


def _platt(raw: Array, y: Array) -> dict[str, Any]:
    """Slope and intercept on the log-odds by maximum likelihood, with Platt's smoothed targets."""
    events, others = float((y == 1).sum()), float((y == 0).sum())
    target = np.where(y == 1, (events + 1) / (events + 2), 1 / (others + 2))
    z = logit(raw)

    def objective(theta: Array) -> tuple[float, Array]:
        margin = theta[0] * z + theta[1]
        p = 1 / (1 + np.exp(-margin))
        value = float(np.mean(np.logaddexp(0, margin) - target * margin))
        return value, np.asarray([np.mean((p - target) * z), np.mean(p - target)])

    found = minimize(objective, np.asarray([1.0, 0.0]), jac=True, method="BFGS")
    return {"kind": "platt", "slope": max(float(found.x[0]), 1e-3), "intercept": float(found.x[1])}


def _isotonic(raw: Array, y: Array) -> dict[str, Any]:
    """Pool-adjacent-violators, joined through the middle of each block so that ranks are kept."""
    order = np.argsort(raw, kind="stable")
    fitted = isotonic_regression(y[order])
    edges = np.asarray(fitted.blocks)
    middles = np.asarray([raw[order][a:b].mean() for a, b in pairwise(edges)])
    sizes = np.diff(edges)
    levels = fitted.x[edges[:-1]]
    # One event more or less in each block: no block of pure events may claim certainty.
    levels = np.clip((levels * sizes + 0.5 * y.mean()) / (sizes + 0.5), 1e-6, 1 - 1e-6)
    levels = np.maximum.accumulate(levels)
    middles, places = np.unique(middles, return_index=True)
    levels = levels[places]
    if len(middles) > _MAX_POINTS:
        keep = np.unique(np.linspace(0, len(middles) - 1, _MAX_POINTS).astype(int))
        middles, levels = middles[keep], levels[keep]
    return {"kind": "isotonic", "x": middles.tolist(), "y": levels.tolist()}


def _temperature(raw: Array, y: Array) -> dict[str, Any]:
    """One temperature for all classes by maximum likelihood."""
    rows = np.arange(len(y))

    def objective(log_temperature: float) -> float:
        p = calibrate(raw, {"kind": "temperature", "temperature": float(np.exp(log_temperature))})
        return float(-np.mean(np.log(np.clip(p[rows, y.astype(int)], 1e-12, 1))))

    found = minimize_scalar(objective, bounds=(-2.0, 2.0), method="bounded")
    return {"kind": "temperature", "temperature": float(np.exp(found.x))}


def fit_calibration(task: Task, raw: Array, y: Array) -> dict[str, Any]:
    """Learn the calibration on out-of-fold predictions.

    Args:
        task: kind of target.
        raw: uncalibrated probabilities (n,) or (n, classes), none missing.
        y: class numbers.

    Returns:
        What `models.scoring.runtime.calibrate` reads; `none` for numbers.
    """
    if task == "multiclass":
        return _temperature(raw, y)
    if task != "binary":
        return {"kind": "none"}
    events = min(float((y == 1).sum()), float((y == 0).sum()))
    if events < 5:
        return {"kind": "none"}
    return _isotonic(raw, y) if events >= _ISOTONIC_EVENTS else _platt(raw, y)


def _bins(p: Array) -> Array:
    """Ten bins of equal count, by rank."""
    rank = np.empty(len(p), dtype=np.int64)
    rank[np.argsort(p, kind="stable")] = np.arange(len(p))
    return np.asarray(rank * BINS // max(len(p), 1))


def calibration_error(p: Array, y: Array) -> float:
    """Expected calibration error over ten bins of equal count, in [0, 1]."""
    bins = _bins(p)
    return float(np.abs(np.bincount(bins, weights=p - y)).sum() / len(p))


def calibration_noise(p: Array, seed: int = 0, draws: int = 200) -> float:
    """The error's 95 % quantile if these probabilities were exactly right: what chance alone gives."""
    bins = _bins(p)
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(draws):
        y = rng.random(len(p)) < p
        out.append(np.abs(np.bincount(bins, weights=p - y)).sum() / len(p))
    return float(np.quantile(out, 0.95))


def reliability(p: Array, y: Array) -> tuple[Array, Array, Array]:
    """Mean probability, event share and count of each bin."""
    bins = _bins(p)
    count = np.bincount(bins, minlength=BINS).astype(float)
    used = count > 0
    mean = np.bincount(bins, weights=p, minlength=BINS)[used] / count[used]
    share = np.bincount(bins, weights=y, minlength=BINS)[used] / count[used]
    return mean, share, count[used]
