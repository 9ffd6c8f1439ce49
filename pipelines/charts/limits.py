"""Phase I: centre, sigma and limits of a reference period, cleaned of points that do not belong to it.

Sigma is that within subgroups, from ranges or standard deviations, so that a centre that wanders does not widen limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from pipelines.charts.constants import LIMIT_SIGMAS, Array, constants
from pipelines.control_plan.errors import CellworksError

MIN_POINTS = 20
"""Points that limits are learnt from, at least: AIAG asks for 25 subgroups, of which a few may be left out."""
_FAMILY_RATE = 0.05  # chance that a clean reference loses any point to the cleaning
_MOST_REMOVED = 0.1  # a reference that would lose more is not in control, and has no outliers to be rid of


@dataclass(frozen=True)
class Limits:
    """What a reference period says of a characteristic; all in its unit but where said otherwise.

    Attributes:
        centre: mean of the points kept.
        sigma: standard deviation of a single value within subgroups.
        lower: control limit of the points (single values or means of subgroups).
        upper: control limit of the points.
        spread_centre: mean moving range, range or standard deviation.
        spread_lower: its control limit.
        spread_upper: its control limit.
        size: values of a point, 1 for single values.
        n: points kept.
        degrees_of_freedom: of sigma, as if it were a root of a chi-square variable.
        removed: places of the points left out, rising.
        is_stable: whether cleaning came to an end: nothing beyond its limits is left, and little was left out.
    """

    centre: float
    sigma: float
    lower: float
    upper: float
    spread_centre: float
    spread_lower: float
    spread_upper: float
    size: int
    n: int
    degrees_of_freedom: float
    removed: tuple[int, ...] = ()
    is_stable: bool = True


@dataclass(frozen=True)
class _Points:
    """Points with their spreads, NaN where there is none; `spreads_of` gives them anew for the points kept."""

    value: Array
    spreads_of: Callable[[Array], Array]
    limits_of: Callable[[Array, Array], Limits]
    judges_spread: bool


def individuals(values: Array, begins: Array | None = None, rounds: int = 3) -> Limits:
    """Limits of single values (I-MR), sigma from moving ranges of two.

    Args:
        values: in the order of time (n,); missing ones are NaN and have no moving range, nor has the value after them.
        begins: values that begin a run (n,), booleans; no range reaches back over one.
        rounds: rounds of cleaning, at most; 0 leaves nothing out.

    Raises:
        CellworksError: fewer than `MIN_POINTS` values.

    Source: Montgomery, chapter 6.4; degrees of freedom from the variance of a mean moving range, Cryer and Ryan,
    J. Quality Technology 22 (1990) 187.
    """
    follows = np.ones(len(values), dtype=np.bool_) if begins is None else ~begins
    follows[:1] = False

    def spreads_of(keep: Array) -> Array:
        kept = np.where(keep, values, np.nan)
        return np.where(follows, np.abs(np.diff(kept, prepend=np.nan)), np.nan)

    def limits_of(point: Array, spread: Array) -> Limits:
        n = len(point)
        freedom = (n - 1) ** 2 / (2 * (0.8264 * n - 1.082))
        factors = constants(2)
        return _limits(point, spread, 1, spread.mean() / factors.d2, (factors.big_d3, factors.big_d4), freedom)

    return _cleaned(_Points(values, spreads_of, limits_of, judges_spread=False), rounds)


def means_and_ranges(subgroups: Array, rounds: int = 3) -> Limits:
    """Limits of means of subgroups and of their ranges (X-bar/R).

    Args:
        subgroups: in the order of time (subgroups, size), size at least 2; one with a missing value is passed over.
        rounds: see `individuals`.

    Raises:
        CellworksError: fewer than `MIN_POINTS` complete subgroups.

    Source: Montgomery, chapter 6.2.
    """
    factors = constants(subgroups.shape[1])
    spread = subgroups.max(axis=1) - subgroups.min(axis=1)

    def limits_of(point: Array, kept: Array) -> Limits:
        freedom = len(point) * factors.d2**2 / (2 * factors.d3**2)
        sigma, bounds = kept.mean() / factors.d2, (factors.big_d3, factors.big_d4)
        return _limits(point, kept, factors.size, sigma, bounds, freedom)

    return _cleaned(_Points(subgroups.mean(axis=1), lambda _: spread, limits_of, judges_spread=True), rounds)


def means_and_deviations(subgroups: Array, rounds: int = 3) -> Limits:
    """Limits of means of subgroups and of their standard deviations (X-bar/S).

    Arguments and errors as for `means_and_ranges`; the better one for subgroups of more than ten values.

    Source: Montgomery, chapter 6.3.
    """
    factors = constants(subgroups.shape[1])
    spread = subgroups.std(axis=1, ddof=1)

    def limits_of(point: Array, kept: Array) -> Limits:
        freedom = len(point) * factors.c4**2 / (2 * (1 - factors.c4**2))
        sigma, bounds = kept.mean() / factors.c4, (factors.b3, factors.b4)
        return _limits(point, kept, factors.size, sigma, bounds, freedom)

    return _cleaned(_Points(subgroups.mean(axis=1), lambda _: spread, limits_of, judges_spread=True), rounds)


def _limits(
    point: Array, spread: Array, size: int, sigma: float, bounds: tuple[float, float], freedom: float
) -> Limits:
    """Limits from points, their spreads, and the spread's limits in mean spreads."""
    centre, mean_spread = float(point.mean()), float(spread.mean())
    half = LIMIT_SIGMAS * float(sigma) / sqrt(size)
    lower, upper = bounds[0] * mean_spread, bounds[1] * mean_spread
    return Limits(
        centre, float(sigma), centre - half, centre + half, mean_spread, lower, upper, size, len(point), float(freedom)
    )


