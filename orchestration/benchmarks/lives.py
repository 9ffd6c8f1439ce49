"""Figures of lives, as those who publish on them count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_RESAMPLES = 2000


def life_metrics(y: Array, predicted: Array) -> dict[str, tuple[float, float, float]]:
    """RMSE against lives that are not capped, and NASA's score, with 95 % bootstrap intervals over the rows.

    The score (Saxena et al., PHM08) sums exp(-d / 13) - 1 for answers that are early by d and exp(d / 10) - 1 for late
    ones: late costs more.

    Args:
        y: true lives (n,), not capped.
        predicted: answers (n,), in the same unit.
    """
    error = predicted - y
    cost = np.where(error < 0, np.exp(-error / 13), np.exp(error / 10)) - 1
    drawn = _drawn(len(y))
    return {
        "rmse_uncapped": _with_ends(np.sqrt(np.mean(error**2)), np.sqrt(np.mean(error[drawn] ** 2, axis=1))),
        "nasa_score": _with_ends(cost.sum(), cost[drawn].sum(axis=1)),
    }


def percent_error(y: Array, predicted: Array) -> tuple[float, float, float]:
    """Mean absolute error in percent of the true value, with its 95 % bootstrap interval over the rows.

    Args:
        y: true values (n,), above zero.
        predicted: answers (n,), in the same unit.
    """
    share = 100 * np.abs(predicted - y) / y
    return _with_ends(share.mean(), share[_drawn(len(y))].mean(axis=1))


def _drawn(rows: int) -> Array:
    return np.random.default_rng(0).integers(0, rows, (_RESAMPLES, rows))


def _with_ends(value: float, resampled: Array) -> tuple[float, float, float]:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(value), float(low), float(high)
