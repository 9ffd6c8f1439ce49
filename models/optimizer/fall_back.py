"""Back to the recipe: what a set-point search advises where nothing shows that its limits are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.optimizers.runs import Floats
from pipelines.optimizers.setpoint_search import Advice, Cost, Knob, settable

UNSHOWN = ("no_model", "too_few", "effect_unknown", "unsafe")
"""Reasons of a search that found no way to show that its limits are kept."""


def towards_recipe(advice: Advice, knobs: Sequence[Knob], nominal: Floats, cost: Cost) -> Advice | None:
    """One step, as far as the plan allows now, of the set-point that is furthest from the recipe in its own range.

    Args:
        advice: of the search, without a move.
        knobs: the set-points.
        nominal: the recipe's values, shape (k,).
        cost: of set-points.

    Returns:
        None where all stand at the recipe's value, or none may be moved now.
    """
    now = np.array([knob.setpoint for knob in knobs])
    after = np.array([_step(knob, float(value)) for knob, value in zip(knobs, nominal, strict=True)])
    if (after == now).all():
        return None
    wide = np.array([max(knob.high - knob.low, 1e-9) for knob in knobs])
    chosen = int(np.argmax(np.where(after == now, -1.0, np.abs(nominal - now) / wide)))
    point = np.where(np.arange(len(now)) == chosen, after, now)
    before_after = [float(value) for value in cost(np.array([now, point]))]
    return replace(advice, knob=chosen, proposed=float(after[chosen]), cost=before_after[0], cost_after=before_after[1])


def _step(knob: Knob, nominal: float) -> float:
    """The set-point after the longest allowed move that does not pass the recipe's value."""
    return settable(knob, float(np.clip(nominal - knob.setpoint, -knob.reach, knob.reach)))
