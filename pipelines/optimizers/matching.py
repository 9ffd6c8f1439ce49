"""Which graded cells to put together into modules, so that those of a module are alike.

Cost is the sum over modules and quantities of the range within the module, in units of the quantity's tolerance. The
rule takes cells as they came. No grouping can be better than one quantity at a time sorted, which is the bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipelines.optimizers.runs import Floats, Ints
from pipelines.optimizers.weigh import Way, run

_SCALE = 1000
_WHOLE = 24  # cells up to which all modules are solved as one


@dataclass(frozen=True)
class Cells:
    """Cells in the order in which they came.

    Attributes:
        value: (n, f) quantities in units of their tolerance; n is a multiple of `size`.
        size: cells of a module.
    """

    value: Floats
    size: int

    @property
    def modules(self) -> int:
        """Modules that are made."""
        return len(self.value) // self.size


def ranges(problem: Cells, module: Ints) -> Floats:
    """(m, f) range of each quantity within each module."""
    order = np.argsort(module, kind="stable")
    grouped = problem.value[order].reshape(problem.modules, problem.size, -1)
    found: Floats = np.ptp(grouped, axis=1)
    return found


def _rule(problem: Cells) -> Ints:
    return np.arange(len(problem.value)) // problem.size


def _solve(problem: Cells, start: Ints, effort: float) -> tuple[Ints, float]:
    bound = float(sum(_cost(Cells(one[:, None], problem.size), _sorted(problem, one)) for one in problem.value.T))
    starts = [start, *(_sorted(problem, key) for key in _keys(problem))]
    best = min((_swapped(problem, one) for one in starts), key=lambda one: _cost(problem, one))
    if len(problem.value) <= _WHOLE:
        found, proven = _together(problem, best, list(range(problem.modules)), effort)
        return found, max(bound, proven)
    pairs = list(combinations(range(problem.modules), 2))
    for one, other in pairs:
        best, _ = _together(problem, best, [one, other], effort / len(pairs))
    return best, bound


def _sorted(problem: Cells, key: Floats) -> Ints:
    found = np.empty(len(key), dtype=np.int64)
    found[np.argsort(key, kind="stable")] = _rule(problem)
    return found


def _keys(problem: Cells) -> Iterator[Floats]:
    """Each quantity, and the direction in which cells differ most."""
    yield from problem.value.T
    centred = problem.value - problem.value.mean(axis=0)
    yield centred @ np.linalg.svd(centred, full_matrices=False)[2][0]


def _swapped(problem: Cells, module: Ints) -> Ints:
    """Swap two cells of different modules, the best two first, until no swap lowers the cost."""
    module = module.copy()
    idle = False
    while not idle:
        idle = True
        for one, other in combinations(range(problem.modules), 2):
            first, second = np.flatnonzero(module == one), np.flatnonzero(module == other)
            after = _after(problem.value, first, second) + _after(problem.value, second, first).T
            now = float(np.ptp(problem.value[first], axis=0).sum() + np.ptp(problem.value[second], axis=0).sum())
            place = np.unravel_index(int(after.argmin()), after.shape)
            if after[place] < now - 1e-9:
                module[first[place[0]]], module[second[place[1]]] = other, one
                idle = False
    return module


def _after(value: Floats, own: Ints, theirs: Ints) -> Floats:
    """(n, m) range of a module, all quantities, where its cell i is replaced by the other's cell j."""
    order = np.sort(value[own], axis=0)
    low = np.where(value[own] == order[0], order[1], order[0])
    high = np.where(value[own] == order[-1], order[-2], order[-1])
    new = value[theirs][None, :, :]
    found: Floats = (np.maximum(high[:, None, :], new) - np.minimum(low[:, None, :], new)).sum(axis=2)
    return found


def _together(problem: Cells, module: Ints, chosen: list[int], effort: float) -> tuple[Ints, float]:
    """Divide the cells of some modules anew among them; the plan, and the proven bound of these modules' cost."""
    from ortools.sat.python import cp_model

    cells = np.flatnonzero(np.isin(module, chosen))
    value = np.rint((problem.value[cells] - problem.value[cells].min(axis=0)) * _SCALE).astype(int)
    most = value.max(axis=0)
    model = cp_model.CpModel()
    inside = [[model.new_bool_var(f"c{no}_{one}") for one in chosen] for no in range(len(cells))]
    spread = []
    for place, one in enumerate(chosen):
        model.add(sum(row[place] for row in inside) == problem.size)
        for quantity, top in enumerate(most.tolist()):
            low = model.new_int_var(0, top, f"l{one}_{quantity}")
            high = model.new_int_var(0, top, f"h{one}_{quantity}")
            spread.append(high - low)
            for row, shown in zip(inside, value[:, quantity].tolist(), strict=True):
                model.add(low <= shown).only_enforce_if(row[place])
                model.add(high >= shown).only_enforce_if(row[place])
    for row, cell in zip(inside, cells, strict=True):
        model.add_exactly_one(row)
        for place, one in enumerate(chosen):
            model.add_hint(row[place], bool(module[cell] == one))
    model.add(inside[0][0] == 1)  # modules have no names: the first cell may be in the first
    model.minimize(sum(spread))
    solver = run(model, effort)
    if solver is None:
        return module, 0.0
    found = module.copy()
    found[cells] = [chosen[[solver.value(one) for one in row].index(1)] for row in inside]
    better = found if _cost(problem, found) < _cost(problem, module) else module
    rounding = len(chosen) * value.shape[1]
    return better, (solver.best_objective_bound - rounding) / _SCALE


def _cost(problem: Cells, module: Ints) -> float:
    return float(ranges(problem, module).sum())


def _faults(problem: Cells, module: Ints) -> list[str]:
    count = np.bincount(module, minlength=problem.modules)
    return [f"module {one} has {count[one]} cells" for one in np.flatnonzero(count != problem.size)]


MATCHING: Way[Cells, Ints] = Way(_rule, _solve, _cost, _faults)
"""Plans are (n,): the module of each cell."""
