"""The family of decisions by rule: standards, screens, grades."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import DecisionRuleScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(DecisionRuleScaffolder)
class DecisionRule(SolutionComponent):
    """A decision and its reasons for each row by a rule that people agreed on; nothing is learnt.

    Lots by their samples (ISO 2859-1 with switching), rows unlike their peers (median and MAD with an extreme-value
    limit), classes by limits, certificates beside limits and our own measurements, or what is due again, such as the
    calibration of gauges. Every answer names the rule that it was given by.
    """
