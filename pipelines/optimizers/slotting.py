"""Into which lanes of a store to put trays: lanes are two deep, and what leaves first must not stand behind.

A tray in front that is due later than the one behind it has to be moved out of the way. Cost is metres of travel: in
and out again, and a fixed length for each tray that is moved. The rule takes the nearest lane with a free place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.optimizers.runs import Bools, Floats, Ints
from pipelines.optimizers.weigh import Way, run

_CM = 100


@dataclass(frozen=True)
class Slotting:
    """Lanes and trays.

    Attributes:
        travel_m: (l,) from the door to each lane.
        behind_due_s: (l,) when the tray at the back is due, NaN where there is none.
        is_full: (l,) whether a tray stands in front.
        due_s: (n,) when each tray is due, in the order in which they come.
        relocation_m: travel of a tray that is moved out of the way.
    """

    travel_m: Floats
    behind_due_s: Floats
    is_full: Bools
    due_s: Floats
    relocation_m: float

    @property
    def places(self) -> Ints:
        """(l,) free places."""
        found: Ints = np.where(self.is_full, 0, np.where(np.isnan(self.behind_due_s), 2, 1)).astype(np.int64)
        return found


def _rule(problem: Slotting) -> Ints:
    free, lanes = problem.places.copy(), np.argsort(problem.travel_m, kind="stable")
    found = np.empty(len(problem.due_s), dtype=np.int64)
    for tray in range(len(found)):
        lane = next((one for one in lanes if free[one] > 0), -1)
        found[tray] = lane
        if lane >= 0:
            free[lane] -= 1
    return found


def _solve(problem: Slotting, start: Ints, effort: float) -> tuple[Ints, float]:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    trays = range(len(problem.due_s))
    nearest = np.argsort(problem.travel_m, kind="stable")
    empty = [int(lane) for lane in nearest if problem.places[lane] == 2][: len(trays)]
    half = [int(lane) for lane in nearest if problem.places[lane] == 1]
    travel = np.rint(problem.travel_m * _CM).astype(int)
    move = round(problem.relocation_m * _CM)
    into = {(tray, lane): model.new_bool_var(f"t{tray}_{lane}") for tray in trays for lane in (*empty, *half)}
    for (tray, lane), placed in into.items():
        model.add_hint(placed, int(start[tray]) == lane)
    cost = [2 * int(travel[lane]) * placed for (_, lane), placed in into.items()]
    for tray in trays:
        model.add_exactly_one(into[tray, lane] for lane in (*empty, *half))
    for lane in half:
        model.add_at_most_one(into[tray, lane] for tray in trays)
        cost += [move * into[tray, lane] for tray in trays if problem.due_s[tray] > problem.behind_due_s[lane]]
    crossing = [(one, other) for one in trays for other in trays if one < other and _crosses(problem, one, other)]
    for lane in empty:
        model.add(sum(into[tray, lane] for tray in trays) <= 2)
        moved = model.new_bool_var(f"moved{lane}")
        cost.append(move * moved)
        for one, other in crossing:
            model.add_bool_or(into[one, lane].negated(), into[other, lane].negated(), moved)
    model.minimize(sum(cost))
    solver = run(model, effort)
    if solver is None:
        return start, 0.0
    found = np.array(
        [next(lane for lane in (*empty, *half) if solver.value(into[tray, lane])) for tray in trays], dtype=np.int64
    )
    return found, solver.best_objective_bound / _CM


def _crosses(problem: Slotting, first: int, second: int) -> bool:
    """Whether a tray stands in the way of the one that came before it into the same lane."""
    return bool(problem.due_s[second] > problem.due_s[first])


def relocations(problem: Slotting, lane: Ints) -> int:
    """Trays that will have to be moved out of the way."""
    behind, count = problem.behind_due_s.copy(), 0
    for tray, into in enumerate(lane):
        if np.isnan(behind[into]):
            behind[into] = problem.due_s[tray]
        else:
            count += int(problem.due_s[tray] > behind[into])
    return count


def _cost(problem: Slotting, lane: Ints) -> float:
    return float(2 * problem.travel_m[lane].sum() + problem.relocation_m * relocations(problem, lane))


def _faults(problem: Slotting, lane: Ints) -> list[str]:
    if np.any(lane < 0):
        return ["a tray without a place"]
    over = np.flatnonzero(np.bincount(lane, minlength=len(problem.travel_m)) > problem.places)
    return [f"lane {one} holds more trays than it has places" for one in over]


SLOTTING: Way[Slotting, Ints] = Way(_rule, _solve, _cost, _faults)
"""Plans are (n,): the lane of each tray."""
