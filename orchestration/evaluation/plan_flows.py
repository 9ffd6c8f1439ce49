"""One plant, by the plan and by the rule: what flows through store, line and cabinets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.optimizer.plan_spec import LoadShift, Schedule, Slotting
from models.optimizer.plans.slotting import travel_m
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.plan_trials import Trial, planned
from pipelines.optimizers import load_shift as loads
from pipelines.optimizers import sequencing
from pipelines.optimizers import slotting as lanes
from pipelines.twin.orders import customer_orders, tariff_hours
from pipelines.twin.world import World

_HOUR_S = 3600.0
_SPEED_SD = 0.04  # by which a step is faster or slower on a day than it is planned with
_ORDER_DAYS = 140
_LOAD_SD = 0.02  # by which the load of everything else is not as on the days before


def slotting(kind: Slotting, ground: Ground, seed: int) -> Trial:
    """Trays into the stores, twice as long as a tray stays; what is driven in the second half counts."""
    world = World(ground.site, seed, "baseline", 1.0)
    crossed: list[str] = []
    rng = np.random.default_rng([seed, 45])
    pace_s = 86400 * world.tray_cells / ground.site.standard.cells_per_day
    dwell_s = (world.p("lead.ageing_h") - world.p("lead.formation_h")) * _HOUR_S
    put_s = np.cumsum(pace_s * rng.uniform(0.8, 1.2, int(2 * dwell_s / pace_s)))
    out_s = put_s + dwell_s
    step = np.floor(put_s / (kind.look_back_h * _HOUR_S)).astype(int)
    travel, plans = travel_m(kind), 0
    costs = []
    for is_planned in (True, False):
        until_s, metres = np.full(len(travel), -np.inf), 0.0
        for number in range(step.max() + 1):
            new = np.flatnonzero(step == number)
            due_s = np.where(until_s > put_s[new[0]], until_s, np.nan)
            none = np.zeros(len(travel), dtype=bool)
            problem = lanes.Slotting(travel, due_s, none, out_s[new], kind.relocation_m)
            if is_planned:
                plan, plans = planned(lanes.SLOTTING, problem, kind.effort, crossed).plan, plans + 1
            else:
                plan = lanes.SLOTTING.rule(problem)
            if np.any(until_s[plan] > put_s[new[0]]):
                crossed.append("a tray was put where one stands")
            until_s[plan] = out_s[new]
            metres += lanes.SLOTTING.cost(problem, plan) if put_s[new[0]] > dwell_s else 0.0
        costs.append(metres)
    return Trial("travel and relocation, m", "first free place", costs[0], costs[1], plans, crossed)


def schedule(kind: Schedule, ground: Ground, seed: int) -> Trial:
    """The twin's customers' orders after a busy season; the steps then are as fast as they are on the day."""
    world = World(ground.site, seed, "baseline", 1.0)
    rng = np.random.default_rng([seed, 44])
    crossed: list[str] = []
    table = customer_orders(world, 0, _ORDER_DAYS - 1)
    rate = np.array([step.cells_per_h for step in kind.steps])
    setup_h = np.array([step.setup_h for step in kind.steps])
    cost = rule_cost = 0.0
    for now_s in (world.clock.bounds(day)[0] for day in range(_ORDER_DAYS - 40, _ORDER_DAYS, 10)):
        # Until now the line served the orders as they came, as fast as its slowest step.
        served = np.cumsum(table["quantity_cells"]) <= (now_s - table["known_s"][0]) / _HOUR_S * rate.min()
        waits = np.flatnonzero(~served & (table["known_s"] <= now_s))[: kind.orders]
        if len(waits) < 2:
            continue
        cells = table["quantity_cells"][waits].astype(np.int64)
        _, product = np.unique(table["product_code"][waits].astype(str), return_inverse=True)
        problem = sequencing.Orders(
            np.ceil(cells[:, None] / rate * 60).astype(np.int64),
            np.floor((table["due_s"][waits] - now_s) / 60 - kind.after_h * 60).astype(np.int64),
            cells, product.astype(np.int64), np.rint(setup_h * 60).astype(np.int64), float((setup_h * rate).max()),
        )  # fmt: skip
        found = planned(sequencing.SEQUENCING, problem, kind.effort, crossed)
        slower = 1 + _SPEED_SD * rng.standard_normal(problem.minutes.shape)
        real = replace(problem, minutes=np.ceil(problem.minutes * slower).astype(np.int64))
        own, ruled = (
            sequencing.SEQUENCING.cost(real, sequencing.timed(real, sequencing.sequence_of(plan)))
            for plan in (found.plan, found.rule)
        )
        cost, rule_cost = cost + own, rule_cost + ruled
    return Trial("cells times hours late, and set-ups", "first come, first served", cost, rule_cost, 4, crossed)


def load_shift(kind: LoadShift, ground: Ground, seed: int) -> Trial:
    """Two mornings: what was filled lately, planned by the load of the days before and paid by the load as it was."""
    world = World(ground.site, seed, "baseline", 1.0)
    rng = np.random.default_rng([seed, 42])
    crossed: list[str] = []
    cost = rule_cost = 0.0
    for night in range(1, 3):
        problem = _load(kind, world, night, rng)
        found = planned(loads.LOAD_SHIFT, problem, kind.effort, crossed)
        base = problem.base_kw * (1 + _LOAD_SD * rng.standard_normal(problem.hours))
        real = replace(problem, base_kw=base)
        crossed += loads.LOAD_SHIFT.faults(real, found.plan)
        cost += loads.LOAD_SHIFT.cost(real, found.plan)
        rule_cost += loads.LOAD_SHIFT.cost(real, found.rule)
    return Trial("energy and highest load, US$", "start at once", cost, rule_cost, 2, crossed)


def _load(kind: LoadShift, world: World, day: int, rng: np.random.Generator) -> loads.Load:
    """What waits on a morning, the tariff that is known by then, and the load of everything else."""
    site, span = world.site, len(kind.profile_kw)
    tariff = [tariff_hours(world, each) for each in range(day + 1)]
    begin_s = world.clock.bounds(day)[0] + 2 * _HOUR_S
    starts, price = (np.concatenate([each[name] for each in tariff]) for name in ("starts_s", "price_usd_per_kwh"))
    ahead = np.flatnonzero(starts >= begin_s)
    price = price[ahead[np.argsort(starts[ahead])]][: kind.horizon_h]
    per_h = site.standard.cells_per_day / 24
    cells = np.full(int(kind.ready_after_h * per_h / world.per("plan.cells_per_bake_batch")),
                    world.per("plan.cells_per_bake_batch"))  # fmt: skip
    ready = np.sort(np.ceil(rng.uniform(0, kind.ready_after_h, len(cells)))).astype(np.int64)
    other = sum(step.energy_kwh_per_kwh for code, step in site.standard.steps.items() if code != kind.charging_step)
    base = np.full(len(price), other * site.product.nominal_energy_kwh * per_h)
    base = base * (1 + _LOAD_SD * np.sin(np.arange(len(price)) / 24 * 2 * np.pi))
    profile, begun = np.array(kind.profile_kw), np.zeros(len(price))
    for ago in range(1, span):  # the line goes on: what was begun in each hour before
        begun[: span - ago] += per_h * profile[ago:]
    taken = np.maximum(span - 1 - np.arange(len(price)), 0) * per_h
    return loads.Load(
        ready, np.minimum(ready + round(kind.wait_h), len(price) - span), cells, profile, price, base + begun,
        np.maximum(kind.cells_at_once - taken, 0).astype(np.int64), kind.limit_kw, float((base + begun).max()),
        site.tariff.demand_usd_per_kw_month * len(price) / 730.0,
    )  # fmt: skip
