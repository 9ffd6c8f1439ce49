"""What the inputs and scores looked like in training: small enough to travel with the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.scoring.runtime import Array

POINTS = 101
BINS = 10
BLOCKS = 10
NEWEST = 2000  # rows, the newest answered ones, that are held against the reference
MIN_ROWS = 100
WATCHED = 40


def number_reference(values: Array) -> dict[str, Any]:
    """Quantiles, inner decile edges, share of each bin and of missing values."""
    present = values[np.isfinite(values)]
    missing = 1.0 - len(present) / max(len(values), 1)
    if len(present) == 0:
        return {"kind": "number", "missing": 1.0, "quantiles": [], "edges": [], "shares": [0.0]}
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


def shares_of(reference: dict[str, Any], values: Array) -> Array:
    """Share of each of the reference's bins (or categories) among the present values."""
    present = values[np.isfinite(values)]
    if reference["kind"] == "number":
        edges = np.asarray(reference["edges"])
        counts = np.bincount(np.searchsorted(edges, present, side="right"), minlength=len(edges) + 1)
    else:
        counts = np.bincount(present.astype(int), minlength=len(reference["shares"]))
    return np.asarray(counts / max(len(present), 1))


def _missing(values: Array) -> float:
    """Share of missing values; nothing at all is all missing."""
    return 1.0 - float(np.isfinite(values).mean()) if len(values) else 1.0


def psi(reference: dict[str, Any], values: Array) -> float:
    """Population stability index over deciles or categories, missing values as a bin of their own."""
    missing = _missing(values)
    expected = np.append(np.asarray(reference["shares"]) * (1 - reference["missing"]), reference["missing"])
    found = np.append(shares_of(reference, values) * (1 - missing), missing)
    # Half a row in each empty bin keeps the logarithm finite.
    floor = 0.5 / max(len(values), 1)
    expected, found = np.maximum(expected, floor), np.maximum(found, floor)
    return float(np.sum((found - expected) * np.log(found / expected)))


def ks(reference: dict[str, Any], values: Array) -> float:
    """Distance of the present values or of the shares of missing ones, whichever is larger, in [0, 1].

    The distance of present values is the largest between the two distribution functions; over categories the total
    variation.
    """
    return max(_ks_present(reference, values), abs(_missing(values) - float(reference["missing"])))


def _ks_present(reference: dict[str, Any], values: Array) -> float:
    """Distance over the present values alone; 0 where one side has none."""
    if not np.isfinite(values).any():
        return 0.0
    if reference["kind"] == "category":
        return float(np.abs(shares_of(reference, values) - np.asarray(reference["shares"])).sum() / 2)
    present = np.sort(values[np.isfinite(values)])
    points = np.asarray(reference["quantiles"])
    if len(points) == 0:
        return 0.0
    both = np.concatenate([points, present])
    expected = np.searchsorted(points, both, side="right") / len(points)
    found = np.searchsorted(present, both, side="right") / len(present)
    return float(np.abs(expected - found).max())


def _noise(reference: dict[str, Any], column: Array) -> dict[str, float]:
    """What stretches of the training rows themselves show against the whole: lots differ without any drift."""
    if len(column) < BLOCKS * MIN_ROWS:
        return {"psi": 0.0, "ks": 0.0}
    # As long as what they are compared with: a longer stretch holds a tool's whole life, the newest rows a part of one.
    parts = np.array_split(column, max(BLOCKS, len(column) // NEWEST))
    return {"psi": max(psi(reference, part) for part in parts), "ks": max(ks(reference, part) for part in parts)}


def make_reference(
    features: list[dict[str, Any]], x: Array, scores: Array, shares: dict[str, float], *, in_order: bool
) -> dict[str, Any]:
    """Reference of the features on the training rows, and of the scores on the hold-out.

    Args:
        features: the contract.
        x: training matrix, in the order of time when `in_order`.
        scores: hold-out predictions (`value`).
        shares: share of mean |SHAP| by feature; the `WATCHED` strongest are kept.
        in_order: whether neighbouring rows are neighbours in time.
    """
    inputs = {}
    places = {feature["name"]: place for place, feature in enumerate(features)}
    for name in sorted(shares, key=lambda each: -shares[each])[:WATCHED]:
        feature, column = features[places[name]], x[:, places[name]]
        if feature["kind"] != "category":
            reference = number_reference(column)
        else:
            reference = category_reference(column, len(feature["book"]))
        reference["share"] = shares[name]
        reference["noise"] = _noise(reference, column) if in_order else {"psi": 0.0, "ks": 0.0}
        inputs[name] = reference
    score = number_reference(np.asarray(scores, dtype=np.float64))
    ordered = np.asarray(scores, dtype=np.float64)
    score["noise"] = _noise(score, ordered) if in_order else {"psi": 0.0, "ks": 0.0}
    return {"inputs": inputs, "score": score}