def _cleaned(points: _Points, rounds: int) -> Limits:
    """Limits of the points that belong together.

    A round leaves out what lies beyond its limits, which are wider than three sigma where there are many points: of ten
    thousand good ones 27 lie beyond three sigma, and without them limits would be too narrow.

    Raises:
        CellworksError: see `individuals`.
    """
    there = np.isfinite(points.value)
    least = max(MIN_POINTS, int(np.ceil((1 - _MOST_REMOVED) * there.sum())))
    keep = there
    limits, beyond = _round(points, keep)
    for _ in range(rounds):
        if not beyond.any() or (keep & ~beyond).sum() < least:
            break
        keep = keep & ~beyond
        limits, beyond = _round(points, keep)
    removed = tuple(np.flatnonzero(there & ~keep).tolist())
    return replace(limits, removed=removed, is_stable=not beyond.any())


def _round(points: _Points, keep: Array) -> tuple[Limits, Array]:
    """Limits of the points kept, and which of these do not belong to the others.

    Raises:
        CellworksError: see `individuals`.
    """
    from scipy.stats import norm

    spread = points.spreads_of(keep)
    has_spread = keep & np.isfinite(spread)
    if has_spread.sum() < MIN_POINTS - 1:
        raise CellworksError(
            "too few points for control limits",
            expected=f"at least {MIN_POINTS} points that are there and follow each other",
            found=f"{int(keep.sum())} points, of which {int(has_spread.sum())} have a spread",
            mend="lengthen the reference period",
        )
    limits = points.limits_of(points.value[keep], spread[has_spread])
    widening = max(1.0, float(norm.isf(_FAMILY_RATE / (2 * keep.sum()))) / LIMIT_SIGMAS)
    beyond = np.abs(points.value - limits.centre) > widening * (limits.upper - limits.centre)
    if points.judges_spread:
        beyond |= spread > limits.spread_centre + widening * (limits.spread_upper - limits.spread_centre)
    return limits, keep & beyond
