"""The family of indicators: figures of a standard, worked out from records and reconciled to the whole."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import IndicatorScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(IndicatorScaffolder)
class Indicator(SolutionComponent):
    """Nothing is learnt: what the YAML names is added up anew each time, and refused where it does not add up.

    `kind: oee` is the loss tree of ISO 22400 from machine states: availability, effectiveness, quality, OEE, NEE, TEEP,
    MTBF and MTTR by machine, shift or day, rolled up to step and line. `kind: cost` is activity-based conversion cost
    by step, `kind: alarms` the performance of an alarm system after ISA-18.2, `kind: suppliers` a quality index.
    """
