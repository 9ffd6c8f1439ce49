"""The protocol of a learner: prepare a fold once, fit many times, hand back a booster the runtime can load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from models.scoring.boosters import Booster
from models.scoring.runtime import Array
from models.spec import Task

Watch = Callable[[int, float], None]
"""Called every 10 rounds with the round and the validation loss; may raise to stop (pruning)."""

REPORT_EVERY = 10


@dataclass(frozen=True)
class Problem:
    """What is learnt, the same for every learner.

    Attributes:
        task: Kind of target.
        n_classes: Classes; 0 for numbers.
        categories: Positions of the category features.
        monotone: Sign per feature, 0 where none is known; empty for none at all.
        quantile: Level for task `quantile`.
        n_threads: Threads of a fit.
        seed: Seed of a fit.
        max_bin: Bins per number column: how finely a threshold can be placed.
    """

    task: Task
    n_classes: int = 0
    categories: tuple[int, ...] = ()
    monotone: tuple[int, ...] = ()
    quantile: float = 0.5
    n_threads: int = 1
    seed: int = 7
    max_bin: int = 127


@dataclass
class Fold:
    """Training and validation rows as matrices, and each library's own containers once they are built."""

    x: Array
    y: Array
    x_valid: Array | None = None
    y_valid: Array | None = None
    cache: dict[str, Any] = field(default_factory=dict)


@dataclass
class Fit:
    """A fitted booster, its best number of rounds and its validation loss by round."""

    booster: Booster
    rounds: int
    curve: list[float]


class Estimator(Protocol):
    """One library."""

    library: str

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Parameters of a trial of the study."""

    def starts(self) -> list[dict[str, Any]]:
        """Parameters worth trying first, the most useful first, by the names that `suggest` uses."""

    def fit(
        self,
        problem: Problem,
        fold: Fold,
        params: dict[str, Any],
        rounds: int,
        stop_after: int = 0,
        watch: Watch | None = None,
    ) -> Fit:
        """Fit; with validation rows and `stop_after` stop early and keep the best round."""


def loss(task: Task, y: Array, predicted: Array, quantile: float = 0.5) -> float:
    """The loss that fits and trials minimise: log loss, RMSE or pinball loss; mean over rows."""
    if task == "binary":
        p = np.clip(predicted, 1e-12, 1 - 1e-12)
        return float(-np.mean(np.where(y == 1, np.log(p), np.log(1 - p))))
    if task == "multiclass":
        p = predicted[np.arange(len(y)), y.astype(int)]
        return float(-np.mean(np.log(np.clip(p, 1e-12, 1))))
    error = y - predicted
    if task == "quantile":
        return float(np.mean(np.maximum(quantile * error, (quantile - 1) * error)))
    return float(np.sqrt(np.mean(error**2)))
