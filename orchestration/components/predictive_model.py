"""The family of predictive models: regression, quantiles, classification on a table of the lake or a file."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import PredictiveModelScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(PredictiveModelScaffolder)
class PredictiveModel(SolutionComponent):
    """A question that a model answers for each entity, trained, gated, scored and watched every night.

    Its `table` is read at the last published snapshot, and only columns known at `acts_at` are there to be read.
    """
