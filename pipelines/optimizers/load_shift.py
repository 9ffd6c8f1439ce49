"""When to charge what waits: starts by hour, so that energy and the month's highest load cost least.

What waits comes in groups that are ready at the same time; each is charged by the same profile, as one piece. The rule
starts the one that was ready first as soon as cabinets and the power limit let it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.optimizers.runs import Floats, Ints
from pipelines.optimizers.weigh import Way, run

_SCALE = 1_000_000  # costs are whole millionths of a US$ to the solver


@dataclass(frozen=True)
class Load:
    """What waits, and what energy costs; hours count from the plan's now.

    Attributes:
        ready_h, latest_h: (n,) first and last hour in which a group may start.
        cells: (n,) cells of each group.
        profile_kw: (p,) load of one cell in each hour of its charge.
        price_usd_per_kwh: (h,) of each hour. base_kw: (h,) load of everything else.
        room: (h,) cells that find a place at the same time.
        limit_kw: highest load of all together. peak_kw: highest load of the month so far.
        demand_usd_per_kw: what each kW above it costs.
    """

    ready_h: Ints
    latest_h: Ints
    cells: Ints
    profile_kw: Floats
    price_usd_per_kwh: Floats
    base_kw: Floats
    room: Ints
    limit_kw: float
    peak_kw: float
    demand_usd_per_kw: float

    @property
    def hours(self) -> int:
        """Hours that are planned."""
        return len(self.price_usd_per_kwh)

    def charging(self, start_h: Ints, per_hour: Floats) -> Floats:
        """(h,) sum of what each started group takes by the hour of its charge."""
        total = np.zeros(self.hours)
        for start, cells in zip(start_h, self.cells, strict=True):
            total[start : start + len(per_hour)] += cells * per_hour[: self.hours - start]
        return total

    def load_kw(self, start_h: Ints) -> Floats:
        """(h,) load of all together."""
        return self.base_kw + self.charging(start_h, self.profile_kw)

    def taken(self, start_h: Ints) -> Floats:
        """(h,) cells in the cabinets."""
        return self.charging(start_h, np.ones(len(self.profile_kw)))


def _rule(problem: Load) -> Ints:
    """First ready, first in; a group that finds no hour before its latest one goes in at its latest."""
    found = problem.latest_h.copy()
    load, taken, span = problem.base_kw.copy(), np.zeros(problem.hours), len(problem.profile_kw)
    for group in np.argsort(problem.ready_h, kind="stable"):
        cells = problem.cells[group]
        for start in range(problem.ready_h[group], problem.latest_h[group] + 1):
            during = slice(start, start + span)
            if start + span > problem.hours:
                break
            fits = np.all(taken[during] + cells <= problem.room[during])
            if fits and np.all(load[during] + cells * problem.profile_kw <= problem.limit_kw + 1e-9):
                found[group] = start
                break
        during = slice(found[group], found[group] + span)
        load[during] += cells * problem.profile_kw
        taken[during] += cells
    return found


def _solve(problem: Load, start: Ints, effort: float) -> tuple[Ints, float]:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    watt = np.rint(problem.profile_kw * 1000).astype(int)
    span = len(watt)
    energy_usd = [
        float(problem.profile_kw @ problem.price_usd_per_kwh[at : at + span]) for at in range(problem.hours - span + 1)
    ]
    begun: list[dict[int, cp_model.IntVar]] = []
    load: list[list[cp_model.LinearExpr]] = [[] for _ in range(problem.hours)]
    taken: list[list[cp_model.LinearExpr]] = [[] for _ in range(problem.hours)]
    cost = []
    for group, cells in enumerate(problem.cells.tolist()):
        hours = range(int(problem.ready_h[group]), int(problem.latest_h[group]) + 1)
        row = {at: model.new_bool_var(f"g{group}_{at}") for at in hours}
        model.add_exactly_one(row.values())
        for at, one in row.items():
            model.add_hint(one, at == start[group])
            cost.append(round(cells * energy_usd[at] * _SCALE) * one)
            for later in range(span):
                load[at + later].append(cells * int(watt[later]) * one)
                taken[at + later].append(cells * one)
        begun.append(row)
    base = np.ceil(problem.base_kw * 1000).astype(int)
    floor = int(problem.peak_kw * 1000)
    limit = max(floor, int(problem.limit_kw * 1000))
    peak = model.new_int_var(floor, limit, "peak_w")
    for hour in range(problem.hours):
        if load[hour]:
            model.add(sum(load[hour]) + int(base[hour]) <= peak)
            model.add(sum(load[hour]) + int(base[hour]) <= int(problem.limit_kw * 1000))
            model.add(sum(taken[hour]) <= int(problem.room[hour]))
    demand = round(problem.demand_usd_per_kw / 1000 * _SCALE)
    model.minimize(sum(cost) + demand * (peak - floor))
    solver = run(model, effort)
    if solver is None:
        return start, 0.0
    found = np.array([next(at for at, one in row.items() if solver.value(one)) for row in begun], dtype=np.int64)
    return found, solver.best_objective_bound / _SCALE


def _cost(problem: Load, start_h: Ints) -> float:
    energy = float(problem.charging(start_h, problem.profile_kw) @ problem.price_usd_per_kwh)
    over = max(0.0, float(problem.load_kw(start_h).max(initial=0.0)) - problem.peak_kw)
    return energy + problem.demand_usd_per_kw * over


def _faults(problem: Load, start_h: Ints) -> list[str]:
    found = [f"group {no} starts before it is ready" for no in np.flatnonzero(start_h < problem.ready_h)]
    found += [f"group {no} starts too late" for no in np.flatnonzero(start_h > problem.latest_h)]
    during = problem.taken(start_h) > 0
    if np.any(problem.load_kw(start_h)[during] > problem.limit_kw + 0.01):
        found.append("more load than the limit")
    if np.any(problem.taken(start_h) > problem.room):
        found.append("more cells than the cabinets hold")
    return found


LOAD_SHIFT: Way[Load, Ints] = Way(_rule, _solve, _cost, _faults)
"""Plans are (n,): the hour in which each group starts."""
