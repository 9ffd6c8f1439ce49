"""Values that remember the last ones: charted as means of batches, or as what a model of their memory leaves over.

A chart's run lengths hold for independent points. A tag read every second follows itself; charted as it is, it alarms
many times as often as its limits promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipelines.charts.constants import Array
from pipelines.control_plan.errors import CellworksError

MIN_BATCHES = 50
"""Batch means that a reference must give, at least: the error of a lag-1 autocorrelation is then 0.14."""
_LEAST_PRESENT = 0.5  # share of a batch that must be there for it to have a mean
_ROWS_PER_COEFFICIENT = 20


@dataclass(frozen=True)
class Batches:
    """How many consecutive values are averaged to one point.

    Attributes:
        size: values of a batch, 1 where single values are independent enough.
        lag_1: autocorrelation of neighbouring means.
        batches: means of the reference.
    """

    size: int
    lag_1: float
    batches: int


@dataclass(frozen=True)
class Memory:
    """An autoregression: value - mean = sum of coefficient times what lay so far back, and a shock.

    Attributes:
        mean: of the values.
        coefficients: of the last value, the one before, ...; empty where values are independent.
        sigma: standard deviation of the shocks.
    """

    mean: float
    coefficients: tuple[float, ...]
    sigma: float


def autocovariances(values: Array, lags: int, begins: Array | None = None) -> Array:
    """Autocovariances at lags 0 to `lags`.

    Args:
        values: in the order of time (n,), NaN where missing.
        lags: largest lag.
        begins: values that begin a run (n,), booleans; no pair reaches over one.

    Returns:
        Mean products of the pairs that are there, shrunk by their share of all values at lag 0, which keeps the
        autocorrelation of a complete series within its bounds (lags + 1,).
    """
    run = _run_of(values, begins)
    deviation = values - np.nanmean(values)
    there = np.isfinite(deviation)
    out = np.empty(lags + 1)
    for lag in range(lags + 1):
        early, late = slice(None, len(values) - lag), slice(lag, None)
        pair = there[early] & there[late] & (run[early] == run[late])
        out[lag] = (deviation[early][pair] @ deviation[late][pair]) / there.sum()
    return out


def lag_1(values: Array, begins: Array | None = None) -> float:
    """Autocorrelation of neighbours; arguments as for `autocovariances`. 0 where nothing varies."""
    zero, one = autocovariances(values, 1, begins)
    return float(one / zero) if zero > 0 else 0.0


def batch_means(values: Array, size: int, begins: Array | None = None) -> tuple[Array, Array]:
    """Means of consecutive values.

    Args:
        values: see `autocovariances`.
        size: values of a batch, at least 1.
        begins: see `autocovariances`; the rest at the end of a run that fills no batch is left out.

    Returns:
        Means, NaN where less than half of a batch is there; and the place of each batch's first value.
    """
    first = np.flatnonzero(np.diff(_run_of(values, begins), prepend=-1))
    runs = pairwise([*first.tolist(), len(values)])
    places = [np.arange(begin, end - size + 1, size) for begin, end in runs]
    place = np.concatenate(places) if places else np.zeros(0, dtype=np.int64)
    batches = values[place[:, None] + np.arange(size)]
    present = np.isfinite(batches)
    count = present.sum(axis=1)
    means = np.where(present, batches, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count >= max(1, _LEAST_PRESENT * size), means, np.nan), place


def choose_batch(values: Array, bound: float = 0.1, begins: Array | None = None) -> Batches:
    """The smallest batch, of 1, 2, 3, 4, 6, 8, 12, ... values, whose means are nearly independent.

    Args:
        values: a reference period; see `autocovariances`.
        bound: largest lag-1 autocorrelation of the means.
        begins: see `autocovariances`.

    Raises:
        CellworksError: batches large enough are too few; residuals of `fit_memory` are the other way.

    Source: Runger and Willemain, J. Quality Technology 28 (1996) 40.
    """
    size, tried = 1, Batches(1, 1.0, 0)
    while True:
        means, place = batch_means(values, size, begins)
        begun = None if begins is None else np.diff(_run_of(values, begins)[place], prepend=-1) != 0
        if np.isfinite(means).sum() < MIN_BATCHES:
            raise CellworksError(
                "the values remember their past for too long to be averaged",
                expected=f"{MIN_BATCHES} batch means with a lag-1 autocorrelation of at most {bound}",
                found=f"{tried.lag_1:.2f} with batches of {tried.size}, and too few larger ones",
                mend="lengthen the reference period, or chart the residuals of an autoregression",
            )
        tried = Batches(size, lag_1(means, begun), int(np.isfinite(means).sum()))
        if tried.lag_1 <= bound:
            return tried
        size += max(1, 1 << (size.bit_length() - 2)) if size > 1 else 1


def fit_memory(values: Array, max_order: int = 5, begins: Array | None = None) -> Memory:
    """An autoregression by the Yule-Walker equations, its order by Schwarz's criterion.

    Args:
        values: a reference period; see `autocovariances`.
        max_order: values back, at most.
        begins: see `autocovariances`.

    Raises:
        CellworksError: too few values, or values that do not vary.

    Source: Brockwell and Davis, Time Series: Theory and Methods, chapter 8; residual charts: Alwan and Roberts,
    J. Business and Economic Statistics 6 (1988) 87.
    """
    from scipy.linalg import solve_toeplitz

    there = int(np.isfinite(values).sum())
    least = _ROWS_PER_COEFFICIENT * (max_order + 1)
    covariance = autocovariances(values, max_order, begins) if there >= least else np.zeros(1)
    if not covariance[0] > 0:
        raise CellworksError(
            "an autoregression cannot be learnt",
            expected=f"at least {least} values that vary",
            found=f"{there} values" + ("" if there < least else ", all the same"),
            mend="lengthen the reference period, or chart single values",
        )
    tried = []
    for order in range(max_order + 1):
        past = solve_toeplitz(covariance[:order], covariance[1 : order + 1]) if order else np.zeros(0)
        variance = max(float(covariance[0] - past @ covariance[1 : order + 1]), np.finfo(float).tiny)
        loss = there * np.log(variance) + order * np.log(there)
        tried.append((float(loss), order, tuple(past.tolist()), float(np.sqrt(variance))))
    _, _, coefficients, sigma = min(tried)
    return Memory(float(np.nanmean(values)), coefficients, sigma)


def residuals(values: Array, memory: Memory, begins: Array | None = None) -> Array:
    """What the memory did not foresee of each value: independent points with sigma `memory.sigma` around 0.

    Args:
        values: see `autocovariances`.
        memory: learnt from the reference.
        begins: see `autocovariances`.

    Returns:
        Residuals (n,), NaN where the value or one that it remembers is missing, so also at a run's beginning.
    """
    run = _run_of(values, begins)
    deviation = values - memory.mean
    out = deviation.astype(np.float64)
    for lag, coefficient in enumerate(memory.coefficients, start=1):
        back = np.full(len(values), np.nan)
        back[lag:] = np.where(run[lag:] == run[:-lag], deviation[:-lag], np.nan)
        out -= coefficient * back
    return out


def _run_of(values: Array, begins: Array | None) -> Array:
    """Number of each value's run."""
    return np.zeros(len(values), dtype=np.int64) if begins is None else np.cumsum(begins)
