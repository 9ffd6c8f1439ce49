"""Weights that make up for lives whose end was not seen: inverse probability of censoring.

Of long lives fewer are seen to end than of short ones, so those that are seen to stand for those that are not (Graf,
Schmoor, Sauerbrei and Schumacher 1999 for the Brier score). The distribution of censoring is Kaplan and Meier's.
"""

from __future__ import annotations

import numpy as np

from models.scoring.runtime import Array
from models.survival_model.lives import Lives

_LEAST = 0.05  # below this share still under watch a weight would be a guess, so it is held


def still_watched(lives: Lives, at: Array) -> Array:
    """Share of the rows that were not lost from sight just before each of some lives, in [0.05, 1]."""
    from scipy.stats import CensoredData, ecdf

    lost = np.isinf(lives.upper)
    if not lost.any():
        return np.ones(len(at))
    watched = ecdf(CensoredData(uncensored=lives.lower[lost], right=lives.lower[~lost])).sf
    before = np.searchsorted(watched.quantiles, at, side="left") - 1
    return np.maximum(np.where(before < 0, 1.0, watched.probabilities[before]), _LEAST)


def known_weights(lives: Lives) -> Array:
    """Weight per row: of a life whose end is known one over the share still watched then, of any other 0."""
    return np.where(lives.is_exact, 1.0 / still_watched(lives, lives.lower), 0.0)


def within_weights(lives: Lives, horizon: float) -> tuple[Array, Array]:
    """Whether each life ends within a horizon, and the weight of that knowledge; 0 where it is not known."""
    ended = lives.upper <= horizon
    goes_on = lives.lower > horizon
    at_end = 1.0 / still_watched(lives, np.where(ended, lives.lower, 0.0))
    at_horizon = 1.0 / still_watched(lives, np.full(len(lives.lower), horizon))
    return ended.astype(np.float64), np.where(ended, at_end, np.where(goes_on, at_horizon, 0.0))
