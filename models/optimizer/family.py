"""The family's one function: what is to be set or done next, by the kind of optimiser that the YAML names."""

from __future__ import annotations

from datetime import datetime
from pkgutil import resolve_name
from typing import cast

from models.context import ModelContext
from models.optimizer.bayesian_spec import Bayesian
from models.optimizer.design_spec import CellDesign
from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.plan_spec import PlanPart
from models.optimizer.profile_spec import ProfileControl
from models.optimizer.recipe_spec import RecipeTransfer
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec, RunToRun
from models.scoring.rule import RuleAnswers, score_by_rule
from models.scoring.score import ScoreReport

_ANSWERS: dict[type, str] = {
    RunToRun: "models.optimizer.run_to_run:answer",
    SetpointSearch: "models.optimizer.setpoint_search:answer",
    ProfileControl: "models.optimizer.profile:answer",
    ExpectedValue: "models.optimizer.expected_value:answer",
    Bayesian: "models.optimizer.bayesian:answer",
    CellDesign: "models.optimizer.cell_design:answer",
    RecipeTransfer: "models.optimizer.recipe_transfer:answer",
    PlanPart: "models.optimizer.plans.planning:answer",
}
"""What answers for each kind; imported on first use, for each brings its own libraries."""
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
    found = next(where for known, where in _ANSWERS.items() if isinstance(kind, known))
    return cast("RuleAnswers | None", resolve_name(found)(spec, kind, ctx, now))
