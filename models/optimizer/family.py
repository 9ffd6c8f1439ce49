"""The family's one function: what is to be set or done next, by the kind of optimiser that the YAML names."""

from __future__ import annotations

from datetime import datetime

from models.context import ModelContext
from models.optimizer.bayesian_spec import Bayesian
from models.optimizer.design_spec import CellDesign
from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.plan_spec import PlanPart
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers, score_by_rule
from models.scoring.score import ScoreReport

FORMAT = 1
"""Of what the engine makes of a YAML; part of the rule's name."""


def score(spec: OptimizerSpec, ctx: ModelContext) -> ScoreReport:
    """Work out the advice of each machine, or the plan, at the plant's now, and tell it where it is new.

    See `score_by_rule`. Beside `solutions.<slug>` set-points write `solutions.<slug>_move`: what an action needs, and
    the figures behind it. Plans write `solutions.<slug>_task`, what is to be done with each item as it stands now, and
    `solutions.<slug>_plan`, the figures of each night.

    Raises:
        CellworksError: the control plan does not allow the move, no plan keeps the limits, or a column is missing.
    """
    return score_by_rule(spec, ctx, FORMAT, lambda now: _answer(spec, ctx, now))


def _answer(spec: OptimizerSpec, ctx: ModelContext, now: datetime) -> RuleAnswers | None:
    kind = spec.optimizer
    if isinstance(kind, CellDesign):
        from models.optimizer import cell_design

        return cell_design.answer(spec, kind, ctx, now)
    if isinstance(kind, Bayesian):
        from models.optimizer import bayesian

        return bayesian.answer(spec, kind, ctx, now)
    if isinstance(kind, SetpointSearch):
        from models.optimizer import setpoint_search

        return setpoint_search.answer(spec, kind, ctx, now)
    if isinstance(kind, ExpectedValue):
        from models.optimizer import expected_value

        return expected_value.answer(spec, kind, ctx, now)
    if isinstance(kind, PlanPart):
        from models.optimizer.plans import planning

        return planning.answer(spec, kind, ctx, now)
    from models.optimizer import run_to_run

    return run_to_run.answer(spec, kind, ctx, now)
