"""One plant, by the plan and by the rule: what is cut, put together and kept in stock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.optimizer.plan_spec import Cutting, Matching, Stock
from orchestration.evaluation.ground import Ground
from pipelines.optimizers import cutting as cuts
from pipelines.optimizers import matching as groups
from pipelines.optimizers import stocking
from pipelines.optimizers.runs import Floats, Ints
from pipelines.optimizers.weigh import Way, Weighed, weigh
from pipelines.twin.cells import Cells
from pipelines.twin.world import World

_DAYS = 2
_SPLICE_M = 50.0  # scrapped around a splice: 30 to 100 m (domain 1.3)
_YEAR_D = 360
_REVIEWS = 4  # looks at past use in a year


@dataclass(frozen=True)
class Trial:
    """One plant.

    Attributes:
        measure: what costs are, with the unit. rule: what the plant does without the plan.
        cost, rule_cost: as it turned out. plans: made. crossed: limits that were crossed, a sentence each.
    """

    measure: str
    rule: str
    cost: float
    rule_cost: float
    plans: int
    crossed: list[str]

    @property
    def gain(self) -> float:
        """Share of the rule's cost that the plan takes away."""
        return 1 - self.cost / self.rule_cost if self.rule_cost > 0 else 0.0


P = TypeVar("P")
T = TypeVar("T")


def planned(way: Way[P, T], problem: P, effort: float, crossed: list[str]) -> Weighed[T]:
    """A plan, with its faults gathered."""
    found = weigh(way, problem, effort)
    crossed += way.faults(problem, found.plan)
    return found


def cutting(kind: Cutting, ground: Ground, seed: int) -> Trial:
    """Two days of rolls off the calender, each cut at once; splices of the coater, wherever they are, are cut out."""
    rng, crossed = np.random.default_rng([seed, 18]), []
    cost = rule_cost = 0.0
    sizes = sorted(kind.sizes, key=lambda size: -size.cells)
    cells, need = (np.array(each) for each in zip(*((s.cells, s.rolls // kind.lanes) for s in sizes), strict=True))
    for electrode in ("cathode", "anode"):
        line = ground.section(seed, _DAYS).electrode(electrode)
        rolls = line.rolls("calendering")
        splices = np.rint(line.shown(f"{electrode}_splice_count", rolls, np.arange(len(rolls)))).astype(int)
        length_m = World(ground.site, seed, "baseline", 1.0).p("plan.roll_length_m")
        day = ((rolls.at_s - rolls.at_s[0]) // 86400).astype(int)
        for number in range(_DAYS):
            own = [_clean(rng, length_m, count) for count in splices[day == number]]
            if not own:
                continue
            problem = cuts.Cutting(np.concatenate(own), cells, need, kind.cell_m, kind.thread_m)
            found = planned(cuts.CUTTING, problem, kind.effort, crossed)
            cost, rule_cost = cost + found.cost, rule_cost + found.rule_cost
    return Trial("web left over, m of a lane", "longest that fits", cost, rule_cost, 2 * _DAYS, crossed)


def _clean(rng: np.random.Generator, length_m: float, splices: int) -> Floats:
    middle = rng.uniform(0, length_m, splices)
    marks = np.column_stack([middle - _SPLICE_M / 2, middle + _SPLICE_M / 2])
    clean = cuts.stretches(length_m, marks)
    found: Floats = clean[:, 1] - clean[:, 0]
    return found


def matching(kind: Matching, ground: Ground, seed: int) -> Trial:
    """Premium cells as they come from grading: grouped by what was measured, judged by what is true."""
    world, size = World(ground.site, seed, "baseline", 1.0), ground.site.product.cells_per_module
    wanted = kind.modules * size
    cells = Cells(world, np.arange(2 * wanted), np.arange(2 * wanted) * world.p("line.stack_time_s"))
    shown = {**cells.aged(), **cells.graded()}
    good = np.flatnonzero(np.isin(shown["grade_code"].astype(str), kind.grades))[:wanted]
    tolerance = np.array(list(kind.alike.values()))
    measured = np.column_stack([np.asarray(shown[code], dtype=np.float64) for code in kind.alike])[good]
    rows = [ground.site.plan.by_code[code] for code in kind.alike]
    true = np.column_stack([world.value(row, cells.z(row.code)) for row in rows])[good]
    crossed: list[str] = []
    found = planned(groups.MATCHING, groups.Cells(measured / tolerance, size), kind.effort, crossed)
    real = groups.Cells(true / tolerance, size)
    cost, rule_cost = (groups.MATCHING.cost(real, plan) for plan in (found.plan, found.rule))
    return Trial("true range within modules, tolerances", "as they come", cost, rule_cost, 1, crossed)


def stock(kind: Stock, ground: Ground, seed: int) -> Trial:
    """A year of failures: each machine class has three parts, whose use is only known from what was used before."""
    rng, crossed = np.random.default_rng([seed, 38]), []
    world = World(ground.site, seed, "baseline", 1.0)
    machines = np.array(
        [len(ground.site.machines(name)) for name in sorted({one.machine_class for one in ground.site.machines()})]
    )
    failures_per_d = np.repeat(machines, 3) * 24 / world.p("equipment.life_mean_h")
    share = rng.dirichlet(np.ones(3), len(machines)).ravel()
    rate = failures_per_d * share
    price, lead_d = np.round(rng.lognormal(5.5, 1.0, len(rate)), 2), np.round(rng.uniform(3, 45, len(rate)), 1)
    used = rng.poisson(rate * kind.learn_days).astype(np.float64)
    there = np.full(len(rate), kind.keep, dtype=np.int64)
    levels = [there, there]
    # Until its levels are reached the budget of each day buys a part of the way; the rule is there already.
    for _ in range(_REVIEWS):
        found = [
            planned(stocking.STOCKING, _stocking(kind, used, lead_d, price, level), kind.effort, crossed)
            for level in levels
        ]
        levels = [found[0].plan, found[1].rule]
    demand = rng.poisson(rate[:, None] * np.ones(_YEAR_D)[None, :])
    cost, rule_cost = (_year_usd(kind, level, demand, lead_d, price) for level in levels)
    return Trial("stock and standing still, US$ a year", f"{kind.keep} of each", cost, rule_cost, _REVIEWS, crossed)


def _stocking(kind: Stock, used: Floats, lead_d: Floats, price: Floats, stock: Ints) -> stocking.Stocking:
    return stocking.Stocking(
        used, kind.learn_days, lead_d, kind.review_d, price, stock, kind.holding_ratio, kind.short_usd, kind.budget_usd,
        kind.keep,
    )  # fmt: skip


def _year_usd(kind: Stock, level: Ints, demand: Ints, lead_d: Floats, price: Floats) -> float:
    """Cost of a year in which each review orders up to the level and what is missing is waited for."""
    at_hand, on_way = level.astype(np.float64), np.zeros((len(level), _YEAR_D + 60))
    short = holding = 0.0
    lead = np.ceil(lead_d).astype(int)
    for day in range(_YEAR_D):
        at_hand += on_way[:, day]
        after = at_hand - demand[:, day]
        short += float((np.maximum(-after, 0) - np.maximum(-at_hand, 0)).clip(min=0).sum())
        at_hand = after
        holding += float((np.maximum(at_hand, 0) * price).sum()) * kind.holding_ratio / 365
        if day % round(kind.review_d) == 0:
            missing = np.maximum(level - at_hand - on_way[:, day + 1 :].sum(axis=1), 0)
            on_way[np.arange(len(level)), day + lead] += missing
    return holding + kind.short_usd * short
