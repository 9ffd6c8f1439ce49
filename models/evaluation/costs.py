"""The threshold at which acting is cheapest."""

from __future__ import annotations

import numpy as np

from models.scoring.runtime import Array
from models.spec import Costs


def choose_threshold(p: Array, y: Array, costs: Costs | None) -> float:
    """Threshold of least expected cost on out-of-fold rows; of the best F1 when nothing is priced.

    Args:
        p: calibrated probability of the event.
        y: 1 where the event happened.
        costs: cost per outcome.

    Returns:
        The threshold in (0, 1]; rows with `p >= threshold` are flagged.
    """
    order = np.argsort(-p, kind="stable")
    ranked, event = p[order], y[order]
    hits = np.concatenate([[0.0], np.cumsum(event)])
    flagged = np.arange(len(p) + 1, dtype=np.float64)
    false = flagged - hits
    if costs is None:
        value = -2 * hits / np.maximum(flagged + event.sum(), 1)
    else:
        missed = event.sum() - hits
        right = (len(p) - event.sum()) - false
        value = (
            costs.true_positive * hits
            + costs.false_positive * false
            + costs.false_negative * missed
            + costs.true_negative * right
        )
    # Only between different probabilities can a threshold stand.
    edge = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])
    value = np.where(edge, value, np.inf)
    count = int(np.argmin(value))
    if count == 0:
        return 1.0
    following = ranked[count] if count < len(p) else 0.0
    return float(max((ranked[count - 1] + following) / 2, 1e-9))
