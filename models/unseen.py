"""Predictions of rows that a fit has not seen: of what calibration, threshold and interval are made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.estimators.base import Fold, Problem
from models.prepare import Prepared
from models.scoring.runtime import Array
from models.spec import PredictiveSpec
from models.splits.splits import inner_folds
from models.tuning.search import Found


def folds_of(prepared: Prepared, x: Array, pairs: list[tuple[Array, Array]]) -> list[Fold]:
    """Folds of a frame's matrix by their training and validation rows."""
    y = prepared.labels.y
    return [Fold(x[train], y[train], x[valid], y[valid]) for train, valid in pairs]


def outer_quantiles(
    spec: PredictiveSpec, problem: Problem, found: Found, folds: list[Fold], valid: list[Array], n: int
) -> Array:
    """Out-of-fold quantiles: the middle one is the search's own, the outer two are fitted alike."""
    out = np.full((n, 3), np.nan)
    outer = [replace(problem, quantile=level) for level in (spec.quantiles[0], spec.quantiles[2])]
    for place, (fold, rows) in enumerate(zip(folds, valid, strict=True)):
        each = []
        for member in found.members:
            middle = member.fits[place]
            low, high = (member.estimator.fit(level, fold, member.params, middle.rounds) for level in outer)
            parts = [fit.booster.predict(np.asarray(fold.x_valid)) for fit in (low, middle, high)]
            each.append(np.sort(np.column_stack(parts), axis=1))
        out[rows] = np.mean(each, axis=0)
    return out


def as_final(
    spec: PredictiveSpec, prepared: Prepared, problem: Problem, found: Found, x: Array
) -> tuple[Found, list[Fold], list[Array]]:
    """The members fitted on folds of all development rows, where the trials saw the newest of them only.

    What was learnt from fewer lots errs by more than the final fit will, and an interval would be too wide by that.
    Probabilities showed no such gain, and stay as the trials left them.
    """
    rows = prepared.split.development
    pairs, _ = inner_folds(prepared.order, rows, prepared.labels.y, spec, prepared.split.cut)
    folds = folds_of(prepared, x, pairs)
    members = [
        replace(each, fits=[each.estimator.fit(problem, fold, each.params, each.rounds) for fold in folds])
        for each in found.members
    ]
    return replace(found, members=members), folds, [valid for _, valid in pairs]
