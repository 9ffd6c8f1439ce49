"""Optimisers: what they looked at, where the set-point or design stands, and what was chosen. Plans draw their own."""

from __future__ import annotations

from typing import Any

from models.context import ModelContext
from models.optimizer.bayesian_spec import Bayesian
from models.optimizer.design_spec import CellDesign
from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.profile_spec import ProfileControl
from models.optimizer.recipe_spec import RecipeTransfer
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec, RunToRun
from orchestration.evaluation.pictures import control, design, setpoints


def draw(spec: OptimizerSpec, ctx: ModelContext) -> Any | None:
    """The figure of an optimiser; None of a plan, whose night draws it, and where nothing was advised yet."""
    kind = spec.optimizer
    if isinstance(kind, RunToRun):
        return control.draw_runs(spec, kind, ctx)
    if isinstance(kind, ProfileControl):
        return setpoints.draw_profile(spec, ctx)
    if isinstance(kind, SetpointSearch | ExpectedValue):
        return setpoints.draw_moves(spec, kind, ctx)
    if isinstance(kind, Bayesian):
        return design.draw_trials(spec, kind, ctx)
    if isinstance(kind, CellDesign):
        return design.draw_designs(spec, kind, ctx)
    return design.draw_recipes(spec, ctx) if isinstance(kind, RecipeTransfer) else None
