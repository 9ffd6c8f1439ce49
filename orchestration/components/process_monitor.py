"""The family of process monitors: T2 and SPE on principal components, with limits that hold a false-alarm rate."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import ProcessMonitorScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(ProcessMonitorScaffolder)
class ProcessMonitor(SolutionComponent):
    """What is usual is learnt from a reference period (phase I); later rows that leave it are flagged, with reasons.

    Its limits are set on blocks of the reference that were held out, so that later good rows alarm at the wanted rate.
    """
