"""Streams of a detector: what all rows of one machine have in common. Part of the runtime in every bundle.

A copy of this file lies beside that of `runtime.py` in every logged model; nothing of this project is imported. A fault
of a machine moves every row that it makes by less than rows scatter, so no row tells of it, but their mean does. Each
number is first freed of what the others of its row tell of it (Hawkins, Technometrics 33 (1991) 61). Its mean over the
last rows of the machine, in windows of several lengths as in a MOSUM chart (Bauer and Hackl 1978), is then freed of
what the other machines saw in the same window: a lot of material moves them all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
LEAST_ROWS = 10  # of a machine in a window; below it the window says nothing


def freed(z: Array, precision: Array) -> Array:
    """Standard numbers (rows, variables) less what the others of the row tell of each, in its standard deviations."""
    return np.asarray(z @ precision / np.sqrt(np.diag(precision)))


def window_means(left: Array, time_s: Array, code: Array, length_s: float) -> tuple[Array, Array, Array]:
    """Means over a window that ends at each row: of its own machine and of all others.

    Args:
        left: freed numbers (rows, variables), rows in the order of time.
        time_s: seconds, rising (rows,).
        code: number of the machine (rows,).
        length_s: seconds of the window.

    Returns:
        Own mean and that of the others (rows, variables), NaN where the window holds fewer than `LEAST_ROWS` rows of
        them, and the number of own rows (rows,).
    """
    total, count = _sums(left, time_s, time_s, length_s)
    own, rows = np.zeros_like(left), np.zeros(len(left))
    for each in np.unique(code):
        mine = code == each
        own[mine], rows[mine] = _sums(left[mine], time_s[mine], time_s[mine], length_s)
    return _mean(own, rows), _mean(total - own, count - rows), rows


def _sums(left: Array, time_s: Array, at_s: Array, length_s: float) -> tuple[Array, Array]:
    """Sums and numbers of the rows in (t - length, t] for each moment t."""
    running = np.vstack([np.zeros((1, left.shape[1])), np.cumsum(left, axis=0)])
    end = np.searchsorted(time_s, at_s, side="right")
    begin = np.searchsorted(time_s, at_s - length_s, side="right")
    return running[end] - running[begin], (end - begin).astype(np.float64)


def _mean(total: Array, count: Array) -> Array:
    mean: Array = np.where((count >= LEAST_ROWS)[:, None], total / np.maximum(count, 1.0)[:, None], np.nan)
    return mean


def excess(means: tuple[Array, Array, Array], fit: dict[str, Any], place: Array) -> Array:
    """How far each machine's mean is off its usual place beside the others (rows, variables), NaN unknown.

    Args:
        means: as `window_means` gives them.
        fit: of a window: `share` of the others' mean that a machine follows (variables,), and `usual` place of each
            machine (machines, variables).
        place: row of `usual` for each row, -1 for a machine that was not learnt from (rows,).
    """
    own, others, _ = means
    share, usual = np.asarray(fit["share"]), np.asarray(fit["usual"], dtype=np.float64)
    followed = np.where(share > 0, share * others, 0.0)
    known = np.where((place >= 0)[:, None], usual[np.maximum(place, 0)], np.nan)
    return np.asarray(own - followed - known)


def deviation(rows: Array, fit: dict[str, Any]) -> Array:
    """Standard deviation of a mean (rows, variables): what wanders (`lasting` of the fit) and what rows scatter."""
    return np.asarray(np.sqrt(np.asarray(fit["lasting"]) + 1.0 / np.maximum(rows, 1.0)[:, None]))


class Streams:
    """What was learnt of machines, at work.

    Args:
        content: `precision`, `machines`, and `windows` with the fit and the `limit` of each number.
        z: standard numbers (rows, variables), in any order.
        time_s: seconds (rows,).
        names: machine of each row (rows,), as text.
    """

    def __init__(self, content: dict[str, Any], z: Array, time_s: Array, names: Array) -> None:
        self._windows, self._precision = content["windows"], np.asarray(content["precision"])
        self._order, self._z = np.argsort(time_s, kind="stable"), z
        self._time_s = time_s[self._order]
        place = {name: number for number, name in enumerate(content["machines"])}
        self._place = np.array([place.get(name, -1) for name in names[self._order]], dtype=np.int64)

    def _means(self, values: Array, fit: dict[str, Any]) -> tuple[Array, Array, Array]:
        return window_means(values[self._order], self._time_s, self._place, fit["length_s"])

    def _told(self, each: list[Array]) -> Array:
        out = np.empty((len(self._z), len(each) * self._z.shape[1]))
        out[self._order] = np.hstack(each)
        return out

    def parts(self) -> Array:
        """How far each number's mean over each window is off, over its limit: (rows, windows * variables)."""
        left, found = freed(self._z, self._precision), []
        for fit in self._windows:
            means = self._means(left, fit)
            off = excess(means, fit, self._place) / deviation(means[2], fit)
            found.append(np.abs(off) / np.asarray(fit["limit"], dtype=np.float64))
        return self._told(found)

    def shown(self) -> tuple[Array, Array]:
        """Each number's mean over each window and what it was expected to be: standard, (rows, windows * variables)."""
        left, is_now, wanted = freed(self._z, self._precision), [], []
        for fit in self._windows:
            now = self._means(self._z, fit)[0]
            is_now.append(now)
            wanted.append(now - excess(self._means(left, fit), fit, self._place) / np.sqrt(np.diag(self._precision)))
        return self._told(is_now), self._told(wanted)
