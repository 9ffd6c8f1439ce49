"""Which features matter over many rows: mean absolute SHAP of a seeded sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.scoring.runtime import Array, Scorer

SAMPLE = 1500


@dataclass(frozen=True)
class Importance:
    """Global importance.

    Attributes:
        names: Features, strongest first.
        shares: Share of the summed mean |SHAP| per feature, same order; sums to 1.
        x: Sampled feature values (rows, features) in that order.
        shap: Their contributions, same shape.
    """

    names: list[str]
    shares: list[float]
    x: Array
    shap: Array


def importance(scorer: Scorer, x: Array, seed: int) -> Importance:
    """Importance over at most 1,500 rows.

    Args:
        scorer: the model.
        x: feature matrix.
        seed: of the sample.
    """
    rows = np.arange(len(x))
    if len(x) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(len(x), SAMPLE, replace=False))
    shap = scorer.contributions(x[rows])
    strength = np.abs(shap).mean(axis=0)
    order = np.argsort(-strength, kind="stable")
    total = float(strength.sum()) or 1.0
    names = [scorer.bundle["features"][place]["name"] for place in order]
    return Importance(names, [float(strength[place] / total) for place in order], x[rows][:, order], shap[:, order])
