"""Does a model of remaining life pay? By concordance and policy on lives that ended after its training window."""

from __future__ import annotations

from models.solution import SolutionSpec
from orchestration.evaluation.evidence import Evidence
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.outcome import Evaluation

MIN_CONCORDANCE = 0.70


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Hold the figures of the solution's version against the lines of survival models."""
    return judged(ground.evidence(spec))


def judged(found: Evidence) -> Evaluation:
    """Hold the hold-out's figures against the lines; concordance stands beside that of the age alone."""
    told, policy = found.figures("concordance"), found.figures("policy")
    if not told or not policy:
        return Evaluation("not_run", found.cannot_tell)
    value, own = float(told["concordance"]), float(policy["policy"])
    lines = [Line(f"at least {MIN_CONCORDANCE:.2f}", f"concordance {value:.3f}", value >= MIN_CONCORDANCE)]
    for name in ("run_to_failure", "fixed_interval"):
        other = float(policy[name])
        words = name.replace("_", " ")
        lines.append(Line(f"cheaper than {words}", f"policy {own:.4g} per hour, {words} {other:.4g}", own < other))
    return verdict(
        lines,
        metric="concordance on later lives",
        value=value,
        baseline=float(told["naive"]),
        threshold=MIN_CONCORDANCE,
        interval=(float(told["low"]), float(told["high"])),
        figures={
            "interval_of": "concordance",
            "version": found.version.number if found.version else None,
            "rows": found.verdict.get("rows"),
            "policy": dict(policy),
        },
    )
