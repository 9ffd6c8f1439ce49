"""Folds of lives that are only known between bounds, and how far a prediction lies outside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.estimators.base import Fold
from models.scoring.runtime import Array

_SHORTEST = 1e-2  # share of the longest life below which all are alike to a distribution of logarithms


@dataclass
class LifeFold(Fold):
    """A fold whose `y` are lower bounds; the upper ones are infinite where no end was seen."""

    upper: Array | None = None
    cap: float = np.inf
    weights_valid: Array | None = None

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds of the training rows."""
        return self.y, self.y if self.upper is None else self.upper

    @property
    def is_exact(self) -> bool:
        """Whether the end of every training row's life is known."""
        return bool(np.array_equal(*self.bounds))


def outside(predicted: Array, lower: Array, upper: Array) -> Array:
    """How far predictions lie above (positive) or below their bounds; 0 between them."""
    return np.asarray(predicted - np.clip(predicted, lower, upper))


def life_rmse(fold: LifeFold, predicted: Array) -> float:
    """The loss of trials: root mean square error of the validation lives whose end was seen.

    They are weighted for those that were not. How far answers lie outside the bounds would be no fair loss: where most
    lives go on, an answer that is always too long would win.

    Raises:
        ValueError: the fold has no validation rows.
    """
    if fold.y_valid is None:
        raise ValueError("a fold without validation rows")
    weights = np.ones(len(predicted)) if fold.weights_valid is None else fold.weights_valid
    error = np.where(weights > 0, np.minimum(predicted, fold.cap) - fold.y_valid, 0.0)
    return float(np.sqrt(weights @ error**2 / max(weights.sum(), 1e-12)))


def positive_bounds(lower: Array, upper: Array, cap: float) -> tuple[Array, Array]:
    """Bounds for a distribution of logarithms: above zero, and a life that reached the cap goes on."""
    least = _SHORTEST * float(np.max(lower))
    above = np.where((lower >= cap) | np.isinf(upper), np.inf, np.maximum(upper, least))
    return np.maximum(lower, least), above
