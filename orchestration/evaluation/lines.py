"""What is asked of a solution, line by line, and the verdict that follows from what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestration.evaluation.outcome import Evaluation, Verdict


@dataclass(frozen=True)
class Line:
    """One thing that is asked.

    Attributes:
        asks: what, in words.
        found: what there is, in words.
        is_met: whether that is enough.
    """

    asks: str
    found: str
    is_met: bool


def verdict(lines: Sequence[Line], **told: Any) -> Evaluation:
    """Working when every line is met; the reason names those that are not, or what all of them found.

    Args:
        lines: at least one.
        told: metric, value, baseline, threshold, interval and figures of the evaluation.
    """
    figures = {**told.pop("figures", {}), "lines": [asdict(line) for line in lines]}
    missed = [line for line in lines if not line.is_met]
    found: Verdict = "failing" if missed else "working"
    reason = "; ".join(f"{line.found}, asked: {line.asks}" for line in missed) or "; ".join(
        line.found for line in lines
    )
    return Evaluation(found, reason, figures=figures, **told)


def beside(evaluation: Evaluation, lines: Sequence[Line]) -> Evaluation:
    """An evaluation to which further lines are added: one that is not met makes it failing."""
    known = evaluation.figures.get("lines", [])
    figures = {**evaluation.figures, "lines": [*known, *(asdict(line) for line in lines)]}
    missed = [line for line in lines if not line.is_met]
    if not missed:
        return replace(evaluation, figures=figures)
    told = "; ".join(f"{line.found}, asked: {line.asks}" for line in missed)
    reason = f"{told}; else {evaluation.reason}" if evaluation.verdict == "working" else f"{evaluation.reason}; {told}"
    return replace(evaluation, verdict="failing", reason=reason, figures=figures)
