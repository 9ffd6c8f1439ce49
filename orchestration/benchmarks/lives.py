"""Figures of remaining lives, as those who publish on them count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def life_metrics(y: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> dict[str, tuple[float, float, float]]:
    """RMSE against lives that are not capped, and NASA's score, with 95 % bootstrap intervals over the rows.

    The score (Saxena et al., PHM08) sums exp(-d / 13) - 1 for answers that are early by d and exp(d / 10) - 1 for late
    ones: late costs more.

    Args:
        y: true lives (n,), not capped.
        predicted: answers (n,), in the same unit.
    """
    error = predicted - y
    cost = np.where(error < 0, np.exp(-error / 13), np.exp(error / 10)) - 1
    drawn = np.random.default_rng(0).integers(0, len(y), (2000, len(y)))
    found = {}
    for name, value, resampled in (
        ("rmse_uncapped", np.sqrt(np.mean(error**2)), np.sqrt(np.mean(error[drawn] ** 2, axis=1))),
        ("nasa_score", cost.sum(), cost[drawn].sum(axis=1)),
    ):
        low, high = np.quantile(resampled, [0.025, 0.975])
        found[name] = (float(value), float(low), float(high))
    return found
