"""Blocks of consecutive rows, each held out once: near rows tell of each other, so single rows must not be held out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from models.process_monitor.runtime import Array, follow


@dataclass(frozen=True)
class Rows:
    """Reference rows in the order in which they follow each other.

    Attributes:
        x: variables (rows, variables), NaN where missing.
        before: rows before each in its run.
        tick: moment of each row as a number that rises by one from moment to moment, the same over all groups.
    """

    x: Array
    before: Array
    tick: Array

    def take(self, chosen: Array) -> Rows:
        """Some of the rows (a boolean mask); a run that loses a row begins anew after it."""
        last_lost = np.maximum.accumulate(np.where(chosen, -1, np.arange(len(chosen))))
        before = np.minimum(self.before, np.arange(len(chosen)) - last_lost - 1)
        return Rows(self.x[chosen], before[chosen], self.tick[chosen])


def rows_of(x: Array, group: Array, time: Array, max_gap_s: float | None) -> Rows:
    """Rows in their order.

    Args:
        x: variables.
        group: number of each row's group.
        time: see `follow`.
        max_gap_s: see `follow`.
    """
    order, before = follow(group, time, max_gap_s)
    return Rows(x[order], before, np.asarray(np.unique(time, return_inverse=True)[1][order]))


def held_out(rows: Rows, folds: int, gap_share: float, lags: int) -> Iterator[tuple[Array, Array]]:
    """Pairs of masks: rows to learn from, rows held out.

    A block holds all rows of a span of moments, whatever their group: what happens to all machines at once must not
    be learnt from one and met again in another. The moments beside a block are left out, at least as many as the
    rows reach back.

    Args:
        rows: the reference.
        folds: blocks.
        gap_share: share of the moments left out on each side.
        lags: rows that a row reaches back.
    """
    moments = int(rows.tick.max()) + 1
    gap = max(lags, round(gap_share * moments))
    edges = np.linspace(0, moments, folds + 1).astype(int)
    for begin, end in pairwise(edges):
        inside = (rows.tick >= begin) & (rows.tick < end)
        yield (rows.tick < begin - gap) | (rows.tick >= end + gap), inside
