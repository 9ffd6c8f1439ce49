"""Robust outlier limits: how far from the median the farthest of n good values goes, by median and MAD."""

from __future__ import annotations

from functools import cache
from typing import Final, Literal

import numpy as np

Side = Literal["above", "below", "both"]

MAD_TO_SD: Final = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_DRAWN: Final = 50_000
_MOST_VALUES: Final = 5_000_000
_SIMULATED_TO: Final = 500


@cache
def extreme_limit(n: int, chance: float, side: Side = "above") -> float:
    """Limit that the farthest of n good values passes with a chance, in robust standard deviations from the median.

    A median absolute deviation of few values scatters, so limits of the normal distribution would be passed far more
    often than they say. The distance in units of the sample's own median and MAD does not depend on where good values
    lie nor how they spread, so its quantile is simulated once for each n, with a fixed seed; above 500 values the MAD
    is as good as known and the normal quantile of order (1 - chance)^(1/n) serves (Sidak 1967).

    Args:
        n: Values, at least 3; normal by supposition, or after a logarithm.
        chance: That one of n good ones passes the limit, above 0 and below 1.
        side: Which side of the median counts.
    """
    if n > _SIMULATED_TO:
        from scipy.stats import norm

        alone = (1 - chance) ** (1 / n)
        return float(norm.ppf((1 + alone) / 2 if side == "both" else alone))
    drawn = np.random.default_rng(n).standard_normal((min(_DRAWN, _MOST_VALUES // n), n))
    away = drawn - np.median(drawn, axis=1, keepdims=True)
    spread = MAD_TO_SD * np.median(np.abs(away), axis=1)
    farthest = np.abs(away).max(axis=1) if side == "both" else away.max(axis=1)
    return float(np.quantile(farthest / spread, 1 - chance))
