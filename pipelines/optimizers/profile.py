"""Profile control across the web: which actuators of a row are moved, and how far, so that the profile becomes even.

The profile of a run, one value for each position, is taken to be linear in where the actuators stand,

    y = d + K b + noise,

with d the profile that would be there without them, which changes slowly and is followed by an exponentially weighted
mean, and K the response, a column for each actuator. K begins as a declared band (a die bolt bends the lip most where
it sits, and a metering pump shares out what it takes away: columns sum to 0) and is learnt from the moves that were
made: ridge regression of how the mean profile changed from one stretch between moves to the next, drawn towards the
band by as much as that was declared to be uncertain (the posterior mean of a Gaussian prior).

What is moved minimises the expected profile's sum of squares. Actuators are chosen one by one, each time the one that
takes most away, then set together by a quadratic programme with limits on each move, on their sum, and on how far
neighbours may stand apart, which is what breaks a die.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import LinearConstraint, minimize
from scipy.signal import lfilter

from pipelines.optimizers.runs import Bools, Floats

MIN_RUNS = 12
WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_FAR = 0.1  # of the declared uncertainty at the actuator: that of positions which the band does not reach
_EPS = 1e-9

Reason = Literal["move", "on_target", "at_limit", "wait", "too_few", "unstable"]


@dataclass(frozen=True)
class Rows:
    """Runs in the order in which they ended.

    Attributes:
        profile: of each run and position, shape (n, k), without missing values.
        setpoint: where the actuators were set, shape (n, k).
    """

    profile: Floats
    setpoint: Floats


@dataclass(frozen=True)
class Prior:
    """What is known of the response beforehand.

    Attributes:
        gain: of the profile at an actuator, per unit of it, before what it takes away is shared out.
        width: standard deviation of the bent stretch, in positions.
        uncertainty: standard deviation of a response, as a share of it.
    """

    gain: float
    width: float
    uncertainty: float

    def band(self, count: int) -> Floats:
        """Response of each position to each actuator, shape (k, k), before sharing out."""
        place = np.arange(count)
        found: Floats = self.gain * np.exp(-0.5 * ((place[:, None] - place) / self.width) ** 2)
        return found

    def response(self, count: int) -> Floats:
        """The same with what it takes away shared out: columns sum to 0."""
        band = self.band(count)
        found: Floats = band - band.mean(axis=0)
        return found


@dataclass(frozen=True)
class Law:
    """What was learnt of a machine.

    Attributes:
        response: K, shape (k, k).
        level: d after the newest run, shape (k,).
        sigma: standard deviation of a position from run to run.
        weight: of the newest run in the mean that follows d.
        surprise: how far the newest run lay from what was expected of it, in sigma.
    """

    response: Floats
    level: Floats
    sigma: float
    weight: float
    surprise: float


@dataclass(frozen=True)
class Bounds:
    """What moves may not cross.

    Attributes:
        low: smallest, high: largest set-point.
        reach: how far each actuator may be moved now, shape (k,); 0 where it has to wait.
        apart: largest difference between neighbours.
        total: largest sum of moves.
        most: actuators that are moved at most.
        resolution: smallest step that can be set; 0 for any.
    """

    low: float
    high: float
    reach: Floats
    apart: float
    total: float
    most: int
    resolution: float = 0.0


@dataclass(frozen=True)
class Advice:
    """What is to be set.

    Attributes:
        reason: `move`, or why there is none.
        proposed: set-point of each actuator, shape (k,).
        expected: profile of the next run without a move, shape (k,); NaN where nothing is known.
        after: the same with the moves.
    """

    reason: Reason
    proposed: Floats
    expected: Floats
    after: Floats

    @property
    def spread(self) -> tuple[float, float]:
        """Standard deviation over the positions that is expected, without and with the moves."""
        return float(self.expected.std()), float(self.after.std())


def learn(rows: Rows, prior: Prior, ahead: int) -> Law | None:
    """Learn response and level from past runs; None while there are fewer than `MIN_RUNS`.

    Args:
        rows: past runs.
        prior: of the response.
        ahead: runs between the newest known one and the one that is decided on; the weight is the best at that.
    """
    if len(rows.profile) < MIN_RUNS:
        return None
    begins = np.r_[True, np.any(np.diff(rows.setpoint, axis=0) != 0, axis=1)]
    steps = np.diff(rows.profile, axis=0)[~begins[1:]]
    sigma = float(np.sqrt(np.mean(steps**2) / 2)) if len(steps) else float(rows.profile.std())
    response = _response(rows, begins, prior, max(sigma, _EPS))
    without = rows.profile - rows.setpoint @ response.T
    errors = [_missed(without, weight, ahead) for weight in WEIGHTS]
    weight = WEIGHTS[int(np.argmin([np.mean(error**2) for error in errors]))]
    followed = _followed(without, weight)
    last = without[-1] - followed[-2]
    surprise = float(np.sqrt(np.mean(last**2)) / max(sigma, _EPS))
    return Law(response, followed[-1], sigma, weight, surprise)


def _response(rows: Rows, begins: Bools, prior: Prior, sigma: float) -> Floats:
    """Posterior mean of the response from the stretches between moves."""
    count = rows.profile.shape[1]
    mean, start = prior.response(count), np.flatnonzero(begins)
    if len(start) < 2:
        return mean
    length = np.diff(np.r_[start, len(begins)]).astype(np.float64)
    profile = np.add.reduceat(rows.profile, start, axis=0) / length[:, None]
    moved, changed = np.diff(rows.setpoint[start], axis=0), np.diff(profile, axis=0)
    unexplained = changed - moved @ mean.T
    # Besides the runs' scatter the profile itself changes from stretch to stretch; what is left tells how much at most.
    scatter = sigma**2 * (1 / length[1:] + 1 / length[:-1])
    certain = 1 / np.maximum(scatter, np.mean(unexplained**2))
    band = np.maximum(prior.band(count), _FAR * prior.gain) * prior.uncertainty
    precision = np.zeros((count, count, count))
    precision[:, np.arange(count), np.arange(count)] = 1 / band**2
    gram = precision + (moved * certain[:, None]).T @ moved
    pull = ((moved * certain[:, None]).T @ unexplained).T
    found = mean + np.linalg.solve(gram, pull[:, :, None])[:, :, 0]
    shared: Floats = found - found.mean(axis=0)
    return shared


def _followed(values: Floats, weight: float) -> Floats:
    """Exponentially weighted mean after each run, from the first one on."""
    found: Floats = lfilter([weight], [1, weight - 1], values, axis=0, zi=values[:1] * (1 - weight))[0]
    return found


def _missed(values: Floats, weight: float, ahead: int) -> Floats:
    """How far runs lay from the mean so many runs before; the first runs, which only begin it, left out."""
    begun = len(values) // 3
    missed: Floats = values[begun + ahead :] - _followed(values, weight)[begun:-ahead]
    return missed


def advise(law: Law | None, setpoint: Floats, bounds: Bounds, *, min_gain: float, outlier_sigma: float) -> Advice:
    """The moves that even the next run's profile out.

    Args:
        law: of the machine; None where it is not known.
        setpoint: of each actuator now, shape (k,).
        bounds: what no move may cross.
        min_gain: share of the expected spread that the moves must take away.
        outlier_sigma: surprise of the newest run from which on nothing is moved: rather a gauge's fault than the die's.
    """
    if law is None:
        unknown = np.full(len(setpoint), np.nan)
        return Advice("too_few", setpoint, unknown, unknown)
    expected = law.level + law.response @ setpoint
    expected = expected - expected.mean()
    still = Advice("on_target", setpoint, expected, expected)
    if law.surprise > outlier_sigma:
        return _because(still, "unstable")
    if not np.any(bounds.reach > 0):
        return _because(still, "wait")
    ridge = (law.sigma / max(bounds.high - bounds.low, _EPS)) ** 2
    move = _settled(_planned(expected, law.response, setpoint, bounds, ridge), setpoint, bounds)
    after = expected + law.response @ move
    wanted_spread = expected.std() * (1 - min_gain)
    if after.std() >= wanted_spread:
        wanted = _planned(expected, law.response, setpoint, _unlimited(bounds), ridge)
        could = (expected + law.response @ wanted).std() < wanted_spread
        return _because(still, "at_limit" if could else "on_target")
    return Advice("move", np.round(setpoint + move, 10), expected, after)


def _because(still: Advice, reason: Reason) -> Advice:
    return Advice(reason, still.proposed, still.expected, still.after)


def _unlimited(bounds: Bounds) -> Bounds:
    """The same number of actuators without any limit."""
    count = len(bounds.reach)
    return Bounds(-np.inf, np.inf, np.full(count, np.inf), np.inf, np.inf, bounds.most)


def _planned(expected: Floats, response: Floats, setpoint: Floats, bounds: Bounds, ridge: float) -> Floats:
    """Moves of the best few actuators, shape (k,)."""
    move: Floats = np.zeros(len(setpoint))
    chosen: list[int] = []
    curve = (response**2).sum(axis=0) + ridge
    for _ in range(bounds.most):
        low, high = _room(setpoint + move, setpoint, bounds, bounds.total - float(np.abs(move).sum()))
        slope = response.T @ (expected + response @ move) + ridge * move
        step = np.clip(-slope / curve, low, high)
        taken = -(slope * step + 0.5 * curve * step**2)
        taken[chosen] = 0.0
        best = int(np.argmax(taken))
        if taken[best] <= _EPS:
            break
        move[best] += step[best]
        chosen.append(best)
    return _together(move, chosen, expected, response, setpoint, bounds, ridge)


def _room(now: Floats, setpoint: Floats, bounds: Bounds, left: float) -> tuple[Floats, Floats]:
    """How far each actuator alone may still go down (at most 0) and up (at least 0)."""
    reach = np.minimum(bounds.reach, max(left, 0.0))
    low, high = np.maximum(bounds.low, setpoint - reach), np.minimum(bounds.high, setpoint + reach)
    apart = _apart(setpoint, bounds)
    low[1:], high[1:] = np.maximum(low[1:], now[:-1] - apart), np.minimum(high[1:], now[:-1] + apart)
    low[:-1], high[:-1] = np.maximum(low[:-1], now[1:] - apart), np.minimum(high[:-1], now[1:] + apart)
    return np.minimum(low - now, 0.0), np.maximum(high - now, 0.0)


def _apart(setpoint: Floats, bounds: Bounds) -> Floats:
    """How far neighbours may stand apart: a step less than allowed, which rounding may use; never less than now."""
    found: Floats = np.maximum(bounds.apart - bounds.resolution, np.abs(np.diff(setpoint)))
    return found


def _together(
    move: Floats, chosen: list[int], expected: Floats, response: Floats, setpoint: Floats, bounds: Bounds, ridge: float
) -> Floats:
    """The chosen actuators' best moves together, from those found one by one, which keep every limit."""
    if len(chosen) < 2:
        return move
    of, sign = response[:, chosen], np.sign(move[chosen])
    reach = bounds.reach[chosen]
    most = np.minimum(reach, np.where(sign > 0, bounds.high - setpoint[chosen], setpoint[chosen] - bounds.low))
    # In the direction of its first move a size is at least 0, so that the sum of the moves is linear.
    pairs = np.diff(np.eye(len(setpoint)), axis=0)[:, chosen] * sign
    apart, differ = _apart(setpoint, bounds), np.diff(setpoint)
    limits = [LinearConstraint(pairs, -apart - differ, apart - differ)] if np.isfinite(bounds.apart) else []
    if np.isfinite(bounds.total):
        limits.append(LinearConstraint(np.ones((1, len(chosen))), -np.inf, bounds.total))
    scale = float(expected @ expected) or 1.0

    def cost(size: Floats) -> float:
        left = expected + of @ (sign * size)
        return float(left @ left + ridge * (size @ size)) / scale

    def slope(size: Floats) -> Floats:
        found: Floats = 2 * (sign * (of.T @ (expected + of @ (sign * size))) + ridge * size) / scale
        return found

    start = np.abs(move[chosen])
    found = minimize(cost, start, jac=slope, method="SLSQP", bounds=list(zip(np.zeros(len(chosen)), most, strict=True)),
                     constraints=limits)  # fmt: skip
    is_better = bool(found.success) and cost(found.x) < cost(start)
    together: Floats = np.zeros(len(setpoint))
    together[chosen] = sign * (found.x if is_better else start)
    return together


def _settled(move: Floats, setpoint: Floats, bounds: Bounds) -> Floats:
    """Moves that can be set: whole steps, never further than planned."""
    if bounds.resolution:
        steps = np.floor(np.abs(move) / bounds.resolution + 1e-6)
        move = np.sign(move) * steps * bounds.resolution
    inside = (setpoint + move >= bounds.low - _EPS) & (setpoint + move <= bounds.high + _EPS)
    found: Floats = np.where(inside, move, 0.0)
    return found
