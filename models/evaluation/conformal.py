"""Intervals with a promise: residuals of groups the model had not seen, kept as two numbers in JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.scoring.runtime import Array
from models.spec import Task


def fit_interval(task: Task, predicted: Array, y: Array, groups: Array, coverage: float) -> dict[str, Any]:
    """Half-widths added to a prediction (or to its outer quantiles).

    Each group weighs the same, whatever its size, so the promise is for a row of a new group (pooled conformal
    prediction for clustered data: Dunn, Wasserman and Ramdas 2022; conformalised quantiles: Romano et al. 2019).

    Args:
        task: regression or quantile.
        predicted: out-of-fold values (n,) or quantiles (n, 3).
        y: labels.
        groups: group number per row.
        coverage: wanted share of rows inside, in (0, 1).

    Returns:
        `below` and `above` in the target's unit; `coverage` and `groups` for the record.
    """
    is_quantile = task == "quantile"
    score = np.maximum(predicted[:, 0] - y, y - predicted[:, 2]) if is_quantile else np.abs(y - predicted)
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weight = 1.0 / sizes[codes]
    order = np.argsort(score, kind="stable")
    reached = np.cumsum(weight[order]) / (len(sizes) + 1)
    place = int(np.searchsorted(reached, coverage))
    # Too few groups to promise the level: the largest residual is all there is.
    width = float(score[order][min(place, len(score) - 1)])
    return {"below": width, "above": width, "coverage": coverage, "groups": len(sizes)}
