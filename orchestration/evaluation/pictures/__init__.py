"""Pictures of solutions whose nights draw none, by family and kind, from what a home's tables tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.assistant.spec import AssistantSpec
from models.context import ModelContext
from models.decision_rule.spec import DecisionSpec
from models.indicator.alarms_spec import Alarms
from models.indicator.spec import IndicatorSpec
from models.optimizer.spec import OptimizerSpec
from models.solution import SolutionSpec
from models.traceability.spec import TraceSpec
from orchestration.evaluation.pictures import alarms, assistant, canvas, decision_rule, optimizer, traceability


def draw(spec: SolutionSpec, ctx: ModelContext, file: Path) -> bool:
    """Draw a solution's picture into a PNG file.

    Args:
        spec: the solution.
        ctx: home and site, and the moment of its last night.
        file: where to.

    Returns:
        Whether there was something to draw: its family has a picture, and it has answered.
    """
    figure = _figure(spec, ctx)
    if figure is None:
        return False
    canvas.save(figure, file)
    return True


def _figure(spec: SolutionSpec, ctx: ModelContext) -> Any | None:
    if isinstance(spec, DecisionSpec):
        return decision_rule.draw(spec, ctx)
    if isinstance(spec, OptimizerSpec):
        return optimizer.draw(spec, ctx)
    if isinstance(spec, IndicatorSpec) and isinstance(spec.indicator, Alarms):
        return alarms.draw(spec, spec.indicator, ctx)
    if isinstance(spec, TraceSpec):
        return traceability.draw(spec, ctx)
    return assistant.draw(spec, ctx) if isinstance(spec, AssistantSpec) else None
