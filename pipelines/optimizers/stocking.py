"""Up to which level to stock spare parts: a newsvendor for each part, a knapsack over what all may cost.

Demand over the time until the next order arrives is a Poisson variable whose rate is known only from past use; with the
conjugate gamma prior it is negative binomial. Cost is US$ a year: capital tied up and standing still.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.optimizers.runs import Floats, Ints
from pipelines.optimizers.weigh import Way, run

_YEAR_D = 365.0
_PRIOR_USES = 0.5  # Jeffreys' prior of a Poisson rate
_MOST = 60  # a level beyond it is never needed where a part is used a few times a month
_CENT = 100


@dataclass(frozen=True)
class Stocking:
    """Parts, (n,) each.

    Attributes:
        used: pieces used within the days that were looked at. days: how many these were.
        lead_d: from order to delivery. review_d: days between two looks at the stock.
        price_usd: of a piece. stock: pieces at hand.
        holding_ratio: of the price, for a year in the store.
        short_usd: cost of a piece that is missing when it is needed.
        budget_usd: what all orders of a day may cost.
        keep: pieces of each part that the rule keeps.
    """

    used: Floats
    days: float
    lead_d: Floats
    review_d: float
    price_usd: Floats
    stock: Ints
    holding_ratio: float
    short_usd: float
    budget_usd: float
    keep: int

    @property
    def most(self) -> int:
        """Largest level that is looked at."""
        return max(_MOST, int(self.stock.max(initial=0)))

    @property
    def expected(self) -> Floats:
        """Pieces that will be used until an order of the next review arrives, on the mean."""
        found: Floats = self.used / self.days * (self.lead_d + self.review_d)
        return found

    def level_usd(self) -> Floats:
        """(n, levels) cost of a year at each level from 0, US$."""
        from scipy.stats import nbinom

        over_d = (self.lead_d + self.review_d)[:, None]
        shape = (self.used + _PRIOR_USES)[:, None]
        beyond = nbinom(shape, self.days / (self.days + over_d)).sf(np.arange(self.most)[None, :])
        mean = shape[:, 0] * over_d[:, 0] / self.days
        short = mean[:, None] - np.concatenate([np.zeros((len(mean), 1)), np.cumsum(beyond, axis=1)], axis=1)
        level = np.arange(self.most + 1)
        left = level[None, :] - mean[:, None] + short
        orders = _YEAR_D / over_d
        found: Floats = self.holding_ratio * self.price_usd[:, None] * left + self.short_usd * orders * short
        return found

    def order_usd(self, level: Ints) -> float:
        """What bringing the stock to a level costs now."""
        return float((np.maximum(level - self.stock, 0) * self.price_usd).sum())


def _rule(problem: Stocking) -> Ints:
    """Keep as many of each, whatever its use and lead time, as far as the money goes."""
    level = problem.stock.copy()
    left = problem.budget_usd
    for part, stock in enumerate(problem.stock.tolist()):
        more = max(0, problem.keep - stock)
        more = min(more, int((left + 1e-9) // problem.price_usd[part])) if problem.price_usd[part] > 0 else more
        level[part] += more
        left -= more * float(problem.price_usd[part])
    return level


def _solve(problem: Stocking, start: Ints, effort: float) -> tuple[Ints, float]:
    from ortools.sat.python import cp_model

    cents = np.rint(problem.level_usd() * _CENT).astype(int)
    price = np.ceil(problem.price_usd * _CENT - 1e-6).astype(int)
    model = cp_model.CpModel()
    chosen, cost, order = [], [], []
    for part, stock in enumerate(problem.stock.tolist()):
        # What is there is not thrown away: levels begin at the stock.
        row = {level: model.new_bool_var(f"p{part}_{level}") for level in range(stock, problem.most + 1)}
        model.add_exactly_one(row.values())
        for level, one in row.items():
            model.add_hint(one, level == start[part])
            cost.append(int(cents[part, level]) * one)
            order.append(int((level - stock) * price[part]) * one)
        chosen.append(row)
    model.add(sum(order) <= int(problem.budget_usd * _CENT))
    model.minimize(sum(cost))
    solver = run(model, effort)
    if solver is None:
        return start, 0.0
    found = np.array([next(level for level, one in row.items() if solver.value(one)) for row in chosen], dtype=np.int64)
    return found, (solver.best_objective_bound - len(chosen) / 2) / _CENT


def _cost(problem: Stocking, level: Ints) -> float:
    return float(np.take_along_axis(problem.level_usd(), level[:, None], axis=1).sum())


def _faults(problem: Stocking, level: Ints) -> list[str]:
    found = [f"part {part} is taken out of stock" for part in np.flatnonzero(level < problem.stock)]
    if problem.order_usd(level) > problem.budget_usd + 1e-6:
        found.append("the orders cost more than they may")
    return found


STOCKING: Way[Stocking, Ints] = Way(_rule, _solve, _cost, _faults)
"""Plans are (n,): the level up to which each part is ordered."""
