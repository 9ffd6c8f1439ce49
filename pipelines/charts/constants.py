"""The factors of control charts and gauge studies, computed from their definitions for normal values.

No table is copied: each factor is an integral or a ratio of gamma functions, and the printed tables are tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp, lgamma, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LIMIT_SIGMAS = 3.0
"""Width of a Shewhart limit, in standard deviations of what is plotted."""
_REACH = 10.0  # standard deviations beyond which no normal value is counted
_NODES = 400


@dataclass(frozen=True)
class Constants:
    """Factors for subgroups of `size` values.

    Attributes:
        size: values of a subgroup.
        d2: mean of the range, in standard deviations of a value.
        d3: standard deviation of the range.
        c4: mean of the standard deviation (n - 1).
    """

    size: int
    d2: float
    d3: float
    c4: float

    @property
    def a2(self) -> float:
        """Half-width of the limits of means, in mean ranges."""
        return LIMIT_SIGMAS / (self.d2 * sqrt(self.size))

    @property
    def a3(self) -> float:
        """Half-width of the limits of means, in mean standard deviations."""
        return LIMIT_SIGMAS / (self.c4 * sqrt(self.size))

    @property
    def big_d3(self) -> float:
        """Lower limit of ranges (D3), in mean ranges."""
        return max(0.0, 1 - LIMIT_SIGMAS * self.d3 / self.d2)

    @property
    def big_d4(self) -> float:
        """Upper limit of ranges (D4), in mean ranges."""
        return 1 + LIMIT_SIGMAS * self.d3 / self.d2

    @property
    def b3(self) -> float:
        """Lower limit of standard deviations, in mean standard deviations."""
        return max(0.0, 1 - LIMIT_SIGMAS * sqrt(1 - self.c4**2) / self.c4)

    @property
    def b4(self) -> float:
        """Upper limit of standard deviations, in mean standard deviations."""
        return 1 + LIMIT_SIGMAS * sqrt(1 - self.c4**2) / self.c4

    @property
    def e2(self) -> float:
        """Half-width of the limits of single values, in mean moving ranges of `size` values."""
        return LIMIT_SIGMAS / self.d2


@cache
def constants(size: int) -> Constants:
    """Factors for subgroups of `size` values.

    Args:
        size: at least 2. Accurate to nine digits up to 100; beyond, a range is a poor measure of spread.

    Raises:
        ValueError: less than two values have no spread.

    Source: Montgomery, Introduction to Statistical Quality Control, appendix VI; Tippett, Biometrika 17 (1925) 364.
    """
    if size < 2:
        raise ValueError(f"a subgroup has at least 2 values, not {size}")
    mean, square = _range_moments(size)
    c4 = sqrt(2 / (size - 1)) * exp(lgamma(size / 2) - lgamma((size - 1) / 2))
    return Constants(size, mean, sqrt(square - mean**2), c4)


@cache
def d2_star(size: int, groups: int) -> float:
    """Root mean square of the mean range of `groups` ranges: divides a mean of few ranges where a variance is wanted.

    Args:
        size: values of a range, at least 2.
        groups: ranges averaged, at least 1.

    Source: Duncan, Quality Control and Industrial Statistics, appendix D3; AIAG, Measurement Systems Analysis, C.
    """
    one = constants(size)
    return sqrt(one.d2**2 + one.d3**2 / groups)


def _range_moments(size: int) -> tuple[float, float]:
    """First and second moment of the range of `size` standard normal values.

    The range is at least w where not all values lie within w of the lowest, so P(W <= w) is the integral over the
    lowest value x of n f(x) (F(x + w) - F(x))^(n-1); the moments are integrals of 1 - P.
    """
    from scipy.special import ndtr

    node, weight = np.polynomial.legendre.leggauss(_NODES)
    lowest = _REACH * node
    width = _REACH * (node + 1)
    density = size * np.exp(-(lowest**2) / 2) / np.sqrt(2 * np.pi) * weight * _REACH
    within = ndtr(lowest[None, :] + width[:, None]) - ndtr(lowest[None, :])
    beyond = 1 - within ** (size - 1) @ density
    step = weight * _REACH
    return float(beyond @ step), float(2 * (width * beyond) @ step)
