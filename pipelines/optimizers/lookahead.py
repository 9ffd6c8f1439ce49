"""Where moves are few, which one is worth it now: the runs ahead are looked at together.

A move stays in force until the next one. With the deviations that are expected of the next n runs, the cost of a plan
is the sum of their squares and a price for each move. Looked at are plans of at most two moves: one now or none, and
one later or none, before any of the runs; the sums over runs before and from there on tell the best size of either.
Only the first move is carried out, and the next run is planned anew (receding horizon).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.optimizers.runs import Floats

_EPS = 1e-12


@dataclass(frozen=True)
class Able:
    """What can be set.

    Attributes:
        now: moves that are wanted now, shape (m,), to those that can be made.
        later: the same of a second move; moves made before it, and those wanted.
        gap: runs between two moves at least.
        moves: that may still be made, at least 1; a second one is planned where there are more.
    """

    now: Callable[[Floats], Floats]
    later: Callable[[Floats, Floats], Floats]
    gap: int = 1
    moves: int = 2


@dataclass(frozen=True)
class Plan:
    """The best plan.

    Attributes:
        move: to be made now; 0 for none.
        saving: what it takes off the cost.
        most: what a move without any limit would take off it.
    """

    move: float
    saving: float
    most: float


def plan(off: Floats, gain: float, price: float, able: Able) -> Plan:
    """The best plan for the runs ahead.

    Args:
        off: deviations from target that are expected of them without a move, shape (n,), n at least 1.
        gain: by how much a deviation rises with a unit of the set-point, not 0.
        price: what a move must take off the sum of their squares.
        able: what can be set.
    """
    count = len(off)
    until: Floats = np.arange(1, count + 1, dtype=np.float64)
    before = np.cumsum(off)
    after = before[-1] - before
    ideal = -before / until / gain
    wanted = np.append(ideal, 0.0)
    first = np.unique(np.append(able.now(wanted), 0.0))[:, None]
    rest = count - until
    second = able.later(first, -(after / np.maximum(rest, 1)) / gain - first)
    second = np.where((rest > 0) & (until >= able.gap), second, 0.0)
    if able.moves < 2:
        second = np.where(first != 0, 0.0, second)
    cost = _added(gain * first, before, until) + _added(gain * (first + second), after, rest)
    cost = cost + price * ((first != 0).astype(float) + (second != 0))
    best = np.unravel_index(int(np.argmin(cost)), cost.shape)
    freely = float(np.max(before**2 / until)) - price
    return Plan(float(first[best[0], 0]), max(-float(cost[best]), 0.0), freely)


def _added(shift: Floats, total: Floats, count: Floats) -> Floats:
    """What a shift of some deviations adds to the sum of their squares, from their sum and their number."""
    found: Floats = 2 * shift * total + shift**2 * count
    return found
