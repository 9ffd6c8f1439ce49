"""The family of anomaly detectors: what departs from its own past, or from its like, within a budget of alarms."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import AnomalyDetectorScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(AnomalyDetectorScaffolder)
class AnomalyDetector(SolutionComponent):
    """Numbers that are watched for what is unusual, with as many alarms a week as somebody is willing to look at.

    With `series` each number of each entity is judged by its own past, over windows of several lengths; without it the
    numbers of a row are judged together, and with `streams` also what the rows of one machine have in common. Nothing
    is labelled: limits follow from the budget and the reference.
    """
