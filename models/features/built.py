"""Features that the family builds itself: products, ratios and differences of two columns.

A tree cuts one column at a time, so a cause that lies in a product (power = torque x speed) or a difference (two
temperatures) costs it many cuts and many rows. Candidates are pairs of the strongest numbers; they are ranked on the
training rows of the inner folds, and as many of them join as lower the loss on the validation rows.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any, cast

import numpy as np

from models.estimators.base import Fold, Problem
from models.estimators.choose import bins
from models.estimators.lightgbm import LightGBM
from models.scoring.boosters import LightGBMBooster
from models.scoring.runtime import COMBINE, Array

STRONGEST = 8  # numbers whose pairs are looked at: 84 candidates
_COUNTS = (2, 4, 8)
_ALIKE = 0.98  # rank correlation from which one of two features adds nothing
# Plain, quick and the same for all: only the order of the candidates and the gain over none are asked for.
_PARAMS = {
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 1.0,
    "bagging_fraction": 1.0,
    "lambda_l2": 1e-3,
}
_ROUNDS, _PATIENCE = 200, 20
_RANKED_ROWS = 5_000  # rows by which likeness is told


def choose_built(problem: Problem, features: list[dict[str, Any]], folds: list[Fold]) -> list[dict[str, Any]]:
    """Choose combinations of two number columns.

    Args:
        problem: what is learnt.
        features: the contract of the plain columns.
        folds: training and validation rows of the plain columns.

    Returns:
        Contract entries (`kind` is `built`, `op` and `of` say how), best first; empty where none lowers the loss.
    """
    plain = replace(problem, monotone=())
    first = [_fit(plain, fold) for fold in folds]
    numbers = [place for place, feature in enumerate(features) if feature["kind"] == "number"]
    strength = np.mean([gain for gain, _ in first], axis=0)
    strongest = sorted(sorted(numbers, key=lambda place: -strength[place])[:STRONGEST])
    candidates = [(op, a, b) for a, b in combinations(strongest, 2) for op in COMBINE]
    if not candidates:
        return []
    ranked = _ranked(plain, folds, candidates)
    kept = _unlike(folds[-1].x, numbers, ranked, max(_COUNTS))
    best, chosen = float(np.mean([value for _, value in first])), []
    for count in _COUNTS:
        some = kept[:count]
        value = float(np.mean([_fit(plain, _widened(fold, some))[1] for fold in folds]))
        if value < best:
            best, chosen = value, some
    return [_entry(features, each) for each in chosen]


def _entry(features: list[dict[str, Any]], candidate: tuple[str, int, int]) -> dict[str, Any]:
    op, a, b = candidate
    names = [features[a]["name"], features[b]["name"]]
    return {"name": f"{names[0]} {op} {names[1]}", "kind": "built", "op": op, "of": names}


def _fit(problem: Problem, fold: Fold) -> tuple[Array, float]:
    """Gain by column, and the validation loss."""
    problem = replace(problem, max_bin=bins(*fold.x.shape))
    fit = LightGBM().fit(problem, fold, _PARAMS, _ROUNDS, _PATIENCE)
    native = cast("LightGBMBooster", fit.booster).native
    return np.asarray(native.feature_importance("gain")), min(fit.curve)


def _columns(x: Array, candidates: list[tuple[str, int, int]]) -> Array:
    with np.errstate(all="ignore"):
        out = np.column_stack([COMBINE[op](x[:, a], x[:, b]) for op, a, b in candidates]).astype(np.float32)
    out[np.isinf(out)] = np.nan
    return out


def _widened(fold: Fold, candidates: list[tuple[str, int, int]]) -> Fold:
    if fold.x_valid is None:
        raise ValueError("features are chosen on folds with validation rows")
    x = np.hstack([fold.x, _columns(fold.x, candidates)])
    return Fold(x, fold.y, np.hstack([fold.x_valid, _columns(fold.x_valid, candidates)]), fold.y_valid)


def _ranked(problem: Problem, folds: list[Fold], candidates: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Candidates by their gain beside all others, the strongest first."""
    width = folds[0].x.shape[1]
    gain = np.mean([_fit(problem, _widened(fold, candidates))[0][width:] for fold in folds], axis=0)
    return [candidates[place] for place in np.argsort(-gain, kind="stable") if gain[place] > 0]


def _unlike(x: Array, numbers: list[int], ranked: list[tuple[str, int, int]], count: int) -> list[tuple[str, int, int]]:
    """The first candidates of which no two rank the rows alike, and none as a plain number does.

    A tree sees ranks only: a temperature less a speed that is a hundred times as large is the speed again.
    """
    x = x[-_RANKED_ROWS:]
    kept: list[tuple[str, int, int]] = []
    ranks = [_rank(x[:, place]) for place in numbers]
    for each in ranked:
        rank = _rank(_columns(x, [each])[:, 0])
        if all(abs(float(np.corrcoef(rank, other)[0, 1])) < _ALIKE for other in ranks):
            kept.append(each)
            ranks.append(rank)
        if len(kept) == count:
            break
    return kept


def _rank(values: Array) -> Array:
    return np.argsort(np.argsort(values, kind="stable")).astype(float)
