"""Limits from a budget of alarms: what a crew is willing to look at, not a probability that nobody can picture.

An excursion that lasts is one alarm, so what counts are the largest scores of blocks as long as the hold-off. Their
upper tail is a generalised Pareto distribution over a high threshold (Pickands 1975; Balkema and de Haan 1974), and
the limit is the level that it passes as often as the budget allows. A reference shorter than the budget's period is
thus extrapolated, a longer one is all but counted out.
"""

from __future__ import annotations

import numpy as np

from models.anomaly_detector.runtime import Array

WEEK_S = 7 * 86_400.0
_HEAVIEST = 0.5  # shape of the tail at most: beyond it the variance has no end, and no reference tells so
_SHAPED = 20  # excesses from which a shape is told from an exponential tail
_FEWEST = 3
_MOST_BLOCKS = 0.5  # share of the blocks that may alarm, whatever the budget: a light that is mostly on tells nothing


def block_maxima(score: Array, time_s: Array, entity: Array, hold_off_s: float) -> Array:
    """Largest score of each block of an entity's time; every row by itself without a hold-off.

    Args:
        score: scores (rows,), unknown as NaN.
        time_s: seconds (rows,), in any order.
        entity: number of the entity (rows,).
        hold_off_s: length of a block in seconds, 0 for none.
    """
    known = np.isfinite(score)
    if not hold_off_s:
        return np.asarray(score[known])
    if not known.any():
        return np.zeros(0)
    block = np.floor(time_s[known] / hold_off_s).astype(np.int64)
    block -= block.min()
    _, place = np.unique(entity[known].astype(np.int64) * (block.max() + 1) + block, return_inverse=True)
    out = np.full(place.max() + 1, -np.inf)
    np.maximum.at(out, place, score[known])
    return out


def level(maxima: Array, chance: float) -> float:
    """Level that a block's largest score passes with a chance.

    The excesses over a threshold have the generalised Pareto tail; scale and shape follow from their median and upper
    quartile (Pickands), which a few true failures in the reference do not move.

    Args:
        maxima: largest score of each block (blocks,).
        chance: in (0, 1) by block.

    Returns:
        The level; infinite where the blocks are too few to tell.
    """
    count = min(len(maxima) // 2, int(np.ceil(2 * np.sqrt(len(maxima)))))
    if count < _FEWEST:
        return float("inf")
    ordered = np.sort(maxima)
    threshold = float(ordered[-count - 1])
    share = count / len(maxima)
    if chance >= share:
        return float(np.quantile(maxima, 1 - min(chance, 1.0)))
    excess = ordered[-count:] - threshold
    half, quarter = np.quantile(excess, [0.5, 0.75])
    if half <= 0:
        return float(ordered[-1])
    shape = 0.0
    if count >= _SHAPED and quarter > half:
        shape = float(np.clip(np.log2((quarter - half) / half), 0.0, _HEAVIEST))
    scale = half / np.log(2.0) if shape == 0 else half * shape / (2.0**shape - 1.0)
    ratio = share / chance
    beyond = scale * np.log(ratio) if shape == 0 else scale / shape * (ratio**shape - 1.0)
    return threshold + float(beyond)


def chance_of_block(per_week: float, blocks: int, span_s: float) -> float:
    """Chance of an alarm in a block that makes a number of alarms a week, over all blocks of a span of time."""
    return min(per_week * span_s / WEEK_S / max(blocks, 1), _MOST_BLOCKS)
