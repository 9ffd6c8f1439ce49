"""Run-to-run control: hold a measured quantity on target by moving a set-point from run to run.

The plant is taken to be linear in what is moved and in what is fed,

    y = level + gain (u - u0) + feed_gain . (d - d0) + offset,

and the offset is what slowly changes. An exponentially weighted mean of what the model left unexplained follows it
(Ingolfsson and Sachs 1993); a second one, of how far each run missed the first, follows a drift (Butler and Stefani
1994). What is fed is measured before the run and taken into account at once. The set-point that would bring the next
run onto its target is approached within the limits of a move. Where what is fed differs from run to run and moves are
few, the runs of a day ahead are looked at together: see `lookahead`.

With a true gain of `ratio` times the one believed, a single mean and no limit in the way, the deviation dies away if

    |1 - weight| + weight |ratio - 1| < 1,   that is 0 < ratio < 2,

whatever the dead time: the model takes its own moves out of what it sees, so that only its error comes round the loop,
and the loop's gain stays below one. Without dead time 0 < weight * ratio < 2 is enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipelines.optimizers.lookahead import Able, plan
from pipelines.optimizers.runs import Feed, Floats, Ints, Moves, Runs, next_items

MIN_RUNS = 30
HOUR_S, DAY_S = 3600.0, 86400.0
_EPS = 1e-9
_MOST_AHEAD = 4
_MOST_PLANNED = 48

Reason = Literal[
    "move",
    "on_target",
    "at_limit",
    "later",
    "wait",
    "stale",
    "unstable",
    "stuck",
    "gain_unknown",
    "setpoint_unknown",
    "no_benefit",
]


@dataclass(frozen=True)
class Law:
    """The linear model of one machine.

    Attributes:
        gain: units of the measured quantity per unit of the set-point; `gain_low` and `gain_high` its 95 % interval.
        level: measured quantity at `moved_mean` and `feed_mean`.
        moved_mean: manipulated quantity, as measured, around which the model stands.
        bias: how far the manipulated quantity, as measured, lies above its set-point; `bias_sd` from run to run.
        feed_gain: units of the measured quantity per unit of each disturbance, shape (k,); zeros where none is used.
        feed_mean: disturbances around which the model stands, shape (k,).
        sigma: standard deviation of a run around the model.
        per_item: runs that are usually made of an item of the feed.
        cycle_s: usual time from the end of a run to the end of the next one.
        dead_time_s: by how much earlier than its end a run is decided on.
    """

    gain: float
    gain_low: float
    gain_high: float
    level: float
    moved_mean: float
    bias: float
    bias_sd: float
    feed_gain: Floats
    feed_mean: Floats
    sigma: float
    per_item: int
    cycle_s: float
    dead_time_s: float

    @property
    def is_gain_known(self) -> bool:
        """Whether the loop converges wherever in its interval the gain lies: within (0, 2) times the one believed."""
        ends = sorted((self.gain_low / self.gain, self.gain_high / self.gain)) if self.gain else [0.0, 0.0]
        return bool(np.isfinite(ends).all()) and ends[0] > 0 and ends[1] < 2

    @property
    def runs_a_day(self) -> int:
        """Usual runs of a day, within which moves are counted; of short runs no more than can be planned at once."""
        return min(max(round(DAY_S / self.cycle_s), 1), _MOST_PLANNED)

    def without_feed(self) -> Law:
        """The same machine when nobody looks at what is fed."""
        return replace(self, feed_gain=np.zeros_like(self.feed_gain))


@dataclass(frozen=True)
class Tuning:
    """How the controller answers.

    Attributes:
        target: wanted value of the measured quantity.
        weight: of the newest run in the mean that follows the offset, above 0 up to 1.
        drift_weight: of the newest run in the mean that follows the drift, 0 (no drift) up to 1.
        price: what a move must take off the squared deviations expected of the runs ahead, in the unit's square.
        ahead: runs that are looked at together; 1: the next one alone, as if each run could have a move.
    """

    target: float
    weight: float
    drift_weight: float = 0.0
    price: float = 0.0
    ahead: int = 1


@dataclass(frozen=True)
class Guards:
    """What no move may cross, and when there is none.

    Attributes:
        low: smallest set-point.
        high: largest set-point.
        step: largest single move.
        rate_per_h: largest sum of moves within an hour.
        resolution: smallest step that the line can set; 0 for any.
        cooldown_s: least time between two moves.
        moves_per_day: moves within 24 h at most.
        max_age_s: age of the newest known run from which on nothing is moved.
        outlier_sigma: standard deviations from which on nothing is moved: of the newest run from what was expected,
            rather a fault of gauge or machine than an offset; and of what is moved from where its set-point would have
            it, for then somebody else moved it.
        stuck_runs: so many runs in a row with the very same measured value are a gauge that hangs.
    """

    low: float
    high: float
    step: float
    rate_per_h: float
    resolution: float = 0.0
    cooldown_s: float = 0.0
    moves_per_day: int = 1_000_000
    max_age_s: float = np.inf
    outlier_sigma: float = 5.0
    stuck_runs: int = 5


@dataclass(frozen=True)
class Advice:
    """What the controller says of the next run.

    Attributes:
        setpoint: set-point in force now.
        proposed: set-point for the next run; the same where nothing is moved.
        wanted: set-point that would bring the next run onto its target, were there no limits; NaN without a model.
        expected: the next run's measured quantity if nothing is moved; NaN without a model.
        offset: estimate of the offset, in the unit of the measured quantity.
        reason: `move`, or why there is none or no larger one.
        item: row of the feed that the next run is expected to be made of; -1 for none.
    """

    setpoint: float
    proposed: float
    wanted: float
    expected: float
    offset: float
    reason: Reason
    item: int = -1


def learn(runs: Runs, feed: Feed, *, given_gain: float | None = None, dead_time_s: float = 0.0) -> Law | None:
    """Learn the linear model from the scatter of past runs, by ordinary least squares.

    Args:
        runs: past runs of the machine.
        feed: what they were made of.
        given_gain: gain known from elsewhere; only the rest is learnt then.
        dead_time_s: by how much earlier than its end a run is decided on.

    Returns:
        The model; None with fewer than `MIN_RUNS` runs in which everything was measured.
    """
    fed = feed.of(runs.item)
    rows = np.isfinite(runs.measured) & np.isfinite(runs.moved) & np.isfinite(fed).all(axis=1)
    if np.count_nonzero(rows) < MIN_RUNS:
        return None
    y, u, d = runs.measured[rows], runs.moved[rows], fed[rows]
    u_mean, d_mean = float(u.mean()), d.mean(axis=0)
    moved = (u - u_mean)[:, None]
    known = y - given_gain * moved[:, 0] if given_gain is not None else y
    x = np.hstack([np.ones((len(y), 1)), d - d_mean, *([] if given_gain is not None else [moved])])
    found, _, rank, _ = np.linalg.lstsq(x, known, rcond=None)
    left = known - x @ found
    sigma = float(np.sqrt(left @ left / max(len(y) - x.shape[1], 1)))
    if given_gain is not None:
        gain, low, high = given_gain, given_gain, given_gain
    elif rank < x.shape[1]:
        gain, low, high = 0.0, 0.0, 0.0
    else:
        gain = float(found[-1])
        half = _t975(len(y) - x.shape[1]) * sigma * float(np.sqrt(np.linalg.inv(x.T @ x)[-1, -1]))
        low, high = gain - half, gain + half
    shift = (runs.moved - runs.setpoint)[rows]
    return Law(
        gain, low, high, float(found[0]), u_mean, float(shift.mean()), float(shift.std(ddof=1)),
        found[1 : 1 + d.shape[1]], d_mean, sigma, _per_item(runs),
        float(np.median(np.diff(runs.at_s))), dead_time_s,
    )  # fmt: skip


def _t975(freedom: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.975, freedom))


def _per_item(runs: Runs) -> int:
    """Runs that are usually made of an item; the first and the last may be cut."""
    items, counts = np.unique(runs.item[runs.item >= 0], return_counts=True)
    return int(np.median(counts[1:-1])) if len(items) > 2 else 1


@dataclass(frozen=True)
class State:
    """What the runs so far tell: the offset expected of the next one, how far the newest one missed, and the bias."""

    offset: float
    missed: float
    bias: float


def estimate(law: Law, tuning: Tuning, runs: Runs, feed: Feed) -> State:
    """Follow the offset over the runs; a disturbance that was not measured counts as usual."""
    left = runs.measured - law.level - law.gain * (runs.moved - law.moved_mean)
    left = left - _fed(law, feed.of(runs.item))
    left = left[np.isfinite(left)]
    if not len(left):
        return State(0.0, 0.0, law.bias)
    mean = _ewma(left, tuning.weight, 0.0)
    missed = left - np.concatenate([[0.0], mean[:-1]])
    drift = _ewma(missed, tuning.drift_weight, 0.0)[-1] if tuning.drift_weight else 0.0
    shift = (runs.moved - runs.setpoint)[np.isfinite(runs.moved - runs.setpoint)]
    bias = float(_ewma(shift, tuning.weight, law.bias)[-1]) if len(shift) else law.bias
    return State(float(mean[-1] + drift), float(missed[-1]), bias)


def _fed(law: Law, values: Floats) -> Floats:
    deviation = np.where(np.isfinite(values), values - law.feed_mean, 0.0)
    fed: Floats = deviation @ law.feed_gain
    return fed


def _ewma(values: Floats, weight: float, start: float) -> Floats:
    """Exponentially weighted mean after each value, begun at `start`."""
    from scipy.signal import lfilter

    means, _ = lfilter([weight], [1.0, weight - 1.0], values, zi=[(1.0 - weight) * start])
    found: Floats = means
    return found


def decide(
    law: Law | None, tuning: Tuning, guards: Guards, now_s: float, runs: Runs, feed: Feed, moves: Moves, setpoint: float
) -> Advice:
    """What to set for the next run, from what is known by `now_s` and nothing later.

    Args:
        law: the model; None where there is not enough to learn one from.
        tuning: how to answer.
        guards: what no move may cross.
        now_s: the moment of the decision.
        runs: runs of the machine; those known later are left out here.
        feed: what feeds the machine; what is known later is left out here.
        moves: moves so far.
        setpoint: set-point in force; NaN where nobody knows it.

    Returns:
        The advice. A set-point outside its limits, as after a plan was tightened, is only moved towards them.
    """
    seen = runs.take(runs.known_s <= now_s)
    seen = seen.take(np.isfinite(seen.measured))
    if law is None or not law.is_gain_known:
        return Advice(setpoint, setpoint, np.nan, np.nan, 0.0, "gain_unknown")
    if not np.isfinite(setpoint):
        return Advice(setpoint, setpoint, np.nan, np.nan, 0.0, "setpoint_unknown")
    state = estimate(law, tuning, seen, feed)
    items = _ahead(law, now_s, seen, feed, tuning.ahead)
    expected = (
        law.level + law.gain * (setpoint + state.bias - law.moved_mean) + _fed(law, feed.of(items)) + state.offset
    )
    off = expected - tuning.target
    wanted = setpoint - float(off[0]) / law.gain
    hold = Advice(setpoint, setpoint, wanted, float(expected[0]), state.offset, "on_target", int(items[0]))
    if (why := _interlock(law, tuning, guards, now_s, seen, state)) is not None:
        return replace(hold, reason=why)
    reach = reach_of(guards, now_s, moves)
    if reach <= 0:
        return replace(hold, reason="wait")
    able = _able(law, guards, setpoint, reach, moves_left(guards, now_s, moves))
    if guards.low <= setpoint <= guards.high:
        found = plan(off, law.gain, tuning.price, able)
        move, most = found.move, found.most
    else:
        move, most = float(able.now(np.array([wanted - setpoint]))[0]), np.inf
    if move == 0:
        return replace(hold, reason=_unmoved(most, off, law, able))
    return replace(hold, proposed=float(np.round(setpoint + move, 10)), reason="move")


def _able(law: Law, guards: Guards, setpoint: float, reach: float, left: int) -> Able:
    """What may be set now and later, from the set-point in force."""

    def later(first: Floats, wanted: Floats) -> Floats:
        return settable(setpoint + first, wanted, guards.step, guards)

    gap = int(np.ceil(guards.cooldown_s / law.cycle_s))
    return Able(lambda wanted: settable(np.array(setpoint), wanted, reach, guards), later, max(gap, 1), left)


def _unmoved(most: float, off: Floats, law: Law, able: Able) -> Reason:
    """Why nothing is moved now: none is worth it, none can be made, or one is worth more later."""
    if most <= 0:
        return "on_target"
    return "later" if able.now(-off[:1] / law.gain)[0] != 0 else "at_limit"


def _ahead(law: Law, now_s: float, seen: Runs, feed: Feed, count: int) -> Ints:
    """Items of the runs ahead, the one decided on first; -1 also where so many may have gone by that nobody can tell.

    That run ends a dead time from now: how many lie between the newest known one and it follows from the usual cycle.
    """
    if not len(seen):
        return np.full(count, -1)
    ahead = round((now_s + law.dead_time_s - float(seen.at_s[-1])) / law.cycle_s)
    if ahead > _MOST_AHEAD:
        return np.full(count, -1)
    return next_items(seen, feed, now_s, ahead=max(ahead, 1), per_item=law.per_item, count=count)


def _interlock(law: Law, tuning: Tuning, guards: Guards, now_s: float, seen: Runs, state: State) -> Reason | None:
    """Why nothing may be moved now; None where nothing stands against it."""
    if not len(seen) or now_s - seen.at_s[-1] > guards.max_age_s:
        return "stale"
    last = seen.measured[-guards.stuck_runs :]
    if len(last) == guards.stuck_runs and np.all(last == last[0]):
        return "stuck"
    if abs(state.missed) > guards.outlier_sigma * law.sigma:
        return "unstable"
    # The standard error of an exponentially weighted mean, after Lucas and Saccucci (1990).
    spread = law.bias_sd * float(np.sqrt(tuning.weight / (2 - tuning.weight)))
    return "setpoint_unknown" if abs(state.bias - law.bias) > guards.outlier_sigma * spread else None


def moves_left(guards: Guards, now_s: float, moves: Moves) -> int:
    """How many moves may still be made within the day."""
    return guards.moves_per_day - int(np.count_nonzero(moves.at_s > now_s - DAY_S))


def reach_of(guards: Guards, now_s: float, moves: Moves) -> float:
    """How far the set-point may be moved now, in either direction; 0 while it has to wait."""
    if moves_left(guards, now_s, moves) <= 0:
        return 0.0
    if np.any(moves.at_s > now_s - guards.cooldown_s):
        return 0.0
    spent = float(np.abs(moves.size[moves.at_s > now_s - HOUR_S]).sum())
    return min(guards.step, guards.rate_per_h - spent)


def settable(setpoint: Floats, wanted: Floats, reach: float, guards: Guards) -> Floats:
    """Moves nearest to the wanted ones, within reach and limits, that the line can set; all broadcast together."""
    low, high, unit = guards.low, guards.high, guards.resolution
    found: Floats = np.clip(np.clip(setpoint + wanted, low, high) - setpoint, -reach, reach)
    if unit:
        found = np.floor(np.abs(found) / unit + _EPS) * np.sign(found) * unit
    # From outside its limits a step of the resolution may lead past the nearer one; then it waits for a larger move.
    proposed = np.round(setpoint + found, 10)
    fits = ((low <= proposed) & (proposed <= high)) | ~((low <= setpoint) & (setpoint <= high))
    return np.where(fits, found, 0.0)
