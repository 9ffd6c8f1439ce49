"""In which sequence to make orders on a line whose steps follow each other: a permutation flow shop with set-ups.

Each step makes one order after the other, all steps in the same sequence; where the product changes, the step is set
up. Cost is in cell-hours: cells times hours late, and set-ups at the cells that the line would have made meanwhile.
The rule takes orders as they came.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from pipelines.optimizers.runs import Floats, Ints
from pipelines.optimizers.weigh import Way, run

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar


@dataclass(frozen=True)
class Orders:
    """Orders in the sequence in which they came; minutes count from the plan's now.

    Attributes:
        minutes: (n, s) whole minutes of each order at each step.
        due_min: (n,) when it is promised, in whole minutes; may be past.
        cells: (n,) cells of each.
        product: (n,) number of the product.
        setup_min: (s,) whole minutes of a set-up at each step.
        setup_cell_h: what a change of product costs, cell-hours.
    """

    minutes: Ints
    due_min: Ints
    cells: Ints
    product: Ints
    setup_min: Ints
    setup_cell_h: float


def timed(problem: Orders, sequence: Ints) -> Ints:
    """(n, s) earliest start of each order at each step, when they are made in this sequence."""
    starts = np.zeros_like(problem.minutes)
    free, last = np.zeros(len(problem.setup_min), dtype=np.int64), -1
    for order in sequence:
        changes = last >= 0 and problem.product[order] != problem.product[last]
        at = 0
        for step, minutes in enumerate(problem.minutes[order]):
            at = max(at, int(free[step]) + (int(problem.setup_min[step]) if changes else 0))
            starts[order, step] = at
            at += int(minutes)
            free[step] = at
        last = order
    return starts


def late_min(problem: Orders, starts: Ints) -> Floats:
    """(n,) minutes by which each order is late."""
    found: Floats = np.maximum(starts[:, -1] + problem.minutes[:, -1] - problem.due_min, 0).astype(np.float64)
    return found


def _rule(problem: Orders) -> Ints:
    return timed(problem, np.arange(len(problem.cells)))


def _solve(problem: Orders, start: Ints, effort: float) -> tuple[Ints, float]:
    from ortools.sat.python import cp_model

    start = min(start, timed(problem, np.argsort(problem.due_min, kind="stable")), key=lambda one: _cost(problem, one))
    count, steps = problem.minutes.shape
    horizon = int(problem.minutes.sum() + count * problem.setup_min.sum())
    model = cp_model.CpModel()
    at = [[model.new_int_var(0, horizon, f"s{no}_{step}") for step in range(steps)] for no in range(count)]
    change = _one_after_the_other(model, problem, at)
    late = []
    for no in range(count):
        for step in range(1, steps):
            model.add(at[no][step] >= at[no][step - 1] + int(problem.minutes[no, step - 1]))
        over = model.new_int_var(0, horizon + max(0, -int(problem.due_min[no])), f"late{no}")
        model.add(over >= at[no][-1] + int(problem.minutes[no, -1] - problem.due_min[no]))
        late.append(int(problem.cells[no]) * over)
        for step in range(steps):
            model.add_hint(at[no][step], int(start[no, step]))
    model.minimize(sum(late) + round(problem.setup_cell_h * 60) * sum(change))
    solver = run(model, effort)
    if solver is None:
        return start, 0.0
    found = np.array([[solver.value(one) for one in row] for row in at], dtype=np.int64).reshape(count, steps)
    return timed(problem, sequence_of(found)), solver.best_objective_bound / 60


def _one_after_the_other(model: CpModel, problem: Orders, at: list[list[IntVar]]) -> list[IntVar]:
    """One sequence for all steps, each set up where the product changes; returns the changes that may be made."""
    count, change = len(at), []
    arcs = [(0, no + 1, model.new_bool_var(f"first{no}")) for no in range(count)]
    arcs += [(no + 1, 0, model.new_bool_var(f"last{no}")) for no in range(count)]
    for one, other in permutations(range(count), 2):
        follows = model.new_bool_var(f"a{one}_{other}")
        arcs.append((one + 1, other + 1, follows))
        differs = problem.product[one] != problem.product[other]
        if differs:
            change.append(follows)
        for step, setup in enumerate(problem.setup_min.tolist()):
            end = at[one][step] + int(problem.minutes[one, step]) + (setup if differs else 0)
            model.add(at[other][step] >= end).only_enforce_if(follows)
    model.add_circuit(arcs)
    return change


def sequence_of(starts: Ints) -> Ints:
    """Orders in the sequence in which they are begun."""
    return np.argsort(starts[:, 0], kind="stable")


def _cost(problem: Orders, starts: Ints) -> float:
    products = problem.product[sequence_of(starts)]
    changes = int((products[1:] != products[:-1]).sum())
    return float((problem.cells * late_min(problem, starts)).sum() / 60 + problem.setup_cell_h * changes)


def _faults(problem: Orders, starts: Ints) -> list[str]:
    ends, found = starts + problem.minutes, []
    if np.any(starts < 0):
        found.append("an order begins in the past")
    if np.any(starts[:, 1:] < ends[:, :-1]):
        found.append("an order is at two steps at once")
    for step in range(starts.shape[1]):
        order = np.argsort(starts[:, step], kind="stable")
        before, after = order[:-1], order[1:]
        setup = np.where(problem.product[before] != problem.product[after], problem.setup_min[step], 0)
        if np.any(starts[after, step] < ends[before, step] + setup):
            found.append(f"step {step} makes two orders at once, or is not set up between them")
    return found


SEQUENCING: Way[Orders, Ints] = Way(_rule, _solve, _cost, _faults)
"""Plans are (n, s): the minute in which each order begins at each step."""
