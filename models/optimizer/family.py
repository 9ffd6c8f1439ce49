"""The family's one function: what is to be set next, by the kind of optimiser that the YAML names."""

from __future__ import annotations

from datetime import datetime

from models.context import ModelContext
from models.optimizer.bayesian_spec import Bayesian
from models.optimizer.design_spec import CellDesign
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers, score_by_rule
from models.scoring.score import ScoreReport

FORMAT = 1
"""Of what the engine makes of a YAML; part of the rule's name."""


def score(spec: OptimizerSpec, ctx: ModelContext) -> ScoreReport:
    """Work out the advice of each machine at the plant's now, and tell it where it is new; see `score_by_rule`.

    Beside `solutions.<slug>` it writes `solutions.<slug>_move`: what an action needs, and the figures behind it.

    Raises:
        CellworksError: the control plan does not allow the move, or a column is missing.
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
    from models.optimizer import run_to_run

    return run_to_run.answer(spec, kind, ctx, now)
