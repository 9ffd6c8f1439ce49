"""One solution's night without Dagster: train, gate, promote, score, watch; and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from models.spec import PredictiveSpec

MODEL: Literal["model"] = "model"
PREDICTIONS: Literal["predictions"] = "predictions"
MONITORING: Literal["monitoring"] = "monitoring"
PARTS = (MODEL, PREDICTIONS, MONITORING)
Part = Literal["model", "predictions", "monitoring"]
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
    """

    spec: PredictiveSpec
    results: dict[Part, dict[str, Any]] = field(default_factory=dict)
    checks: list[CheckOutcome] = field(default_factory=list)
    failure: str = ""
    trace: str = ""
    skipped: str = ""


CHECKS: dict[Part, dict[str, str]] = {
    MODEL: {
        "holdout": "The later hold-out has enough lots and positives to tell.",
        "leak": "No score too good to be true, no single feature that explains all but everything.",
        "beats_baseline": "Better than the naive baselines on the later hold-out, interval above zero.",
        "not_worse": "Not worse than the champion on the same frozen hold-out.",
        "slices": "No line, supplier, shift or product falls behind by more than the tolerance.",
        "calibration": "Probabilities or intervals are calibrated.",
        "speed": "Scores within its time limit.",
        "inputs": "What it was trained on passed its checks.",
    },
    PREDICTIONS: {
        "champion_is_cleared": "The version that scored has a passing verdict or a signed override.",
    },
    MONITORING: {
        "live_skill": "Skill on labels that arrived after scoring.",
        "input_drift": "Drift of the inputs since training.",
        "score_drift": "Drift of the predictions since training.",
    },
}
