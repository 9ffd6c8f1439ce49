"""Intervals with a promise: residuals of groups the model had not seen, kept as two numbers in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.scoring.runtime import Array
from models.spec import Task

TAIL_RATES = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Shares of rows beyond one end, for which widths are kept: a limit may ask for less risk than the interval runs."""


def effective_rows(score: Array, codes: Array, sizes: Array) -> float:
    """How many independent rows the scores are worth: rows over the design effect 1 + (m - 1) ICC.

    The intraclass correlation ICC is estimated by one-way analysis of variance (Kish 1965), m is the mean group size.

    Args:
        score: conformity score per row.
        codes: group number per row, from 0.
        sizes: rows per group.

    Returns:
        Between the number of groups (rows of a group all alike) and the number of rows (groups do not matter).
    """
    rows, groups = len(score), len(sizes)
    if groups < 2 or rows == groups:
        return float(rows)
    means = np.bincount(codes, weights=score) / sizes
    between = float((sizes * (means - score.mean()) ** 2).sum()) / (groups - 1)
    within = float(((score - means[codes]) ** 2).sum()) / (rows - groups)
    typical = (rows - float((sizes**2).sum()) / rows) / (groups - 1)
    total = between + (typical - 1) * within
    correlation = float(np.clip((between - within) / total, 0, 1)) if total > 0 else 0.0
    return float(max(groups, rows / (1 + (rows / groups - 1) * correlation)))


def fit_interval(task: Task, predicted: Array, y: Array, groups: Array, coverage: float) -> dict[str, Any]:
    """Half-widths added to a prediction (or to its outer quantiles).

    Each group weighs the same, whatever its size, so the promise is for a row of a new group (pooled conformal
    prediction for clustered data: Dunn, Wasserman and Ramdas 2022; conformalised quantiles: Romano et al. 2019).
    The finite-sample correction counts effective rows, not groups, or few groups would make it far too wide.

    Args:
        task: regression or quantile.
        predicted: out-of-fold values (n,) or quantiles (n, 3).
        y: labels.
        groups: group number per row.
        coverage: wanted share of rows inside, in (0, 1).

    Returns:
        `below` and `above` in the target's unit; the `coverage` promised, the `groups` seen, the `design_effect`: how
        many rows are worth one independent row, at least 1; and `tails`, see `tail_width`.
    """
    is_quantile = task == "quantile"
    low, high = (predicted[:, 0] - y, y - predicted[:, 2]) if is_quantile else (predicted - y, y - predicted)
    score = np.maximum(low, high)
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    worth = effective_rows(score, codes, sizes)
    width = _widths(score, codes, sizes, worth, [coverage])[0]
    levels = [1 - rate for rate in TAIL_RATES]
    return {
        "below": width,
        "above": width,
        "coverage": coverage,
        "groups": len(sizes),
        "design_effect": len(score) / worth,
        "tails": {
            "rate": list(TAIL_RATES),
            "below": _widths(low, codes, sizes, worth, levels),
            "above": _widths(high, codes, sizes, worth, levels),
        },
    }


def _widths(score: Array, codes: Array, sizes: Array, worth: float, levels: Sequence[float]) -> list[float]:
    """Conformal quantiles of scores; with too few rows to promise a level, the largest score is all there is."""
    order = np.argsort(score, kind="stable")
    reached = np.cumsum(1.0 / sizes[codes][order]) / len(sizes) * worth / (worth + 1)
    places = np.minimum(np.searchsorted(reached, levels), len(score) - 1)
    return [float(width) for width in score[order][places]]


def tail_width(interval: Mapping[str, Any], rate: float, end: str) -> float | None:
    """What is added to one end of a prediction so that no more than a share of rows lies beyond it.

    Args:
        interval: of the bundle.
        rate: that share; of the kept ones the next smaller is taken.
        end: `above` or `below`.

    Returns:
        In the target's unit; None where the version keeps no width for so small a share.
    """
    tails = interval.get("tails")
    kept = [] if tails is None else [width for own, width in zip(tails["rate"], tails[end], strict=True) if own <= rate]
    return float(kept[0]) if kept else None
