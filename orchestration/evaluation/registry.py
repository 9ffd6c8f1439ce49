"""Which module evaluates a family, by the name of its component; a family without one is told as not run."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, cast

from models.families import family_of
from models.optimizer.spec import OptimizerSpec
from models.solution import SolutionSpec
from orchestration.evaluation.outcome import Evaluation

if TYPE_CHECKING:
    from orchestration.evaluation.ground import Ground

EVALUATORS = {
    "Optimizer.run_to_run": "orchestration.evaluation.optimizer:evaluate",
    "Optimizer.bayesian": "orchestration.evaluation.trials:evaluate",
    "Optimizer.cell_design": "orchestration.evaluation.designs:evaluate",
    "Optimizer.setpoint_search": "orchestration.evaluation.setpoint_search:evaluate",
}
"""Imported on first use; each takes the solution and the ground. An optimiser's has its kind beside the family."""


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Measure a solution by its family's evaluator."""
    component = family_of(spec).component
    if isinstance(spec, OptimizerSpec):
        component += f".{spec.optimizer.kind}"
    found = EVALUATORS.get(component)
    if found is None:
        return Evaluation("not_run", f"there is no evaluator of {component} yet")
    return cast("Evaluation", resolve_name(found)(spec, ground))
