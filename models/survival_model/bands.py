"""What validation says beside a predicted life: its interval, and the chance that it ends within a horizon.

Both depend on the predicted life: of a long one little is known, of a short one much. Intervals are conformal within
classes of the predicted life (Mondrian prediction: Vovk, Gammerman and Shafer 2005, chapter 4), each life weighing the
same (Dunn, Wasserman and Ramdas 2022), and censored lives made up for by weights (Candes, Lei and Ren 2023).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.evaluation.conformal import effective_rows
from models.scoring.runtime import Array
from models.survival_model.censoring import known_weights, within_weights
from models.survival_model.lives import Lives

_CLASSES = 8
_LIVES_PER_CLASS = 6
_POINTS = 33
_HORIZONS = 8


def fit_life(
    predicted: Array, lives: Lives, groups: Array, horizon: float, coverage: float, at_most: float | None = None
) -> dict[str, Any]:
    """Interval and chances over the range of predicted lives.

    Args:
        predicted: out-of-fold lives, at most the cap.
        lives: bounds of the same rows, capped.
        groups: life number per row.
        horizon: the probability is that of the event within it.
        coverage: wanted share inside, in (0, 1).
        at_most: the cap, which is in many a life; None where there is none.

    Returns:
        `at` (predicted lives, rising), `low`, `high` and `probability` there; `horizons` and `within`, the chance of
        the event within each of them, for people and for the Brier score.
    """
    at = np.unique(np.quantile(predicted, np.linspace(0, 1, _POINTS)))
    weights = known_weights(lives)
    edges = np.quantile(predicted, np.linspace(0, 1, _classes(groups) + 1))[1:-1]
    place = np.searchsorted(edges, predicted, side="right")
    middles, below, above = [], [], []
    for number in range(len(edges) + 1):
        rows = (place == number) & (weights > 0)
        if not rows.any():
            continue
        error = lives.lower[rows] - predicted[rows]
        is_capped = np.zeros(len(error), dtype=bool) if at_most is None else lives.lower[rows] >= at_most
        low, high = _ends(error, is_capped, groups[rows], weights[rows], coverage)
        middles.append(float(predicted[place == number].mean()))
        below.append(low)
        above.append(high)
    horizons = _horizons(lives, horizon)
    chance = np.asarray([_chance(predicted, lives, groups, each, at) for each in horizons])
    within = np.maximum.accumulate(chance, axis=0)
    return {
        "at": at.tolist(),
        "low": (at + np.interp(at, middles, below)).tolist(),
        "high": (at + np.interp(at, middles, above)).tolist(),
        "probability": within[horizons.index(horizon)].tolist(),
        "horizons": horizons,
        "within": within.tolist(),
        "coverage": coverage,
    }


def _classes(groups: Array) -> int:
    return int(np.clip(len(np.unique(groups)) // _LIVES_PER_CLASS, 1, _CLASSES))


def _ends(error: Array, is_capped: Array, groups: Array, weights: Array, coverage: float) -> tuple[float, float]:
    """Errors that leave half of the rest on either side, corrected for the finite number of independent rows.

    Where more lives than that reach the cap, the interval does too, nothing is left above it, and all of the rest lies
    below: it would else hold more than is promised.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    worth = effective_rows(np.abs(error), codes, sizes)
    each = weights / np.bincount(codes, weights=weights)[codes]
    each /= each.sum()
    order = np.argsort(error, kind="stable")
    reached = np.cumsum(each[order])

    def quantile(share: float) -> float:
        return float(error[order][min(int(np.searchsorted(reached, share, side="left")), len(error) - 1)])

    def tail(share: float) -> float:
        return max(0.0, 1 - (1 - share) * (worth + 1) / worth)

    half = tail((1 - coverage) / 2)
    if each @ is_capped > half:
        return quantile(tail(1 - coverage)), float(error.max())
    return quantile(half), quantile(1 - half)


def _horizons(lives: Lives, horizon: float) -> list[float]:
    """The wanted horizon among others over the range of lives that were seen to end."""
    ended = lives.lower[lives.is_exact]
    longest = float(np.max(ended))
    shorter = ended[ended < longest]
    others = np.quantile(shorter, np.linspace(0.1, 0.9, _HORIZONS)).tolist() if len(shorter) else []
    return sorted({horizon, *(float(f"{each:.6g}") for each in others)})


def _chance(predicted: Array, lives: Lives, groups: Array, horizon: float, at: Array) -> Array:
    """Chance of the event within a horizon at some predicted lives: falling in them, fitted in steps."""
    from sklearn.isotonic import IsotonicRegression

    ended, weights = within_weights(lives, horizon)
    rows = weights > 0
    if not rows.any():
        return np.zeros(len(at))
    _, codes, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
    steps = IsotonicRegression(increasing=False, out_of_bounds="clip", y_min=0.0, y_max=1.0)
    steps.fit(predicted[rows], ended[rows], sample_weight=weights[rows] / sizes[codes])
    return np.asarray(steps.predict(at))


def chances(life: dict[str, Any], predicted: Array) -> Array:
    """Chance of the event within each horizon of a bundle's `life`: (rows, horizons)."""
    return np.column_stack([np.interp(predicted, life["at"], row) for row in life["within"]])
