"""Does a forecast forecast? By the figures of its version on the later origins that judged it."""

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
    """Hold weighted quantile loss and coverage of later origins against the lines."""
    loss, covers = found.figures("beats_baseline"), found.figures("calibration")
    if not loss or not covers:
        return Evaluation("not_run", found.cannot_tell)
    own, naive = float(loss["wql"]), float(loss["seasonal_naive"])
    coverage, nominal = float(covers["coverage"]), float(covers["nominal"])
    inside = f"{100 * coverage:.1f} % of the intervals hold, {100 * nominal:.0f} % promised"
    return verdict(
        [
            Line(f"below the seasonal naive forecast's {naive:.4g}", f"weighted quantile loss {own:.4g}", own < naive),
            Line("within 3 points", inside, abs(coverage - nominal) <= MAX_COVERAGE_GAP),
        ],
        metric="weighted quantile loss on later origins",
        value=own,
        baseline=naive,
        threshold=naive,
        interval=(float(loss["low"]), float(loss["high"])),
        figures={
            "interval_of": "loss taken away from the seasonal naive forecast, paired by blocks of origins",
            "version": found.version.number if found.version else None,
            "rows": found.verdict.get("rows"),
            "coverage": coverage,
        },
    )
