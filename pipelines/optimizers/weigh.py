"""What all plans share: a solver's plan beside the rule's, what both cost, what is proven, and whether it may be done.

A kind of plan brings four functions. Costs are what is to be small, in a unit of the kind's own; they and the faults
are worked out from the plan alone and not from the solver's word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, CpSolver

P = TypeVar("P")
T = TypeVar("T")
_SLACK = 1e-6


@dataclass(frozen=True)
class Way(Generic[P, T]):
    """How plans of a kind are made.

    Attributes:
        rule: what would be done without a plan.
        solve: from problem, the rule's plan to begin with, and effort to a plan and a proven lower bound of the cost.
        cost: of a plan.
        faults: limits that a plan breaks, one sentence each.
    """

    rule: Callable[[P], T]
    solve: Callable[[P, T, float], tuple[T, float]]
    cost: Callable[[P, T], float]
    faults: Callable[[P, T], list[str]]


@dataclass(frozen=True)
class Weighed(Generic[T]):
    """A plan beside the rule's: costs in the kind's unit, a proven lower bound, and the faults of the plan."""

    plan: T
    rule: T
    cost: float
    rule_cost: float
    bound: float
    faults: list[str]

    @property
    def gain(self) -> float:
        """Share of the rule's cost that the plan takes away; 0 where the rule costs nothing."""
        return (self.rule_cost - self.cost) / self.rule_cost if self.rule_cost > 0 else 0.0

    @property
    def gap(self) -> float:
        """Share of the plan's cost that a better plan might still take away at most; 0 is proven best."""
        return max(0.0, (self.cost - self.bound) / self.cost) if self.cost > _SLACK else 0.0


def weigh(way: Way[P, T], problem: P, effort: float) -> Weighed[T]:
    """Plan, and fall back on the rule where the solver found nothing better within its effort.

    Args:
        way: of the kind.
        problem: what is to be planned.
        effort: deterministic seconds of the solver: the same plan on every machine.
    """
    rule = way.rule(problem)
    found, bound = way.solve(problem, rule, effort)
    rule_cost = way.cost(problem, rule)
    if way.cost(problem, found) > rule_cost and not way.faults(problem, rule):
        found = rule
    cost = way.cost(problem, found)
    # The solver's numbers are whole; its bound may lie above the cost by the rounding.
    return Weighed(found, rule, cost, rule_cost, min(bound, cost), way.faults(problem, found))


def run(model: CpModel, effort: float) -> CpSolver | None:
    """Solve with one worker and a deterministic limit; None where nothing was found within it.

    Raises:
        CellworksError: no plan can keep the limits, or the model is wrong.
    """
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = effort
    status = solver.solve(model)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return solver
    if status == cp_model.UNKNOWN:
        return None
    raise CellworksError(
        "no plan keeps the limits",
        expected="limits that the waiting work fits into",
        found=solver.status_name(status),
        mend="widen the limits of the `optimizer` in defs.yaml, or the days that it looks ahead",
    )
