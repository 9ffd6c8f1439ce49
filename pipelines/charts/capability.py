"""Capability of a process against its specification: indices with intervals, or a reason why there is no number."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from pipelines.charts.constants import Array
from pipelines.charts.limits import Limits

MIN_ROWS = 50
"""Values below which an index says nothing: of 50, a Cpk of 1.33 may be anything from 1.05 to 1.61."""
CONFIDENCE = 0.95
_CHANCE = 0.01  # more signals than chance has with this probability are a process that is not stable


@dataclass(frozen=True)
class Specification:
    """What a characteristic must lie within, in its unit.

    Attributes:
        lower: None where only the upper one counts.
        upper: None where only the lower one counts.
        target: best value; None: the middle of both limits.
    """

    lower: float | None = None
    upper: float | None = None
    target: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no specification.

        Raises:
            ValueError: no limit at all, or the lower one not below the upper one.
        """
        if self.lower is None and self.upper is None:
            raise ValueError("a specification has a lower or an upper limit")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"lower specification limit {self.lower} is not below the upper one {self.upper}")

    @property
    def width(self) -> float | None:
        """Distance of the limits; None where there is one only."""
        return None if self.lower is None or self.upper is None else self.upper - self.lower

    @property
    def aim(self) -> float | None:
        """The target, or the middle of the limits; None of a single limit without target."""
        if self.target is not None or self.lower is None or self.upper is None:
            return self.target
        return (self.lower + self.upper) / 2

    def nearest(self, mean: float) -> float:
        """Distance of a mean to the nearer limit, below 0 outside."""
        below = np.inf if self.lower is None else mean - self.lower
        above = np.inf if self.upper is None else self.upper - mean
        return float(min(below, above))


@dataclass(frozen=True)
class Index:
    """An index with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Capability:
    """What a stable process can do (within subgroups) and did (overall).

    Attributes:
        cp: width of the specification in 6 sigma within; None of a single limit.
        cpk: distance of the mean to the nearer limit in 3 sigma within.
        pp: as `cp` with the overall standard deviation.
        ppk: as `cpk` with the overall standard deviation.
        cpm: as `pp` with the root mean square distance from the target.
        expected_ppm: values outside among a million, of a normal process as it was overall.
        observed_ppm: values that were outside.
        rows: values judged.
    """

    cp: Index | None
    cpk: Index
    pp: Index | None
    ppk: Index
    cpm: Index | None
    expected_ppm: float
    observed_ppm: float
    rows: int


@dataclass(frozen=True)
class NotCapable:
    """No number, and why: an index of a process that is not stable foretells nothing."""

    reason: str


def capability(
    values: Array, specification: Specification, within: Limits, signals: int, arl: float
) -> Capability | NotCapable:
    """Capability of single values in phase II.

    Args:
        values: in phase II (n,), NaN where missing.
        specification: in their unit.
        within: phase I of the same characteristic; its sigma is that within subgroups.
        signals: times at which the chart began to signal in phase II.
        arl: points between two false signals of that chart (`pipelines.charts.run_length`).

    Returns:
        The indices, or a reason: too few values, values that do not vary, phase I not stable, more signals than chance.

    Source: Montgomery, chapter 8; intervals: Bissell, Applied Statistics 39 (1990) 331 (Cpk), Boyles, J. Quality
    Technology 23 (1991) 17 (Cpm), chi-square (Cp).
    """
    present = values[np.isfinite(values)].astype(np.float64)
    n = len(present)
    if reason := _refusal(present, within, signals, arl):
        return NotCapable(reason)
    mean, overall = float(present.mean()), float(present.std(ddof=1))
    nearest, freedom = specification.nearest(mean), within.degrees_of_freedom
    outside = present < (-np.inf if specification.lower is None else specification.lower)
    outside |= present > (np.inf if specification.upper is None else specification.upper)
    return Capability(
        cp=_spread_index(specification.width, within.sigma, freedom),
        cpk=_nearest_index(nearest, within.sigma, n, freedom),
        pp=_spread_index(specification.width, overall, n - 1),
        ppk=_nearest_index(nearest, overall, n, n - 1),
        cpm=_target_index(specification, mean, overall, n),
        expected_ppm=expected_ppm(mean, overall, specification),
        observed_ppm=1e6 * float(outside.mean()),
        rows=n,
    )


def expected_ppm(mean: float, sigma: float, specification: Specification) -> float:
    """Values outside the specification among a million normal ones."""
    from scipy.special import ndtr

    below = 0.0 if specification.lower is None else ndtr((specification.lower - mean) / sigma)
    above = 0.0 if specification.upper is None else ndtr((mean - specification.upper) / sigma)
    return float(1e6 * (below + above))


def _refusal(present: Array, within: Limits, signals: int, arl: float) -> str:
    """Why there is no number; empty where there is one."""
    from scipy.stats import binom

    n = len(present)
    if n < MIN_ROWS:
        return f"{n} values, at least {MIN_ROWS} are needed"
    if not within.is_stable:
        return "phase I was not stable: points beyond its limits are left"
    if not (within.sigma > 0 and present.std() > 0):
        return "the values do not vary as far as the gauge resolves"
    if binom.sf(signals - 1, n, 1 / arl) < _CHANCE:
        return f"not stable: {signals} signals among {n} values, where chance gives {n / arl:.1f}"
    return ""


def _spread_index(width: float | None, sigma: float, freedom: float) -> Index | None:
    """Cp or Pp."""
    return None if width is None else _chi_square(width / (6 * sigma), freedom)


def _nearest_index(nearest: float, sigma: float, n: int, freedom: float) -> Index:
    """Cpk or Ppk, with an error from that of the mean and that of sigma."""
    from scipy.stats import norm

    value = nearest / (3 * sigma)
    half = float(norm.isf((1 - CONFIDENCE) / 2)) * sqrt(1 / (9 * n) + value**2 / (2 * freedom))
    return Index(value, value - half, value + half)


def _target_index(specification: Specification, mean: float, sigma: float, n: int) -> Index | None:
    """Cpm."""
    if specification.width is None or specification.aim is None:
        return None
    off = ((mean - specification.aim) / sigma) ** 2
    value = specification.width / (6 * sigma * sqrt(1 + off))
    return _chi_square(value, n * (1 + off) ** 2 / (1 + 2 * off))


def _chi_square(value: float, freedom: float) -> Index:
    """Interval of an index that is one over an estimated deviation."""
    from scipy.stats import chi2

    low, high = (
        sqrt(float(chi2.ppf(tail, freedom)) / freedom) for tail in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    )
    return Index(value, value * low, value * high)
