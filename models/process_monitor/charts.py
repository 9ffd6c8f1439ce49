"""A chart of each variable by itself: single values, EWMA, CUSUM, run rules. Part of the runtime in every bundle.

A copy of this file lies beside that of `runtime.py` in every logged model; nothing of this project is imported. Each
row looks back on a bounded number of rows of its run, so that its answer is the same whenever it is scored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
MEMORY = 128  # rows that a chart looks back on, a power of 2; an EWMA of weight 0.05 has 0.1 % of its weight before
_RUNS = {
    "two_of_three": (2, 3, 2.0),
    "four_of_five": (4, 5, 1.0),
    "eight_on_a_side": (8, 8, 0.0),
    "nine_on_a_side": (9, 9, 0.0),
    "six_rising_or_falling": (5, 5, 0.0),
    "fourteen_alternating": (13, 13, 0.0),
}
"""Rules of one side: how many of how many points (of trends and swings: steps) lie beyond how many sigma."""


def _doubled(values: Array, before: Array, join: Callable[[Array, Array, int], Array]) -> Array:
    """A running sum or minimum over each row's last `MEMORY` rows of its run, in steps that double."""
    out, step = values, 1
    while step < MEMORY:
        reached = (before >= step)[:, None]
        out = np.where(reached, join(out, np.roll(out, step, axis=0), step), out)
        step *= 2
    return out


def ewma(z: Array, before: Array, weight: float) -> Array:
    """Exponentially weighted means over their own standard deviation, which grows from the first row of a run on.

    Args:
        z: standardised (rows, variables), in the order of `follow`.
        before: rows before each in its run.
        weight: of the newest row, in (0, 1].
    """
    keep = 1.0 - weight
    mean = _doubled(weight * z, before, lambda own, earlier, step: own + keep**step * earlier)
    seen = np.minimum(before + 1, MEMORY)[:, None]
    return np.asarray(mean / np.sqrt(weight / (2 - weight) * (1 - keep ** (2 * seen))))


def xbar(z: Array, before: Array, rows: int) -> Array:
    """Means of each row's last `rows` rows, or of as many as its run has, over their own standard deviation."""
    total = np.cumsum(z, axis=0)
    count = np.minimum(before + 1, rows)
    return np.asarray((total - (total - z)[np.arange(len(z)) - count + 1]) / np.sqrt(count)[:, None])


def cusum(z: Array, before: Array, slack: float) -> Array:
    """The larger of the two one-sided cumulative sums of what exceeds `slack` sigma.

    The largest sum over rows that end at this one and begin no earlier than `MEMORY` rows ago: as long as the sum was
    zero since then, and it is every few rows where nothing shifts, that of Page, Biometrika 41 (1954) 100.
    """
    sides = []
    for drift in (z - slack, -z - slack):
        total = np.cumsum(drift, axis=0)
        least = _doubled(total - drift, before, lambda own, earlier, _: np.minimum(own, earlier))
        sides.append(np.maximum(total - least, 0.0))
    return np.maximum(*sides)


def rule_signals(z: Array, before: Array, rule: str) -> Array:
    """Points that complete a run rule, as `pipelines.charts.rules` defines it (rows, variables).

    Args:
        z: standardised (rows, variables), in the order of `follow`; a missing value takes part in no rule.
        before: rows before each in its run.
        rule: its name.
    """
    if rule == "fifteen_within_1_sigma":
        return _counted(np.abs(z) <= 1.0, before, 15, 15)
    if rule == "eight_beyond_1_sigma":
        beyond = [_counted(side, before, 1, 8, newest=False) for side in (z > 1.0, z < -1.0)]
        return np.asarray(_counted(np.abs(z) > 1.0, before, 8, 8) & np.logical_and(*beyond))
    count, of, sigmas = _RUNS[rule]
    if rule in ("six_rising_or_falling", "fourteen_alternating"):
        step = z - np.roll(z, 1, axis=0)
        z, before = (step if rule == "six_rising_or_falling" else _swings(step)), before - 1
    return np.asarray(_counted(z > sigmas, before, count, of) | _counted(z < -sigmas, before, count, of))


def _counted(side: Array, before: Array, count: int, of: int, *, newest: bool = True) -> Array:
    """Whether `count` of the last `of` points of a run are on a side, the newest among them unless told otherwise."""
    found = np.zeros(side.shape, dtype=np.int64)
    for back in range(of):
        found += np.roll(side, back, axis=0) & (before >= back)[:, None]
    return np.asarray((found >= count) & (side if newest else True))


def _swings(step: Array) -> Array:
    """Steps with every second one turned round: up and down in turn then all have one sign."""
    turns = np.where(np.arange(len(step)) % 2 == 0, 1.0, -1.0)
    return np.asarray(step * turns[:, None])


class Charts:
    """A chart of each variable by itself.

    Args:
        content: `centre`, `sigma` and `carry` (share of the last row's deviation that the next one is expected to have)
            per variable, `kinds`, `subgroup` (rows) of the X-bar, `weight` of the EWMA, `slack` of the CUSUM, `rules`
            that signal too.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.kinds: list[str] = content["kinds"]

    def deviations(self, x: Array, before: Array) -> Array:
        """What of each variable was not to be expected from the row before, in sigma (rows, variables)."""
        centred, carry = x - np.asarray(self.content["centre"]), np.asarray(self.content["carry"])
        left = centred - carry * np.nan_to_num(np.roll(centred, 1, axis=0), nan=0.0)
        # The first row of a run has none before it that tells: it varies by as much as the variable itself does.
        left = np.where(before[:, None] < 1, centred * np.sqrt(1 - carry**2), left)
        return np.asarray(left / np.asarray(self.content["sigma"]))

    def each(self, x: Array, before: Array) -> dict[str, Array]:
        """Size of each chart's statistic (rows, variables); what is missing counts as usual."""
        z = np.nan_to_num(self.deviations(x, before), nan=0.0)
        made: dict[str, Callable[[], Array]] = {
            "individuals": lambda: np.abs(z),
            "xbar": lambda: np.abs(xbar(z, before, self.content["subgroup"])),
            "ewma": lambda: np.abs(ewma(z, before, self.content["weight"])),
            "cusum": lambda: cusum(z, before, self.content["slack"]),
        }
        return {kind: made[kind]() for kind in self.kinds}

    def ruled(self, x: Array, before: Array) -> Array:
        """Whether one of the run rules signals (rows, variables)."""
        z = self.deviations(x, before)
        found = [rule_signals(z, before, rule) for rule in self.content["rules"]]
        return np.logical_or.reduce(found) if found else np.zeros(z.shape, dtype=bool)
