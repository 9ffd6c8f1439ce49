"""What a run-to-run controller reads: runs of one machine, what was fed into them, and moves; and as of a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Runs:
    """Runs of one machine in the order in which they ended, shape (n,) each.

    Attributes:
        at_s: when it ended, seconds from any origin, ascending.
        known_s: when its record could be known.
        measured: the quantity to be held on target, in its unit; NaN where it was not measured.
        moved: the manipulated quantity as measured, in its unit.
        setpoint: the set-point in force, in the same unit.
        item: row of `Feed` that it was made of; -1 where that is not known.
    """

    at_s: Floats
    known_s: Floats
    measured: Floats
    moved: Floats
    setpoint: Floats
    item: Ints

    def __len__(self) -> int:
        return len(self.at_s)

    def take(self, rows: Array) -> Self:
        """Some of the runs, by a mask or by positions."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Feed:
    """What runs are made of, one after the other as it became ready, shape (m,) each.

    Attributes:
        ready_s: when it was ready, ascending.
        known_s: when `values` could be known.
        values: measured disturbances, shape (m, k), in their units; NaN where one was not measured.
        gone_s: when it became known that it is not used (scrapped); infinite otherwise.
    """

    ready_s: Floats
    known_s: Floats
    values: Floats
    gone_s: Floats

    def of(self, item: Ints) -> Floats:
        """Values of the items of runs, shape (n, k); NaN for an item that is not known."""
        found = np.full((len(item), self.values.shape[1]), np.nan)
        found[item >= 0] = self.values[item[item >= 0]]
        return found


@dataclass(frozen=True)
class Moves:
    """Moves that were carried out or may still be: when they were decided, and by how much. Shape (q,) each."""

    at_s: Floats
    size: Floats

    @classmethod
    def none(cls) -> Self:
        """No move yet."""
        return cls(np.zeros(0), np.zeros(0))

    def with_one(self, at_s: float, size: float) -> Self:
        """These and one more."""
        return type(self)(np.append(self.at_s, at_s), np.append(self.size, size))


def next_items(runs: Runs, feed: Feed, now_s: float, *, ahead: int, per_item: int, count: int) -> Ints:
    """Items that the next runs are made of, first in, first out; -1 where none is known to be ready.

    Args:
        runs: those known by now, in their order.
        feed: everything that feeds the machine.
        now_s: the moment; what was known later is not looked at.
        ahead: how many runs after the newest known one the first of them is, at least 1.
        per_item: runs that an item usually lasts.
        count: how many runs.
    """
    known = np.flatnonzero(runs.item >= 0)
    if not len(known):
        return np.full(count, -1)
    current = int(runs.item[known[-1]])
    # Runs of the current item so far, with those under way, and how far each wanted one lies beyond it.
    beyond = int(np.count_nonzero(runs.item == current)) + ahead - per_item + np.arange(count)
    waiting = (feed.known_s <= now_s) & (feed.gone_s > now_s)
    waiting[: current + 1] = False
    waiting[runs.item[known]] = False
    queue = np.append(current, np.flatnonzero(waiting))
    place = np.where(beyond <= 0, 0, (beyond - 1) // per_item + 1)
    return np.where(place < len(queue), queue[np.minimum(place, len(queue) - 1)], -1)
