"""Slopes of figures over days, each with a 95 % interval that knows that neighbouring days are alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm

FEWEST = 10
"""Days below which no slope is judged."""
_ROUNDED = 12  # digits; what is smaller is the arithmetic's


@dataclass(frozen=True)
class Slope:
    """Growth by the day.

    Attributes:
        per_day: least squares.
        low, high: its 95 % interval, errors after Newey and West.
        level: mean of the figure.
        days: how many were used.
    """

    per_day: float
    low: float
    high: float
    level: float
    days: int

    @property
    def grows(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0


def slope(days: Sequence[float], values: Sequence[float], lags: int) -> Slope | None:
    """The slope of a figure; None with fewer than `FEWEST` days.

    Args:
        days: day of each value; values that are NaN are left out.
        values: the figure.
        lags: over how many days errors are taken for dependent: at least a cycle of maintenance.
    """
    x, y = np.asarray(days, float), np.asarray(values, float)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < FEWEST:
        return None
    scale = float(np.abs(y).max()) or 1.0
    fitted = sm.OLS(y / scale, sm.add_constant(x)).fit(cov_type="HAC", cov_kwds={"maxlags": lags}, use_t=True)
    low, high = fitted.conf_int(0.05)[1]
    found = [round(float(each), _ROUNDED) * scale for each in (fitted.params[1], low, high)]
    return Slope(*found, level=float(y.mean()), days=len(x))


def slopes(samples: Sequence[Mapping[str, float]], figures: Sequence[str], lags: int) -> dict[str, Slope | None]:
    """The slope of each figure over samples that have `day`."""
    days = [each["day"] for each in samples]
    return {name: slope(days, [each.get(name, math.nan) for each in samples], lags) for name in figures}
