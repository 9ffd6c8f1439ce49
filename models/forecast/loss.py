"""How good quantiles are: pinball loss and its sum over all of them, weighted by the size of what is forecast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.evaluation.bootstrap import Interval, metric_interval
from models.forecast.runtime import Array


def pinball(y: Array, predicted: Array, levels: Array) -> Array:
    """Quantile loss: `level` for each unit below the truth, `1 - level` for each above it.

    Args:
        y: (rows,) truth.
        predicted: (rows, levels).
        levels: (levels,) in (0, 1).

    Returns:
        (rows, levels), 0 or more, in the unit of `y`.
    """
    error = y[:, None] - predicted
    return np.asarray(np.maximum(levels * error, (levels - 1) * error))


def row_loss(y: Array, predicted: Array, levels: Array) -> Array:
    """Each row's part of the weighted quantile loss: over all rows their mean is the loss itself."""
    return np.asarray(2 * pinball(y, predicted, levels).mean(axis=1) / max(float(np.abs(y).mean()), 1e-12))


def weighted_quantile_loss(y: Array, predicted: Array, levels: Array) -> Callable[[Array], float]:
    """Twice the sum of pinball losses over the sum of absolute values, mean over levels, by weight of row.

    The measure of the M5 and GluonTS: 0 is perfect; of a single middle quantile it is MAE over the mean.
    """
    loss, size = 2 * pinball(y, predicted, levels).mean(axis=1), np.abs(y)
    return lambda w: float(loss @ w / max(size @ w, 1e-12))


def figures(y: Array, predicted: Array, levels: Array, blocks: Array, seed: int) -> dict[str, Interval]:
    """Weighted quantile loss, coverage of low to high, width over the mean, error of the middle; by blocks.

    Args:
        y: truth.
        predicted: (rows, 3) low, middle, high.
        levels: of the quantiles.
        blocks: number of the block of each row; blocks are resampled whole.
        seed: of the resampling.
    """
    inside = ((y >= predicted[:, 0]) & (y <= predicted[:, 2])).astype(float)
    width, error, size = predicted[:, 2] - predicted[:, 0], np.abs(y - predicted[:, 1]), np.abs(y)
    metrics: dict[str, Callable[[Array], float]] = {
        "wql": weighted_quantile_loss(y, predicted, levels),
        "coverage": lambda w: float(inside @ w / w.sum()),
        "wape": lambda w: float(error @ w / max(size @ w, 1e-12)),
        "interval_width_ratio": lambda w: float(width @ w / max(size @ w, 1e-12)),
    }
    return {name: metric_interval(metric, blocks, seed) for name, metric in metrics.items()}
