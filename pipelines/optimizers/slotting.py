"""Into which places of a store to put trays: near the door, and so that what leaves first does not stand behind.

A lane has one place or two. A tray in front that is due later than the one behind it has to be moved out of the way.
Cost is metres of travel: in and out again, and a fixed length for each tray that is moved. The rule takes the first
free place in the store's own order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pipelines.optimizers.runs import Bools, Floats, Ints
from pipelines.optimizers.weigh import Way, run

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar, LinearExpr

_CM = 100


@dataclass(frozen=True)
class Slotting:
    """Lanes and trays.

    Attributes:
        travel_m: (l,) from the door to each lane, in the store's own order.
        behind_due_s: (l,) when the tray at the back is due, NaN where there is none.
        is_full: (l,) whether the front is taken.
        due_s: (n,) when each tray is due, in the order in which they come.
        relocation_m: travel of a tray that is moved out of the way.
        deep: places of a lane, 1 or 2.
    """

    travel_m: Floats
    behind_due_s: Floats
    is_full: Bools
    due_s: Floats
    relocation_m: float
    deep: int = 1

    @property
    def places(self) -> Ints:
        """(l,) free places."""
        taken = np.where(self.is_full, self.deep, ~np.isnan(self.behind_due_s))
        found: Ints = (self.deep - taken).astype(np.int64)
        return found

    @property
    def empty(self) -> list[int]:
        """Empty lanes that are near enough to be used, the nearest first."""
        nearest = np.argsort(self.travel_m, kind="stable")
        return [int(lane) for lane in nearest if self.places[lane] == self.deep][: len(self.due_s)]

    @property
    def half(self) -> list[int]:
        """Lanes with a free place in front: of those that are as good for every tray, the nearest."""
        found: list[int] = []
        used: dict[int, int] = {}
        for lane in np.argsort(self.travel_m, kind="stable"):
            if self.deep == 2 and self.places[lane] == 1:
                free = int((self.due_s <= self.behind_due_s[lane]).sum())
                used[free] = used.get(free, 0) + 1
                if used[free] <= len(self.due_s):
                    found.append(int(lane))
        return found


def _rule(problem: Slotting) -> Ints:
    free = problem.places.copy()
    found = np.full(len(problem.due_s), -1, dtype=np.int64)
    for tray in range(len(found)):
        if (free > 0).any():
            found[tray] = int(np.argmax(free > 0))
            free[found[tray]] -= 1
    return found


def _solve(problem: Slotting, start: Ints, effort: float) -> tuple[Ints, float]:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    trays, empty, half = range(len(problem.due_s)), problem.empty, problem.half
    travel = np.rint(problem.travel_m * _CM).astype(int)
    move = round(problem.relocation_m * _CM)
    alone = {tray: model.new_bool_var(f"alone{tray}") for tray in trays}
    front = {(tray, lane): model.new_bool_var(f"f{tray}_{lane}") for tray in trays for lane in half}
    both = {pair: model.new_bool_var(f"p{pair}") for pair in combinations(trays, 2)} if problem.deep == 2 else {}
    for tray in trays:
        shared = [one for pair, one in both.items() if tray in pair]
        model.add_exactly_one([alone[tray], *shared, *(front[tray, lane] for lane in half)])
    for lane in half:
        model.add_at_most_one(front[tray, lane] for tray in trays)
    cost = _travel(model, [int(travel[lane]) for lane in empty], list(alone.values()), list(both.values()))
    for (tray, lane), one in front.items():
        moved = problem.due_s[tray] > problem.behind_due_s[lane]
        cost.append((2 * int(travel[lane]) + (move if moved else 0)) * one)
    cost += [move * one for (first, second), one in both.items() if problem.due_s[second] > problem.due_s[first]]
    model.minimize(sum(cost))
    solver = run(model, effort)
    if solver is None:
        return start, 0.0
    found = np.empty(len(trays), dtype=np.int64)
    for (tray, lane), one in front.items():
        if solver.value(one):
            found[tray] = lane
    groups = [pair for pair, one in both.items() if solver.value(one)]
    for lane, group in zip(empty, [*groups, *((tray,) for tray in trays if solver.value(alone[tray]))], strict=False):
        found[list(group)] = lane
    return found, solver.best_objective_bound / _CM


def _travel(model: CpModel, travel: list[int], alone: list[IntVar], both: list[IntVar]) -> list[LinearExpr]:
    """Travel to empty lanes: those with two trays are the nearest, for both have to go there."""
    cost, one, two = [], [], []
    for lane, way in enumerate(travel):
        one.append(model.new_bool_var(f"one{lane}"))
        two.append(model.new_bool_var(f"two{lane}"))
        cost += [2 * way * one[-1], 2 * way * two[-1]]
    model.add(sum(one) == sum(alone) + sum(both))
    model.add(sum(two) == sum(both))
    return cost


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
"""Plans are (n,): the number of the lane of each tray."""
