"""Intervals by resampling whole groups: rows of one lot are no independent evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from models.scoring.runtime import Array

MAX_GROUPS = 1000
_RESAMPLES = 2000
_METRIC_RESAMPLES = 200


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval and the number of groups behind it."""

    value: float
    low: float
    high: float
    groups: int


@dataclass(frozen=True)
class PairedMean:
    """Mean of paired differences with its cluster-robust standard error.

    Attributes:
        mean: Mean difference over rows.
        error: Standard error over groups.
        interval: Two-sided 95 % bootstrap-t interval.
        groups: Groups.
        reference: Mean of the reference loss, to speak in shares.
    """

    mean: float
    error: float
    interval: tuple[float, float]
    groups: int
    reference: float

    def lower_bound(self, alpha: float) -> float:
        """One-sided lower bound at level 1 - alpha, Student's t with one degree of freedom less than groups."""
        return self.mean - float(stats.t.ppf(1 - alpha, max(1, self.groups - 1))) * self.error

    def upper_bound(self, alpha: float) -> float:
        """One-sided upper bound at level 1 - alpha."""
        return 2 * self.mean - self.lower_bound(alpha)


def compact(groups: Array, seed: int = 0) -> Array:
    """Group numbers from 0; beyond `MAX_GROUPS` groups are thrown together at random, which keeps the variance."""
    _, codes = np.unique(groups, return_inverse=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    if count <= MAX_GROUPS:
        return np.asarray(codes)
    return np.asarray(np.random.default_rng(seed).permutation(count)[codes] % MAX_GROUPS)


def _weights(count: int, resamples: int, seed: int) -> Array:
    """How often each group is drawn in each resample: (resamples, groups)."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.multinomial(count, np.full(count, 1 / count), size=resamples), dtype=np.float64)


def paired_mean(loss: Array, reference: Array, groups: Array, seed: int = 0) -> PairedMean:
    """How much smaller `loss` is than `reference`, row by row: positive means better.

    Args:
        loss: loss per row.
        reference: loss per row of what it is compared with.
        groups: group number per row.
        seed: of the resampling.

    Returns:
        Mean of `reference - loss` with a bootstrap-t interval: each resample's mean is measured in its own
        standard error, which holds the level with few and unequal groups better than percentiles.
    """
    codes = compact(groups, seed)
    gain = (reference - loss).astype(np.float64)
    size = np.bincount(codes).astype(np.float64)
    total = np.bincount(codes, weights=gain)
    count = len(size)
    mean = float(total.sum() / size.sum())
    if count < 2:
        return PairedMean(mean, float("inf"), (float("-inf"), float("inf")), count, float(np.mean(reference)))
    factor = count / (count - 1)
    error = float(np.sqrt(factor * np.sum((total - mean * size) ** 2)) / size.sum())
    if error == 0.0:
        return PairedMean(mean, 0.0, (mean, mean), count, float(np.mean(reference)))
    weights = _weights(count, _RESAMPLES, seed)
    rows = weights @ size
    means = (weights @ total) / rows
    squares = weights @ total**2 - 2 * means * (weights @ (total * size)) + means**2 * (weights @ size**2)
    errors = np.sqrt(np.maximum(factor * squares, 0.0)) / rows
    usable = errors > 1e-3 * error
    pivots = (means[usable] - mean) / errors[usable]
    low_pivot, high_pivot = np.quantile(pivots, [0.025, 0.975]) if usable.sum() > 100 else (-12.7, 12.7)
    interval = (mean - float(high_pivot) * error, mean - float(low_pivot) * error)
    return PairedMean(mean, error, interval, count, float(np.mean(reference)))


def metric_interval(metric: Callable[[Array], float], groups: Array, seed: int = 0) -> Interval:
    """A metric with its 95 % percentile interval over resampled groups.

    Args:
        metric: weight per row to figure; all ones gives the figure itself.
        groups: group number per row.
        seed: of the resampling.
    """
    codes = compact(groups, seed)
    count = int(codes.max()) + 1
    value = metric(np.ones(len(codes)))
    if count < 2:
        return Interval(value, float("nan"), float("nan"), count)
    draws = np.asarray([metric(row[codes]) for row in _weights(count, _METRIC_RESAMPLES, seed)])
    draws = draws[np.isfinite(draws)]
    if len(draws) < _METRIC_RESAMPLES // 2:
        return Interval(value, float("nan"), float("nan"), count)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high), count)
