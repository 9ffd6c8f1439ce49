"""Condition indices: what the numbers of a sequence have in common, as features with windows of their own.

One cause (wear) moves many noisy numbers at once. The principal components of the smoothed numbers follow it with less
noise than any of them, and windows over a component tell its course. Windows are linear in what they look at, so a
component's window is the weighted sum of the numbers' own: it is made from the columns of one row, without its past.
Learnt without labels, on training rows only (Coble and Hines 2009 call such an index a prognostic parameter).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.features.frame import Frame
from models.features.sequence import window_names
from models.scoring.runtime import Array, numbers
from models.spec import Sequence

_SMOOTH_ROWS = 20  # a window of about so many rows shows the course and hides the noise
_LINEAR = ("mean", "slope", "above")


def fused_features(frame: Frame, sequence: Sequence, names: list[str], components: int) -> list[dict[str, Any]]:
    """Learn the indices of a sequence.

    Args:
        frame: training rows with the windows of the numbers.
        sequence: its windows.
        names: numbers that have windows and vary in training.
        components: how many indices; fewer where there are fewer numbers.

    Returns:
        Contract entries of kind `fused`: each window of each index. Empty for fewer than two numbers.
    """
    if len(names) < 2 or components == 0:
        return []
    smooth = min(sequence.windows, key=lambda rows: abs(rows - _SMOOTH_ROWS))
    scale = np.nanstd(_columns(frame, names), axis=0)
    kind = "above" if sequence.usual_rows else "mean"  # entities that differ for good would else be the first component
    smoothed = _columns(frame, [window_names(name, sequence)[kind, smooth] for name in names]) / scale
    centred = np.nan_to_num(smoothed - np.nanmean(smoothed, axis=0))
    _, _, axes = np.linalg.svd(centred.T @ centred)
    out = []
    for number, axis in enumerate(axes[: min(components, len(names))], start=1):
        # An axis has no side of its own; its largest weight is taken as positive, the same on every machine.
        weights = axis * np.sign(axis[np.argmax(np.abs(axis))]) / scale
        for kind, rows in window_names("", sequence):
            if kind in _LINEAR:
                of = [window_names(name, sequence)[kind, rows] for name in names]
                out.append(_entry(frame, f"index_{number}_{kind}_{rows}", of, weights))
        out.append(_entry(frame, f"index_{number}", names, weights))
    return out


def _columns(frame: Frame, names: list[str]) -> Array:
    return np.column_stack([numbers(frame.table.column(name)) for name in names]).astype(np.float64)


def _entry(frame: Frame, name: str, of: list[str], weights: Array) -> dict[str, Any]:
    mean = np.nanmean(_columns(frame, of), axis=0)
    return {"name": name, "kind": "fused", "of": of, "weights": weights.tolist(), "mean": mean.tolist()}
