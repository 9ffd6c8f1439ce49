"""The family of optimisers: what to set next so that a quantity comes to its target, or what to do with what waits."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import OptimizerScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(OptimizerScaffolder)
class Optimizer(SolutionComponent):
    """No model is registered: the rule is the YAML, what it needs of the plant it fits anew to the rows of each night.

    `kind: run_to_run` holds a measured quantity on the control plan's target by moving one set-point from run to run;
    target, limits, largest move and rate are the plan's, how often a move may be proposed is the site's.
    `setpoint_search` moves set-points to where a run costs least and what champions predict stays in specification.
    `profile` evens a profile out by a row of actuators, such as the weight across the web by the bolts of a die.
    `bayesian` orders trials, `cell_design` searches designs of the cell by its physics.
    Other kinds plan what waits, beside the rule that would do it: `cutting`, `matching`, `slotting`, `schedule`,
    `load_shift` and `stock`.
    """
