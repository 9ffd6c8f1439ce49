"""What a run-to-run controller could reach at most: by one that knows in hindsight what only time can tell.

It knows the mean deviation, the effect of what is fed and the gain as they truly were over the controlled days; what is
chance of the single run nobody knows before it is made. Once it sets each run anew without any limit, and once it keeps
the limits of moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipelines.optimizers.loop import PRICES, Way
from pipelines.optimizers.run_to_run import Law, Tuning, learn
from pipelines.optimizers.runs import Feed, Floats, Runs

_FOLLOWS_NOTHING = 1e-9  # weight of a controller that knows the offset

Drive = Callable[[Law, Tuning], Floats]
"""Closes the loop with a controller: the true values of the controlled runs."""


def ceilings(
    runs: Runs, feed: Feed, first: int, true: Floats, target: float, dead_time_s: float, drive: Drive
) -> tuple[float, float] | None:
    """Shares of the fixed recipe's deviation that could be taken away, without limits and within them.

    Args:
        runs: all runs with the recipe's set-point; those from `first` on are controlled.
        feed: what they are made of.
        first: number of the first controlled run.
        true: values of the controlled runs with the recipe.
        target: wanted value.
        dead_time_s: see `learn`.
        drive: closes the loop; of the ways to answer the best one counts, also in hindsight.

    Returns:
        None where the runs are too few, or do not even in hindsight tell the gain.
    """
    later = runs.take(np.arange(first, len(runs)))
    law = learn(replace(later, measured=true), feed, dead_time_s=dead_time_s)
    if law is None or not law.is_gain_known:
        return None
    fed = feed.of(later.item) - law.feed_mean
    left = true - np.where(np.isfinite(fed), fed, 0.0) @ law.feed_gain
    ways = (Way(_FOLLOWS_NOTHING, price, looks_ahead, is_fed=True) for price, looks_ahead in PRICES)
    reached = min(_rms(drive(*way.over(law, target, 0.0)) - target) for way in ways)
    still = _rms(true - target)
    return 1 - float(left.std()) / still, 1 - reached / still


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
