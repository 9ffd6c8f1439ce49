"""How a figure grows with the number of lines: a power law by least squares in logarithms, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, linear_regression

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Growth:
    """How a figure grows: as lines to the power of `exponent`.

    Attributes:
        exponent: slope of the figure's logarithm over that of the lines, by least squares over all sizes.
        low: lower end of its 95 % interval, Student's t with as many degrees of freedom as there are sizes beyond two;
            of three sizes that is one, whose quantile is 12.7, so the interval is wide even where the points lie close.
        high: upper end.
        last: slope between the two largest sizes alone. What does not grow, such as the start of a process, flattens
            the first step more than the last.
    """

    exponent: float
    low: float
    high: float
    last: float

    @property
    def steepest(self) -> float:
        """What a plan goes by: the steeper of the two slopes, and at least 0."""
        return max(self.exponent, self.last, 0.0)


def growth(lines: Sequence[int], figures: Sequence[float]) -> Growth:
    """Fit the power law.

    Args:
        lines: sizes, rising, at least three.
        figures: one for each, above 0.

    Raises:
        ValueError: fewer than three sizes, sizes that do not rise, or a figure that is not above 0.
    """
    rises = all(later > earlier for earlier, later in pairwise(lines))
    if len(lines) < 3 or len(lines) != len(figures) or not rises:
        msg = f"an exponent needs three rising sizes and a figure of each, found {list(lines)} and {list(figures)}"
        raise ValueError(msg)
    if min(figures) <= 0:
        msg = f"a figure that is not above 0 has no logarithm: {list(figures)}"
        raise ValueError(msg)
    from scipy.stats import t

    x, y = [math.log(each) for each in lines], [math.log(each) for each in figures]
    # Not by linregress, whose error is no number where all figures are alike.
    slope, at_one = linear_regression(x, y)
    beside, middle = len(lines) - 2, fmean(x)
    missed = sum((each - at_one - slope * place) ** 2 for place, each in zip(x, y, strict=True))
    error = math.sqrt(missed / beside / sum((place - middle) ** 2 for place in x))
    half = float(t.ppf((1 + _CONFIDENCE) / 2, beside)) * error
    return Growth(slope, slope - half, slope + half, (y[-1] - y[-2]) / (x[-1] - x[-2]))


def extrapolated(figure: float, exponent: float, times: float) -> float:
    """A figure measured at one size, at another that is `times` as large."""
    return figure * float(times**exponent)


def size_at(figure: float, exponent: float, size: float, limit: float) -> float:
    """Size at which a figure that is `figure` at `size` reaches a limit; infinite where it does not grow towards it."""
    if exponent <= 0:
        return math.inf if figure < limit else size
    return size * float((limit / figure) ** (1 / exponent))
