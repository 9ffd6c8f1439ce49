"""Constrained set-point search: the cheapest set-points whose predicted quantities keep their limits.

What quantities become is asked of callables, as upper or lower ends of their prediction intervals. Three things keep a
model honest that was only ever fitted:

- Trust region: the last runs, shifted by the move, must lie within what was seen, set-point by set-point and together
  (Mahalanobis distance). Nothing is extrapolated; the region grows as moved runs are learnt from.
- Known signs: where it is known in which direction a set-point acts, the bound is made monotone in it, always towards
  the cautious side, and a set-point whose known effect the model does not show is not moved at all.
- One move at a time: of the way to the cheapest safe set-points only one step of one set-point is advised, the one that
  saves most, so that its effect can be seen before the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from pipelines.optimizers.runs import Bools, Floats

MIN_ROWS, MIN_SEEN = 10, 50
_LEVELS = 9  # of each set-point between the ends of what is trusted
_TAIL = 0.005  # share of what was seen that lies beyond either end of the trust region
_TRUSTED = 0.8  # share of the last runs that a move must leave within it
_MIN_RESPONSE = 0.15  # known effect over what was seen, in halves of the prediction interval, to count as shown
_EPS = 1e-9

Cost = Callable[[Floats], Floats]
"""Set-points, shape (m, k), to what each costs, shape (m,)."""

Reason = Literal["move", "restore", "at_optimum", "unsafe", "wait", "too_few", "effect_unknown"]


@dataclass(frozen=True)
class Knob:
    """A set-point that may be moved.

    Attributes:
        setpoint: in force now.
        low: smallest, high: largest value that the plan allows.
        reach: how far it may be moved now, in either direction; 0 where it has to wait.
        resolution: smallest step that the line can set; 0 for any.
    """

    setpoint: float
    low: float
    high: float
    reach: float
    resolution: float = 0.0


@dataclass(frozen=True)
class Limit:
    """A limit that a predicted quantity must keep.

    Attributes:
        name: of the quantity.
        at: the limit, in its unit.
        is_upper: whether the quantity must stay below it.
        bound: end of the prediction interval on that side, from measured set-points (m, n, k) of n last runs to (m, n).
        half_width: usual distance from the prediction to that end, in its unit.
        signs: of each set-point's known effect on the quantity: -1, 0 (not known) or 1.
    """

    name: str
    at: float
    is_upper: bool
    bound: Callable[[Floats], Floats]
    half_width: float
    signs: tuple[int, ...]


@dataclass(frozen=True)
class Advice:
    """What the search says.

    Attributes:
        reason: `move` (cheaper), `restore` (towards the limits), or why there is no move.
        knob: position of the set-point that is moved; -1 for none.
        proposed: its new value; NaN for none.
        cost: now. cost_after: after the move. cost_best: at the cheapest set-points that can be trusted; NaN for none.
        expected: of each limit, the bound that `share` of the last runs would keep after the move.
        best: cheapest trusted set-points, shape (k,).
    """

    reason: Reason
    knob: int = -1
    proposed: float = float("nan")
    cost: float = float("nan")
    cost_after: float = float("nan")
    cost_best: float = float("nan")
    expected: tuple[float, ...] = ()
    best: tuple[float, ...] = ()


class Trust:
    """The region that was seen: the middle of each measured set-point's values, and their joint distance.

    Args:
        seen: measured set-points of past runs, shape (h, k), at least `MIN_SEEN` of them.
    """

    def __init__(self, seen: Floats) -> None:
        self.low, self.high = np.quantile(seen, [_TAIL, 1 - _TAIL], axis=0)
        self._mean = seen.mean(axis=0)
        spread = np.atleast_2d(np.cov(seen, rowvar=False))
        self._inverse = np.linalg.pinv(spread)
        self._reach = float(np.quantile(self._distance(seen), 1 - 2 * _TAIL))

    def _distance(self, values: Floats) -> Floats:
        off = values - self._mean
        found: Floats = np.einsum("...i,ij,...j->...", off, self._inverse, off)
        return found

    def holds(self, values: Floats) -> Bools:
        """Which of some measured set-points, shape (..., k), lie within."""
        inside: Bools = ((values >= self.low - _EPS) & (values <= self.high + _EPS)).all(axis=-1)
        held: Bools = inside & (self._distance(values) <= self._reach + _EPS)
        return held


def search(
    knobs: Sequence[Knob],
    rows: Floats,
    seen: Floats,
    limits: Sequence[Limit],
    cost: Cost,
    *,
    share: float = 0.9,
    min_saving: float = 0.0,
) -> Advice:
    """The next move towards the cheapest set-points that are safe and trusted.

    Args:
        knobs: the set-points.
        rows: their measured values in the last runs, as they would have been at the set-points in force, shape (n, k).
        seen: measured set-points of all runs that the models could learn from, shape (h, k).
        limits: what must be kept, at least one.
        cost: of set-points; the lower the better.
        share: of the last runs that must keep every limit, in (0, 1].
        min_saving: share of the cost that a move must save.
    """
    now = np.array([knob.setpoint for knob in knobs])
    price = float(cost(now[None])[0])
    if len(rows) < MIN_ROWS or len(seen) < MIN_SEEN:
        return Advice("too_few", cost=price)
    space = _Space(knobs, rows, Trust(seen), limits, share)
    free = space.free()
    if not free.any():
        return Advice("effect_unknown", cost=price)
    grid = space.grid(free)
    best = _cheapest(grid[space.safe(grid)], cost)
    hold = Advice("at_optimum", cost=price, expected=space.expected(now))
    if best is not None:
        hold = replace(hold, cost_best=float(cost(best[None])[0]), best=tuple(best.tolist()))
    steps = _steps(knobs, free)
    if not len(steps):
        return replace(hold, reason="wait")
    if not space.safe(now[None])[0]:
        return _restored(space, hold, now, steps, cost)
    cheaper = cost(steps) < price * (1 - min_saving) - _EPS
    chosen = _cheapest(_towards(steps[cheaper & space.safe(steps)], now, best), cost)
    return hold if chosen is None else _moved(space, replace(hold, reason="move"), now, chosen, cost)


def _restored(space: _Space, hold: Advice, now: Floats, steps: Floats, cost: Cost) -> Advice:
    """Set-points in force that break a limit are moved where they break it least, whatever that costs."""
    trusted = steps[space.trusted(steps)]
    excess = space.excess(trusted)
    if not len(trusted) or excess.min() >= space.excess(now[None])[0] - _EPS:
        return replace(hold, reason="unsafe")
    return _moved(space, replace(hold, reason="restore"), now, trusted[np.argmin(excess)], cost)


def _moved(space: _Space, told: Advice, now: Floats, chosen: Floats, cost: Cost) -> Advice:
    knob = int(np.argmax(np.abs(chosen - now)))
    after = float(cost(chosen[None])[0])
    return replace(told, knob=knob, proposed=float(chosen[knob]), cost_after=after, expected=space.expected(chosen))


def _cheapest(points: Floats, cost: Cost) -> Floats | None:
    if not len(points):
        return None
    found: Floats = points[np.argmin(cost(points))]
    return found


def _towards(steps: Floats, now: Floats, best: Floats | None) -> Floats:
    """Of the steps those that do not lead away from the cheapest set-points; all where there are none of them."""
    if best is None:
        return steps
    found: Floats = steps[((steps - now) * (best - now) >= -_EPS).all(axis=1)]
    return found


def _steps(knobs: Sequence[Knob], free: Bools) -> Floats:
    """Set-points after one full or half step of one set-point that the line can set, shape (m, k)."""
    now = np.array([knob.setpoint for knob in knobs])
    found = []
    for place, knob in enumerate(knobs):
        if not free[place]:
            continue
        for part in (-1.0, -0.5, 0.5, 1.0):
            value = settable(knob, part * knob.reach)
            if value != knob.setpoint:
                found.append(np.where(np.arange(len(now)) == place, value, now))
    return np.array(found).reshape(-1, len(now))


def settable(knob: Knob, move: float) -> float:
    """The set-point after a move, cut at its limits and to what the line can set."""
    size = float(np.clip(knob.setpoint + move, knob.low, knob.high)) - knob.setpoint
    if knob.resolution:
        size = float(np.floor(abs(size) / knob.resolution + _EPS) * np.sign(size) * knob.resolution)
    value = float(np.round(knob.setpoint + size, 10))
    return value if knob.low - _EPS <= value <= knob.high + _EPS else knob.setpoint


class _Space:
    """Set-points as the last runs would have met them: which can be trusted, and which keep the limits."""

    def __init__(
        self, knobs: Sequence[Knob], rows: Floats, trust: Trust, limits: Sequence[Limit], share: float
    ) -> None:
        self._knobs, self._rows, self._trust, self._limits, self._share = knobs, rows, trust, limits, share
        self._now = np.array([knob.setpoint for knob in knobs])

    def _shifted(self, points: Floats) -> Floats:
        found: Floats = self._rows[None] + (points - self._now)[:, None]
        return found

    def trusted(self, points: Floats) -> Bools:
        """Where enough of the last runs would lie within what was seen."""
        found: Bools = self._trust.holds(self._shifted(points)).mean(axis=1) >= _TRUSTED - _EPS
        return found

    def _excess(self, limit: Limit, points: Floats) -> Floats:
        """How far beyond the limit the bound lies that `share` of the runs keep, made monotone; up to 0 it is kept."""
        side = 1.0 if limit.is_upper else -1.0
        bound = side * (limit.bound(self._shifted(points)) - limit.at)
        raw: Floats = np.quantile(bound, self._share, axis=1)
        return _monotone(points, raw, side * np.array(limit.signs))

    def excess(self, points: Floats) -> Floats:
        """The worst of the limits, in halves of its interval."""
        if not len(points):
            return np.zeros(0)
        each = [self._excess(limit, points) / max(limit.half_width, _EPS) for limit in self._limits]
        found: Floats = np.max(each, axis=0)
        return found

    def safe(self, points: Floats) -> Bools:
        """Where all limits are kept, and the set-points can be trusted or are those in force."""
        found: Bools = np.zeros(len(points), dtype=bool)
        able = self.trusted(points) | (points == self._now).all(axis=1)
        if able.any():
            found[able] = self.excess(points[able]) <= 0
        return found

    def expected(self, point: Floats) -> tuple[float, ...]:
        """Of each limit, the bound that `share` of the last runs would keep."""
        found = []
        for limit in self._limits:
            side = 1.0 if limit.is_upper else -1.0
            found.append(limit.at + side * float(self._excess(limit, point[None])[0]))
        return tuple(found)

    def span(self, place: int) -> Floats:
        """Values of one set-point that can be trusted while the others stay, ascending."""
        knob = self._knobs[place]
        middle = float(self._rows[:, place].mean()) - knob.setpoint
        low = max(knob.low, float(self._trust.low[place]) - middle)
        high = min(knob.high, float(self._trust.high[place]) - middle)
        levels = np.linspace(low, high, _LEVELS) if low < high else self._now[:0]
        values = np.unique(np.append(levels, knob.setpoint))
        found: Floats = values[self.trusted(self._with(place, values)) | (values == knob.setpoint)]
        return found

    def _with(self, place: int, values: Floats) -> Floats:
        points = np.repeat(self._now[None], len(values), axis=0)
        points[:, place] = values
        return points

    def free(self) -> Bools:
        """Which set-points may be moved: none of their known effects is missing from the models."""
        return np.array([all(self._shows(limit, place) for limit in self._limits) for place in range(len(self._knobs))])

    def _shows(self, limit: Limit, place: int) -> bool:
        sign = limit.signs[place]
        if sign == 0:
            return True
        ends = np.repeat(self._rows[None], 2, axis=0)
        ends[:, :, place] = np.array([self._trust.low[place], self._trust.high[place]])[:, None]
        low, high = limit.bound(ends).mean(axis=1)
        return bool(sign * (high - low) >= _MIN_RESPONSE * limit.half_width)

    def grid(self, free: Bools) -> Floats:
        """All combinations of trusted values of the set-points that may be moved, shape (m, k)."""
        axes = [self.span(place) if free[place] else self._now[[place]] for place in range(len(free))]
        return np.array(list(product(*axes)))


def _monotone(points: Floats, values: Floats, signs: Floats) -> Floats:
    """Values made to rise with every signed coordinate: at least those of all points known to lie no higher.

    Two points compare where they are equal in coordinates without a sign, and one is no further in all the others.
    """
    if not signs.any():
        return values
    signed = points * signs
    no_further = (signed[None] <= signed[:, None] + _EPS).all(axis=2)
    unsigned = points[:, signs == 0]
    alike = (np.abs(unsigned[None] - unsigned[:, None]) <= _EPS).all(axis=2)
    found: Floats = np.where(no_further & alike, values[None], -np.inf).max(axis=1)
    return found
