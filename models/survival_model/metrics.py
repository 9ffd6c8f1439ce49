"""Figures of predicted lives, each a function of a weight per row so that it can be resampled."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.evaluation.metrics import Metric
from models.scoring.runtime import Array
from models.survival_model.bands import chances
from models.survival_model.censoring import known_weights, within_weights
from models.survival_model.lives import Lives
from models.survival_model.policy import Bill

MAX_PAIRED = 1500  # rows on either side of which all pairs are looked at


def squared_loss(lives: Lives, predicted: Array) -> Array:
    """Squared error per row, weighted for censoring: 0 where the end was not seen."""
    weights = known_weights(lives)
    known = np.where(weights > 0, lives.lower, predicted)
    return np.asarray(weights * (known - predicted) ** 2)


def life_figures(
    lives: Lives, predicted: Array, finished: dict[str, Array], groups: Array, life: dict[str, Any], horizon: float
) -> dict[str, Metric]:
    """All figures but those of the policy.

    Args:
        lives: bounds, capped.
        predicted: answers before they are finished; their order is finer than that of capped ones.
        finished: the predictor's columns.
        groups: life number per row.
        life: the bundle's own part, for its chances at other horizons.
        horizon: of the Brier score.
    """
    value = finished["value"]
    weights = known_weights(lives)
    known = np.where(weights > 0, lives.lower, value)
    error = known - value
    inside = (known >= finished["low"]) & (known <= finished["high"])
    ended, at_horizon = within_weights(lives, horizon)
    _, code, size = np.unique(groups, return_inverse=True, return_counts=True)
    rows_of_life = size[code]
    return {
        "concordance": concordance(lives, predicted, groups),
        "rmse": lambda w: float(np.sqrt(_mean(error**2, weights * w))),
        "mae": lambda w: _mean(np.abs(error), weights * w),
        "brier": lambda w: _mean((finished["probability"] - ended) ** 2, at_horizon * w),
        "integrated_brier": integrated_brier(lives, value, life),
        # Each life weighs the same, as the intervals promise: of a long one there are many rows, all much alike.
        "coverage": lambda w: _mean(inside.astype(np.float64), weights * w / rows_of_life),
        "interval_width": lambda w: _mean(finished["high"] - finished["low"], w),
    }


def _mean(values: Array, weights: Array) -> float:
    total = weights.sum()
    return float(values @ weights / total) if total > 0 else float("nan")


def concordance(lives: Lives, predicted: Array, groups: Array) -> Metric:
    """Share of pairs in the right order: Harrell's index over rows of different lives.

    A pair counts where one life is known to have ended before the other; equal answers count half. Rows of one life
    are no pair: that its later row has less left is no finding. Of many rows seeded samples are paired: one of those
    that can be the earlier of a pair, one of all. Under a cap the former are few among the latter.
    """
    ended, longest = np.isfinite(lives.upper), lives.lower >= np.max(lives.lower, initial=0.0)
    if not (longest & ~ended).any():
        ended &= ~longest
    draw = np.random.default_rng(0)
    a, b = _some(np.flatnonzero(ended), draw), _some(np.arange(len(predicted)), draw)
    upper, later = lives.upper[a][:, None], lives.lower[b][None, :]
    first = (upper <= later) & ((lives.lower[a][:, None] < later) | (upper < lives.upper[b][None, :]))
    first &= groups[a][:, None] != groups[b][None, :]
    own, other = predicted[a][:, None], predicted[b][None, :]
    right = np.where(own < other, 1.0, np.where(own == other, 0.5, 0.0))
    pairs, hits = first.astype(np.float32), (first * right).astype(np.float32)

    def metric(w: Array) -> float:
        left, beside = w[a].astype(np.float32), w[b].astype(np.float32)
        total = float(left @ (pairs @ beside))
        return float(left @ (hits @ beside)) / total if total > 0 else float("nan")

    return metric


def _some(rows: Array, draw: np.random.Generator) -> Array:
    return rows if len(rows) <= MAX_PAIRED else np.sort(draw.choice(rows, MAX_PAIRED, replace=False))


def integrated_brier(lives: Lives, value: Array, life: dict[str, Any]) -> Metric:
    """Brier score averaged over the horizons of the bundle, by the trapezoid rule (Graf et al. 1999)."""
    horizons = np.asarray(life["horizons"])
    chance = chances(life, value)
    parts = [within_weights(lives, float(each)) for each in horizons]

    def metric(w: Array) -> float:
        scores = [_mean((chance[:, place] - ended) ** 2, weights * w) for place, (ended, weights) in enumerate(parts)]
        if len(horizons) == 1:
            return scores[0]
        return float(np.trapezoid(scores, horizons) / (horizons[-1] - horizons[0]))

    return metric


def cost_rate(bill: Bill, first_rows: Array, n_rows: int) -> Metric:
    """Cost per unit of life of a policy; a life weighs as its first row does."""

    def metric(w: Array) -> float:
        if len(w) != n_rows:
            raise ValueError("a weight per row")
        own = w[first_rows]
        used = float(bill.used @ own)
        return float(bill.cost @ own) / used if used > 0 else float("nan")

    return metric
