"""Where the means of each machine's rows usually lie, how far they wander, and what of it is an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.anomaly_detector.limits import block_maxima, chance_of_block, level
from models.anomaly_detector.runtime import Array
from models.anomaly_detector.streams import deviation, excess, freed, window_means

_FOLDS = 5
_QUARTILES = 1.349  # standard deviations between the quartiles of a normal distribution
_LEAST_WINDOWS = 5  # a window is judged once the reference holds its length this often


def learn_streams(
    z: Array,
    time_s: Array,
    machine: Array,
    precision: Array,
    *,
    windows_h: Sequence[float],
    per_week: float,
    hold_off_s: float,
) -> tuple[dict[str, Any] | None, Array]:
    """What is usual of each machine, and the limit that each window of each number would spend the budget with alone.

    Args:
        z: standard numbers (rows, variables), rows in the order of time.
        time_s: seconds (rows,).
        machine: name of the machine (rows,).
        precision: inverse of the numbers' covariance.
        windows_h: lengths of the windows in hours.
        per_week: alarms a week, over all machines.
        hold_off_s: seconds.

    Returns:
        What `Streams` reads, None where the reference is too short for every window; and the largest departure of
        each row over its limit (rows,), by what was learnt without the row's block, NaN unknown.
    """
    machines, code = np.unique(machine.astype(str), return_inverse=True)
    left, span_s = freed(z, precision), float(np.ptp(time_s))
    windows, score = [], np.full(len(z), np.nan)
    for length_s in [hours * 3600.0 for hours in windows_h if hours * 3600.0 * _LEAST_WINDOWS <= span_s]:
        means = window_means(left, time_s, code, length_s)
        off = np.abs(_unseen(means, code, len(machines)))
        limit = np.array([_limit(each, time_s, code, per_week, hold_off_s) for each in off.T])
        with np.errstate(invalid="ignore"):
            score = np.fmax(score, np.max(np.nan_to_num(off / limit, nan=-1.0), axis=1))
        fit = _fit(means, code, len(machines))
        windows.append({"length_s": length_s, "limit": limit} | fit)
    score[score < 0] = np.nan
    if not windows:
        return None, score
    return {"precision": precision, "machines": machines.tolist(), "windows": windows}, score


def _limit(off: Array, time_s: Array, code: Array, per_week: float, hold_off_s: float) -> float:
    maxima = block_maxima(off, time_s, code, hold_off_s)
    return level(maxima, chance_of_block(per_week, len(maxima), float(np.ptp(time_s))))


def _unseen(means: tuple[Array, Array, Array], code: Array, machines: int) -> Array:
    """Departure of each row by what was learnt without its block of time (rows, variables)."""
    own, others, rows = means
    out = np.full_like(own, np.nan)
    for block in np.array_split(np.arange(len(own)), _FOLDS):
        rest = np.setdiff1d(np.arange(len(own)), block, assume_unique=True)
        fit = _fit((own[rest], others[rest], rows[rest]), code[rest], machines)
        out[block] = excess((own[block], others[block], rows[block]), fit, code[block]) / deviation(rows[block], fit)
    return out


def _fit(means: tuple[Array, Array, Array], code: Array, machines: int) -> dict[str, Any]:
    """Usual places, the share of the others' mean that a machine follows, and how far its own wanders beside it."""
    own, others, rows = means
    beside = _by_machine(others, code, machines)
    share = _slope(own - _by_machine(own, code, machines)[code], others - beside[code])
    followed = np.where(share > 0, share * others, 0.0)
    usual = _by_machine(own - followed, code, machines)
    low, high = np.nanquantile(own - followed - usual[code], [0.25, 0.75], axis=0)
    known = np.isfinite(own[:, 0])
    lasting = ((high - low) / _QUARTILES) ** 2 - np.mean(1.0 / rows[known]) if known.any() else np.zeros(own.shape[1])
    return {"share": share, "lasting": np.maximum(lasting, 0.0), "usual": usual}


def _by_machine(x: Array, code: Array, machines: int) -> Array:
    """Mean of each machine's rows (machines, variables); NaN where it has none."""
    known = np.isfinite(x)
    count = np.zeros((machines, x.shape[1]))
    total = np.zeros((machines, x.shape[1]))
    np.add.at(count, code, known)
    np.add.at(total, code, np.where(known, x, 0.0))
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _slope(y: Array, x: Array) -> Array:
    """Slope of y on x without intercept, held between 0 (each goes its own way) and 1 (all go one way)."""
    both = np.isfinite(x) & np.isfinite(y)
    xy, xx = (np.sum(np.where(both, x * each, 0.0), axis=0) for each in (y, x))
    slope: Array = np.clip(np.divide(xy, xx, out=np.zeros_like(xy), where=xx > 0), 0.0, 1.0)
    return slope
