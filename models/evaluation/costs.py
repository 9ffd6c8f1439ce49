"""The threshold from which acting is cheaper, or F1 the highest."""

from __future__ import annotations

import numpy as np

from models.scoring.runtime import Array, logit
from models.spec import Costs

_STEP, _REACH = 0.05, 10  # log-odds between two thresholds looked at, and how many to each side are averaged


def choose_threshold(p: Array, y: Array, costs: Costs | None) -> float:
    """Threshold of least expected cost of calibrated probabilities; of the best F1 when nothing is priced.

    Where outcomes are priced, the border follows from the prices alone (Elkan, The foundations of cost-sensitive
    learning, IJCAI 2001, eq. 2). The cheapest border among the rows would follow the luck of their few events.

    Args:
        p: calibrated probability of the event.
        y: 1 where the event happened.
        costs: cost per outcome; without them `p` and `y` tell the border.

    Returns:
        The threshold in (0, 1]; rows with `p >= threshold` are flagged. 1 where flagging never pays.
    """
    if costs is None:
        return _best_f1(p, y)
    wasted = costs.false_positive - costs.true_negative
    saved = costs.false_negative - costs.true_positive
    if saved <= 0:
        return 1.0
    return float(np.clip(wasted / (wasted + saved), 1e-9, 1.0)) if wasted > 0 else 1e-9


def _best_f1(p: Array, y: Array) -> float:
    """Threshold about which F1 is the highest; in the middle where several are alike.

    F1 of few events jumps from row to row, and its highest point is mostly luck. So it is averaged over the thresholds
    within half a log-odds, in which the probabilities of another draw of rows would come to lie as well.
    """
    z = logit(p)
    rising, events = np.sort(z), np.sort(z[y == 1])
    if len(events) == 0:
        return 1.0
    at = np.arange(rising[0] - _STEP, rising[-1] + 2 * _STEP, _STEP)
    flagged = len(rising) - np.searchsorted(rising, at)
    hits = len(events) - np.searchsorted(events, at)
    f1 = 2 * hits / (flagged + len(events))
    padded = np.pad(f1, _REACH, mode="edge")
    smooth = np.convolve(padded, np.full(2 * _REACH + 1, 1 / (2 * _REACH + 1)), mode="valid")
    best = at[smooth >= smooth.max() - 1e-12]
    return float(1 / (1 + np.exp(-best[len(best) // 2])))
