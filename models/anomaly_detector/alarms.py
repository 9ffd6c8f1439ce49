"""From scores to alarms: one alarm for each excursion, however many rows it lasts."""

from __future__ import annotations

import numpy as np

from models.anomaly_detector.runtime import Array


def raised(value: Array, time_s: Array, entity: Array, hold_off_s: float) -> tuple[Array, Array]:
    """Rows that raise an alarm, and rows under an alarm that is still open.

    An alarm is raised by a score over its limit after a hold-off without one, and stays open until a hold-off has
    passed without one.

    Args:
        value: score over its limit (rows,), unknown as NaN.
        time_s: seconds (rows,), in any order.
        entity: number of the entity (rows,).
        hold_off_s: seconds; 0: every row over its limit is an alarm by itself.

    Returns:
        Two masks (rows,).
    """
    with np.errstate(invalid="ignore"):
        over = value > 1.0
    if not hold_off_s:
        return over, over
    order = np.lexsort((time_s, entity))
    when, who, is_over = time_s[order], entity[order], over[order]
    places = np.where(is_over, np.arange(len(order)), -1)
    last = np.maximum.accumulate(places)  # the newest row over its limit, this one included
    before = np.concatenate([[-1], last[:-1]])
    opens = is_over & ~_within(before, when, who, hold_off_s)
    open_now = _within(last, when, who, hold_off_s)
    begun, under = np.zeros(len(order), dtype=bool), np.zeros(len(order), dtype=bool)
    begun[order], under[order] = opens, open_now
    return begun, under


def _within(place: Array, when: Array, who: Array, hold_off_s: float) -> Array:
    """Whether a row's earlier row is there, of the same entity and not older than the hold-off."""
    there = place >= 0
    at = np.maximum(place, 0)
    return np.asarray(there & (who[at] == who) & (when - when[at] <= hold_off_s))
