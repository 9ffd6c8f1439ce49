"""Which daughter rolls to cut from the clean stretches of mother rolls: a cutting-stock problem.

A daughter roll serves a whole number of cells; its head and tail are lost in threading. Cost is what is left over, in
metres. The rule cuts stretch by stretch and takes the longest wanted roll that still fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.optimizers.runs import Floats, Ints
from pipelines.optimizers.weigh import Way, run

_MM = 1000  # lengths are whole millimetres to the solver


@dataclass(frozen=True)
class Cutting:
    """What is there and what is wanted.

    Attributes:
        stretch_m: (n,) length of each clean stretch, in the order in which they are cut.
        cells: (k,) cells that a roll of each size serves, the largest first.
        need: (k,) rolls of each size that are wanted at most.
        cell_m: web of a cell. thread_m: lost at the ends of each daughter roll together.
    """

    stretch_m: Floats
    cells: Ints
    need: Ints
    cell_m: float
    thread_m: float

    @property
    def roll_m(self) -> Floats:
        """Web that a roll of each size takes, its lost ends with it."""
        found: Floats = self.cells.astype(np.float64) * self.cell_m + self.thread_m
        return found


def stretches(length_m: float, marks: Floats) -> Floats:
    """Clean stretches of a roll, (n, 2) from and to in metres; marks are (m, 2) intervals to be left out."""
    edge, found = 0.0, []
    for begin, end in sorted(marks.tolist()):
        if begin > edge:
            found.append((edge, min(begin, length_m)))
        edge = max(edge, end)
    if edge < length_m:
        found.append((edge, length_m))
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _rule(problem: Cutting) -> Ints:
    count = np.zeros((len(problem.stretch_m), len(problem.cells)), dtype=np.int64)
    need = problem.need.copy()
    for no, length_m in enumerate(problem.stretch_m):
        left = length_m
        for size, roll_m in enumerate(problem.roll_m):
            fits = min(int((left + 1e-9) // roll_m), int(need[size]))
            count[no, size], need[size], left = fits, need[size] - fits, left - fits * roll_m
    return count


def _solve(problem: Cutting, start: Ints, effort: float) -> tuple[Ints, float]:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    roll_mm = np.ceil(problem.roll_m * _MM - 1e-6).astype(int)
    stretch_mm = np.floor(problem.stretch_m * _MM + 1e-6).astype(int)
    rows = []
    for no, length in enumerate(stretch_mm):
        row = [
            model.new_int_var(0, int(min(need, length // size)), f"n{no}_{k}")
            for k, (need, size) in enumerate(zip(problem.need, roll_mm, strict=True))
        ]
        model.add(sum(int(size) * one for size, one in zip(roll_mm, row, strict=True)) <= int(length))
        for one, begun in zip(row, start[no], strict=True):
            model.add_hint(one, int(begun))
        rows.append(row)
    for size, need in enumerate(problem.need):
        model.add(sum(row[size] for row in rows) <= int(need))
    model.maximize(sum(int(cells) * row[size] for row in rows for size, cells in enumerate(problem.cells)))
    solver = run(model, effort)
    if solver is None:
        return start, 0.0
    found = np.array([[solver.value(one) for one in row] for row in rows], dtype=np.int64).reshape(start.shape)
    return found, float(problem.stretch_m.sum() - solver.best_objective_bound * problem.cell_m)


def _cost(problem: Cutting, count: Ints) -> float:
    return float(problem.stretch_m.sum() - (count @ problem.cells).sum() * problem.cell_m)


def _faults(problem: Cutting, count: Ints) -> list[str]:
    found = []
    if np.any(count < 0):
        found.append("a negative number of rolls")
    longer = np.flatnonzero(count @ problem.roll_m > problem.stretch_m + 1e-6)
    found += [f"stretch {no} is cut longer than it is" for no in longer]
    more = np.flatnonzero(count.sum(axis=0) > problem.need)
    found += [f"more rolls of {problem.cells[size]} cells than wanted" for size in more]
    return found


CUTTING: Way[Cutting, Ints] = Way(_rule, _solve, _cost, _faults)
"""Plans are (n, k): rolls of each size from each stretch."""
