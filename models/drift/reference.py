"""What the inputs and scores looked like in training: small enough to travel with the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.scoring.runtime import Array

POINTS = 101
BINS = 10


def number_reference(values: Array) -> dict[str, Any]:
    """Quantiles, inner decile edges, share of each bin and of missing values."""
    present = values[np.isfinite(values)]
    missing = 1.0 - len(present) / max(len(values), 1)
    if len(present) == 0:
        return {"kind": "number", "missing": 1.0, "quantiles": [], "edges": [], "shares": []}
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1]))
    shares = np.bincount(np.searchsorted(edges, present, side="right"), minlength=len(edges) + 1) / len(present)
    quantiles = np.quantile(present, np.linspace(0, 1, POINTS))
    return {
        "kind": "number",
        "missing": missing,
        "quantiles": quantiles.tolist(),
        "edges": edges.tolist(),
        "shares": shares.tolist(),
    }


def category_reference(codes: Array, size: int) -> dict[str, Any]:
    """Share of each category and of missing or unseen ones."""
    present = codes[np.isfinite(codes)].astype(int)
    shares = np.bincount(present, minlength=size) / max(len(present), 1)
    return {"kind": "category", "missing": 1.0 - len(present) / max(len(codes), 1), "shares": shares.tolist()}


def make_reference(features: list[dict[str, Any]], x: Array, scores: Array) -> dict[str, Any]:
    """Reference of every feature on the training rows, and of the scores on the hold-out.

    Args:
        features: the contract.
        x: training matrix.
        scores: hold-out predictions (`value`).
    """
    inputs = {}
    for place, feature in enumerate(features):
        column = x[:, place]
        is_number = feature["kind"] == "number"
        inputs[feature["name"]] = (
            number_reference(column) if is_number else category_reference(column, len(feature["book"]))
        )
    return {"inputs": inputs, "score": number_reference(np.asarray(scores, dtype=np.float64))}
