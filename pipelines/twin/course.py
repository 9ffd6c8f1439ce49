"""What happened so far as far as values depend on it: when each day began, who stacked which cell, what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.twin.table import Bools, Ints

SPARE = 500_000  # added to the number of a lot, batch or roll that is held: the one that takes its place
LOST = 900_000  # added to the number of a batch or roll: the one before it, which was scrapped and used by no cell


@dataclass(frozen=True)
class Move:
    """A set-point that acts on what is made for this cell and later ones, of one machine or all.

    `position` is from 1; None: of all its positions.
    """

    from_cell: int
    value: float
    machine: int | None = None
    position: int | None = None


@dataclass(frozen=True)
class Course:
    """The plant's history.

    Attributes:
        first_cells: number of the first cell of each production day.
        first_stacked: number of the cell that `stackers` begins with.
        stackers: number of the stacker, from 0, of each cell whose life isn't over.
        moves: set-points by code, in the order in which they took effect.
        holds: by level, (number, first cell that takes another one).
        services: by machine id, first cells made with new tools.
    """

    first_cells: tuple[int, ...] = ()
    first_stacked: int = 0
    stackers: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    moves: dict[str, tuple[Move, ...]] = field(default_factory=dict)
    holds: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    services: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def day_of(self, cells: Ints, cells_per_day: float) -> Ints:
        """Production day of stacking; cells_per_day stands in where no day has been simulated."""
        if not self.first_cells:
            days: Ints = np.floor_divide(cells, max(1, round(cells_per_day)))
            return days
        found: Ints = np.searchsorted(np.array(self.first_cells), cells, side="right") - 1
        return np.maximum(found, 0)

    def stacker_of(self, cells: Ints, count: int) -> Ints:
        """Number of the stacker; one after the other where no day has been simulated."""
        if not len(self.stackers):
            return cells % count
        inside = np.clip(cells - self.first_stacked, 0, len(self.stackers) - 1)
        return self.stackers[inside]

    def replaced(self, level: str, numbers: Ints, first_use: Ints) -> Ints:
        """Numbers of the lots, batches or rolls really used, for planned ones and the first cell of who uses them."""
        for held, from_cell in self.holds.get(level, ()):
            taken: Bools = (numbers == held) & (first_use >= from_cell)
            numbers = np.where(taken, numbers + SPARE, numbers)
        return numbers

    def undecided(self) -> Course:
        """The same days without what was decided: the course of the counterfactual plant."""
        return replace(self, moves={}, holds={}, services={})
