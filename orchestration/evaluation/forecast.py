"""Does a forecast tell more than the season before? By its version's figures on rolling origins after its cut."""

from __future__ import annotations

from models.solution import SolutionSpec
from orchestration.evaluation.evidence import Evidence
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.outcome import Evaluation

MAX_COVERAGE_GAP = 0.03


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Hold the figures of the solution's version against the lines of forecasts."""
    return judged(ground.evidence(spec))


def judged(found: Evidence) -> Evaluation:
    """Hold the figures of rolling origins against the lines of forecasts.

    The gate lets coverage be further off where chance would show it; here it must be within three points all the same.

    Args:
        found: what the solution's nights left.
    """
    gain, held = found.figures("beats_baseline"), found.figures("calibration")
    if not gain or not held:
        return Evaluation("not_run", found.cannot_tell)
    # What is not finite stands as text in JSON.
    low, high, coverage, nominal = (
        float(each) for each in (gain["low"], gain["high"], held["coverage"], held["nominal"])
    )
    lines = [
        Line(
            "a paired 95 % interval above zero",
            f"gain over the season before {float(gain['gain']):.4g} [{low:.4g}, {high:.4g}]",
            low > 0,
        ),
        Line(
            "within 3 points",
            f"{100 * coverage:.1f} % of the intervals hold, {100 * nominal:.0f} % promised",
            abs(coverage - nominal) <= MAX_COVERAGE_GAP,
        ),
    ]
    return verdict(
        lines,
        metric="weighted quantile loss on rolling origins after the cut",
        value=float(gain["wql"]),
        baseline=float(gain["seasonal_naive"]),
        threshold=0.0,
        interval=(low, high),
        figures={
            "interval_of": "weighted quantile loss of the season before taken away, paired by blocks of origins",
            "ets": found.metrics.get("baseline_ets"),
            "blocks": gain["blocks"],
            "coverage": coverage,
            "version": found.version.number if found.version else None,
            "rows": found.verdict.get("rows"),
        },
    )
