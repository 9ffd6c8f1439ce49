"""One solution's night without Dagster: train, gate, promote, score, watch; and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.families import Part
from models.solution import SolutionSpec
from orchestration.cost import Cost

MODEL: Final = "model"
PREDICTIONS: Final = "predictions"
MONITORING: Final = "monitoring"
PARTS: tuple[Part, ...] = (MODEL, PREDICTIONS, MONITORING)
"""Every part that a family may have."""
NO_VERSION = "none"
"""Stands for the version of a solution that has no champion."""
REFUSED = "refused"
"""Among the figures of predictions: why the version that the alias names may not score, empty when it did."""


@dataclass(frozen=True)
class CheckOutcome:
    """One asset check of a solution: `part` it belongs to, its figures, and whether it passed."""

    part: Part
    name: str
    passed: bool
    description: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """What a night brought to one solution.

    Attributes:
        spec: The solution.
        results: Figures of each part that was done, as shown on its asset.
        checks: Its asset checks.
        failure: Why a part could not be done (an error), empty when all went well.
        trace: Where in the code an unforeseen error arose, for the run's log; empty otherwise.
        skipped: Why a part was rightly left out, such as no champion yet.
        cost: What the night used up; None for one that ended from without, which nobody could measure.
    """

    spec: SolutionSpec
    results: dict[Part, dict[str, Any]] = field(default_factory=dict)
    checks: list[CheckOutcome] = field(default_factory=list)
    failure: str = ""
    trace: str = ""
    skipped: str = ""
    cost: Cost | None = None
