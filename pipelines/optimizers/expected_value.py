"""Set-points by what they are worth: what a unit costs, beside what is lost where outcomes miss their limits.

What a set-point does to an outcome is learnt from the scatter of past units, by ordinary least squares. Of each effect
only the part counts that is sure: the end of its 95 % interval nearer to nothing. Where the last units would miss a
limit is counted as they were, moved by these effects; nothing is moved to where no unit has been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.optimizers.runs import Floats
from pipelines.optimizers.setpoint_search import Advice, Knob, settable

MIN_UNITS = 300
_TAIL = 0.005
_Z975 = 1.96
_PARTS = (-1.0, -0.5, 0.5, 1.0)


@dataclass(frozen=True)
class Outcome:
    """What may miss a limit.

    Attributes:
        values: measured in past units, shape (n,).
        low: smallest, high: largest value that is no miss.
        usd: what a miss costs.
    """

    values: Floats
    low: float
    high: float
    usd: float

    def lost(self, shift: Floats) -> Floats:
        """US$ a unit if the values were moved, for each of some shifts, shape (m,)."""
        moved = self.values[None] + shift[:, None]
        found: Floats = self.usd * ((moved < self.low) | (moved > self.high)).mean(axis=1)
        return found


def sure_effects(moved: Floats, values: Floats) -> Floats:
    """Effects of set-points on an outcome as far as they are sure, shape (k,): 0 where even the sign is not.

    Args:
        moved: measured set-points of past units, shape (n, k).
        values: of the outcome, shape (n,).
    """
    x = np.column_stack([np.ones(len(values)), moved - moved.mean(axis=0)])
    found, _, rank, _ = np.linalg.lstsq(x, values, rcond=None)
    if rank < x.shape[1]:
        return np.zeros(moved.shape[1])
    left = values - x @ found
    variance = float(left @ left) / (len(values) - x.shape[1])
    half = _Z975 * np.sqrt(variance * np.diag(np.linalg.inv(x.T @ x)))[1:]
    effect = found[1:]
    sure: Floats = np.sign(effect) * np.maximum(np.abs(effect) - half, 0.0)
    return sure


def best_move(
    knobs: Sequence[Knob],
    moved: Floats,
    outcomes: Sequence[Outcome],
    usd_per_unit: Floats,
    *,
    since: Floats,
    min_saving: float = 0.0,
) -> Advice:
    """The one move that saves most.

    Args:
        knobs: the set-points.
        moved: their measured values in past units, shape (n, k).
        outcomes: measured in the same units.
        usd_per_unit: what a unit of each set-point costs, shape (k,).
        since: by how much each set-point was moved since each unit was made, shape (n, k).
        min_saving: US$ a unit that a move must save.

    Returns:
        The advice; its costs are US$ a unit beside the set-points at 0: what is saved is their difference.
    """  # fmt: skip
    now = np.array([knob.setpoint for knob in knobs])
    if len(moved) < MIN_UNITS:
        return Advice("too_few")
    effects = [sure_effects(moved, each.values) for each in outcomes]
    placed = [replace(each, values=each.values + since @ one) for each, one in zip(outcomes, effects, strict=True)]

    def cost(points: Floats) -> Floats:
        total = points @ usd_per_unit
        for each, one in zip(placed, effects, strict=True):
            total = total + each.lost((points - now) @ one)
        found: Floats = total
        return found

    price = float(cost(now[None])[0])
    hold = Advice("at_optimum", cost=price)
    if not any(knob.reach > 0 for knob in knobs):
        return replace(hold, reason="wait")
    low, high = np.quantile(moved, [_TAIL, 1 - _TAIL], axis=0)
    steps = np.array(
        [
            np.where(np.arange(len(now)) == place, value, now)
            for place, knob in enumerate(knobs)
            for value in {settable(knob, part * knob.reach) for part in _PARTS}
            if value != knob.setpoint and low[place] <= value <= high[place]
        ]
    ).reshape(-1, len(now))
    costs = cost(steps)
    if not len(steps) or costs.min() >= price - min_saving:
        return hold
    chosen = steps[np.argmin(costs)]
    knob = int(np.argmax(np.abs(chosen - now)))
    after = float(costs.min())
    return replace(hold, reason="move", knob=knob, proposed=float(chosen[knob]), cost_after=after, cost_best=after)
