"""Bayesian optimisation of trials: which settings to try next, from what was measured so far.

A Gaussian process is fitted to each measured quantity; a trial is worth its expected improvement (Jones, Schonlau and
Welch 1998) times the probability that it keeps every limit (Gardner et al. 2014). Of a batch each trial after the first
takes the predictions of those before it for measured (kriging believer, Ginsbourger et al. 2010).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.optimizers.runs import Bools, Floats

_CANDIDATES = 1024
_MOST_REFUSED = 16  # times as many settings are drawn where not all come into question
_EPS = 1e-9
_SURE = 0.8  # probability of keeping every limit from which on a trial is recommended


Able = Callable[[Floats], Bools]
"""Settings, shape (n, k), to which of them come into question: what is known of them without a trial."""


@dataclass(frozen=True)
class Setting:
    """What is varied: lowest and highest value, and the step in which it can be set (0 for any)."""

    low: float
    high: float
    step: float = 0.0


@dataclass(frozen=True)
class Kept:
    """A limit on a measured quantity: its values in the trials, shape (n,), and what they must lie between."""

    values: Floats
    low: float = -np.inf
    high: float = np.inf

    @property
    def holds(self) -> Bools:
        """In which trials it was kept."""
        found: Bools = (self.values >= self.low) & (self.values <= self.high)
        return found


@dataclass(frozen=True)
class Trials:
    """Trials to run next, the best first, shape (m, ...).

    Attributes:
        settings: shape (m, k).
        improvement: expected improvement over the best trial so far, in the unit of what is improved; NaN where the
            settings were drawn to fill the space.
        feasible: probability that all limits are kept; NaN likewise.
        expected: what is improved. spread: its standard deviation.
    """

    settings: Floats
    improvement: Floats
    feasible: Floats
    expected: Floats
    spread: Floats


def best_so_far(improve: Floats, keep: Sequence[Kept], *, is_higher_better: bool) -> int:
    """Place of the best trial that kept every limit; -1 where none did."""
    holds = np.all([each.holds for each in keep], axis=0) if keep else np.ones(len(improve), dtype=bool)
    if not holds.any():
        return -1
    sign = 1.0 if is_higher_better else -1.0
    return int(np.argmax(np.where(holds, sign * improve, -np.inf)))


def spread_out(settings: Sequence[Setting], count: int, seed: int, skip: int = 0, able: Able | None = None) -> Floats:
    """Settings that fill the space evenly: a scrambled Sobol sequence of those that come into question.

    Args:
        settings: what is varied.
        count: how many are wanted.
        seed: of the sequence.
        skip: place of the sequence that they begin at.
        able: which settings come into question; None: all.

    Returns:
        Shape (count, k); fewer where hardly any setting comes into question.
    """
    from scipy.stats import qmc

    sampler = qmc.Sobol(len(settings), scramble=True, rng=np.random.default_rng(seed))
    wanted = skip + count
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of counts that are no power of two: balance is not needed here
        drawn = settable(settings, sampler.random(wanted if able is None else _MOST_REFUSED * wanted))
    if able is not None:
        drawn = drawn[able(drawn)]
    return drawn[skip:wanted]


def settable(settings: Sequence[Setting], unit: Floats) -> Floats:
    """Places in the unit cube as settings, on their steps."""
    low, high = (np.array([getattr(each, end) for each in settings]) for end in ("low", "high"))
    step = np.array([each.step for each in settings])
    values = low + unit * (high - low)
    stepped = low + np.round((values - low) / np.where(step > 0, step, 1.0)) * step
    found: Floats = np.clip(np.where(step > 0, stepped, values), low, high)
    return found


def next_trials(
    settings: Sequence[Setting],
    done: Floats,
    improve: Floats,
    keep: Sequence[Kept],
    *,
    is_higher_better: bool,
    count: int,
    seed: int,
    able: Able | None = None,
) -> Trials:
    """The next batch.

    Args:
        settings: what is varied.
        done: settings of the trials so far, shape (n, k).
        improve: what is to be improved, measured in them, shape (n,).
        keep: limits, with what was measured of each.
        is_higher_better: whether more of it is better.
        count: trials of the batch.
        seed: of the candidates.
        able: which settings come into question at all; None: all.
    """
    if len(done) < least_trials(len(settings)):
        drawn = spread_out(settings, count, seed, skip=len(done), able=able)
        nothing = np.full(count, np.nan)
        return Trials(drawn, nothing, nothing, nothing, nothing)
    sign, places = 1.0 if is_higher_better else -1.0, unit(settings, done)
    aim, limits = _Process(places, sign * improve), [_Process(places, each.values) for each in keep]
    pool = np.unique(spread_out(settings, _CANDIDATES, seed, able=able), axis=0)
    pool = pool[[not np.any(np.all(np.abs(done - each) <= _EPS, axis=1)) for each in pool]]
    best = best_so_far(improve, keep, is_higher_better=is_higher_better)
    level = -np.inf if best < 0 else float(aim.predict(places[best : best + 1])[0][0])
    chosen = []
    for _ in range(min(count, len(pool))):
        mean, spread = aim.predict(unit(settings, pool))
        feasible = _feasible(limits, keep, unit(settings, pool))
        gain = expected_improvement(mean, spread, level) if np.isfinite(level) else np.full(len(pool), np.nan)
        place = int(np.argmax(np.where(np.isfinite(gain), gain, 1.0) * feasible))
        chosen.append((pool[place], gain[place], feasible[place], sign * mean[place], spread[place]))
        for process in (aim, *limits):
            process.believe(unit(settings, pool[place : place + 1]))
        pool = np.delete(pool, place, axis=0)
    columns = [np.array([row[no] for row in chosen]) for no in range(5)]
    return Trials(columns[0].reshape(-1, len(settings)), *columns[1:])


def recommended(
    settings: Sequence[Setting], done: Floats, improve: Floats, keep: Sequence[Kept], *, is_higher_better: bool
) -> int:
    """Place of the trial that is best by what all trials together tell, and not by a lucky measurement.

    Args:
        settings: what was varied.
        done: settings of the trials, shape (n, k).
        improve: what is to be improved, measured in them, shape (n,).
        keep: limits, with what was measured of each.
        is_higher_better: whether more of it is better.

    Returns:
        The place; -1 where no trial is likely enough to keep every limit.
    """
    places, sign = unit(settings, done), 1.0 if is_higher_better else -1.0
    mean, _ = _Process(places, sign * improve).predict(places)
    feasible = _feasible([_Process(places, each.values) for each in keep], keep, places)
    return int(np.argmax(np.where(feasible >= _SURE, mean, -np.inf))) if (feasible >= _SURE).any() else -1


def predicted(settings: Sequence[Setting], done: Floats, values: Floats, points: Floats) -> tuple[Floats, Floats]:
    """What is expected of a quantity at some settings, and its standard deviation.

    Args:
        settings: what was varied.
        done: settings of the trials, shape (n, k).
        values: the quantity as measured in them, shape (n,).
        points: settings that are asked about, shape (m, k).
    """
    return _Process(unit(settings, done), values).predict(unit(settings, points))


def unit(settings: Sequence[Setting], values: Floats) -> Floats:
    """Settings as places in the unit cube."""
    low, high = (np.array([getattr(each, end) for each in settings]) for end in ("low", "high"))
    found: Floats = (values - low) / np.where(high > low, high - low, 1.0)
    return found


def least_trials(settings: int) -> int:
    """Trials before anything is learnt from them: two a setting, and two more."""
    return 2 * settings + 2


def expected_improvement(mean: Floats, spread: Floats, best: float) -> Floats:
    """By how much a value above `best` is expected to exceed it, of normal predictions, shape (m,)."""
    from scipy import stats

    sure = spread <= _EPS
    z = (mean - best) / np.where(sure, 1.0, spread)
    gain = (mean - best) * stats.norm.cdf(z) + spread * stats.norm.pdf(z)
    found: Floats = np.where(sure, np.maximum(mean - best, 0.0), gain)
    return found


def _feasible(limits: Sequence[_Process], keep: Sequence[Kept], points: Floats) -> Floats:
    """Probability that all limits are kept, taken as independent."""
    from scipy import stats

    found = np.ones(len(points))
    for process, each in zip(limits, keep, strict=True):
        mean, spread = process.predict(points)
        found *= stats.norm.cdf(each.high, mean, spread + _EPS) - stats.norm.cdf(each.low, mean, spread + _EPS)
    return found


class _Process:
    """A Gaussian process over the unit cube, with a scale of each setting and its own noise.

    Args:
        x: settings, shape (n, k). y: measured, shape (n,).
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        self._x, self._y = x, y
        self._mean, self._scale = float(y.mean()), float(y.std()) or 1.0
        kernel = ConstantKernel(1.0, (0.1, 50.0)) * Matern(np.full(x.shape[1], 0.7), (0.1, 20.0), nu=2.5)
        self._noise = WhiteKernel(0.05, (1e-4, 1.0))
        found = self._fitted(GaussianProcessRegressor(kernel + self._noise, n_restarts_optimizer=1, random_state=0))
        self._kernel, self._noise_level = found.kernel_, float(found.kernel_.k2.noise_level)
        self._model = found

    def _fitted(self, model: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a scale at its bound, which says that a setting does not matter
            return model.fit(self._x, (self._y - self._mean) / self._scale)

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the quantity itself, without the noise of measuring it."""
        mean, spread = self._model.predict(points, return_std=True)
        own = np.sqrt(np.maximum(spread**2 - self._noise_level, 0.0))
        return self._mean + self._scale * mean, self._scale * own

    def believe(self, points: Floats) -> None:
        """Take the prediction at some settings for measured, with the kernel as it is."""
        from sklearn.gaussian_process import GaussianProcessRegressor

        mean, _ = self.predict(points)
        self._x, self._y = np.vstack([self._x, points]), np.append(self._y, mean)
        self._model = self._fitted(GaussianProcessRegressor(self._kernel, optimizer=None))
