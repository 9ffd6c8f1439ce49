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
from pipelines.twin.equipment import Equipment
from pipelines.twin.interventions import Interventions
from pipelines.twin.table import Array
from pipelines.twin.upkeep import spare_part_counts, spare_part_uses
from pipelines.twin.world import World

_DAYS = 2
_SPLICE_M = 50.0  # scrapped around a splice: 30 to 100 m (domain 1.3)
_YEAR_D = 360
_WEEK = 7
_BUDGETS = 4  # days on which parts are ordered before the year begins


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
    rng = np.random.default_rng([seed, 18])
    crossed: list[str] = []
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
    tolerance = np.array(list(kind.alike.values()), dtype=np.float64)
    measured = np.column_stack([np.asarray(shown[code], dtype=np.float64) for code in kind.alike])[good]
    rows = [ground.site.plan.by_code[code] for code in kind.alike]
    true = np.column_stack([world.value(row, cells.z(row.code)) for row in rows])[good]
    crossed: list[str] = []
    found = planned(groups.MATCHING, groups.Cells(measured / tolerance, size), kind.effort, crossed)
    real = groups.Cells(true / tolerance, size)
    cost, rule_cost = (groups.MATCHING.cost(real, plan) for plan in (found.plan, found.rule))
    return Trial("true range within modules, tolerances", "as they come", cost, rule_cost, 1, crossed)


def stock(kind: Stock, ground: Ground, seed: int) -> Trial:
    """A year of the twin's work orders: levels are set by the use before it, then each piece used is ordered again."""
    world = World(ground.site, seed, "baseline", 1.0)
    crossed: list[str] = []
    history = min(round(kind.learn_days), round(world.p("equipment.history_days")))
    equipment = Equipment(world, Interventions(world, ()), until_s=world.clock.bounds(_YEAR_D)[1])
    counted = spare_part_counts(world, equipment, -_WEEK, -1)
    parts, lead_d, price = (counted[name] for name in ("part_code", "lead_time_d", "unit_price_usd"))
    used, demand = (_used(world, equipment, parts, *days) for days in ((-history, -1), (0, _YEAR_D - 1)))
    level = rule = np.full(len(parts), kind.keep, dtype=np.int64)
    # Until the levels are reached each day's budget buys a part of the way.
    for _ in range(_BUDGETS):
        problem = stocking.Stocking(
            used.sum(axis=1), history, lead_d, kind.review_d, price, level, kind.holding_ratio, kind.short_usd,
            kind.budget_usd, kind.keep,
        )  # fmt: skip
        level = planned(stocking.STOCKING, problem, kind.effort, crossed).plan
    cost, rule_cost = (_year_usd(kind, one, demand, lead_d, price) for one in (level, rule))
    return Trial("stock and standing still, US$ a year", f"{kind.keep} of each", cost, rule_cost, _BUDGETS, crossed)


def _used(world: World, equipment: Equipment, parts: Array, first_day: int, last_day: int) -> Floats:
    """(parts, days) pieces used."""
    uses = spare_part_uses(world, equipment, first_day, last_day)
    order = np.argsort(parts)
    part = order[np.searchsorted(parts[order], uses["part_code"])]
    day = np.floor((uses["used_s"] - world.clock.bounds(first_day)[0]) / 86400).astype(int)
    found = np.zeros((len(parts), last_day - first_day + 1))
    np.add.at(found, (part, np.clip(day, 0, found.shape[1] - 1)), uses["quantity"])
    return found


def _year_usd(kind: Stock, level: Ints, demand: Floats, lead_d: Floats, price: Floats) -> float:
    """Cost of a year in which what was used is ordered again at once and what is missing is waited for."""
    lead = np.ceil(lead_d).astype(int)
    at_hand, on_way = level.astype(np.float64), np.zeros((len(level), demand.shape[1] + lead.max() + 1))
    missing = held = 0.0
    for day, used in enumerate(demand.T):
        at_hand += on_way[:, day]
        missing += float(np.minimum(used, np.maximum(used - np.maximum(at_hand, 0), 0)).sum())
        at_hand -= used
        held += float(np.maximum(at_hand, 0) @ price) / 365
        on_way[np.arange(len(level)), day + lead] += used
    return kind.holding_ratio * held + kind.short_usd * missing
