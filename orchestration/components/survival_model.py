"""The family of remaining life: how long until the event, and when it pays to act before it."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import SurvivalModelScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(SurvivalModelScaffolder)
class SurvivalModel(SolutionComponent):
    """The remaining life of a tool, a machine, a part: learnt, gated, answered and watched every night.

    Lives that go on are learnt from as what they are. Windows over a sequence, and what its numbers have in common,
    become features; where a failure and a planned replacement are priced, it finds when to act.
    """
