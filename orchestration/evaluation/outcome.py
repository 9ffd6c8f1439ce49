"""What an evaluation says of a solution; the same for all families."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from models.families import family_of
from models.solution import SolutionSpec

Verdict = Literal["working", "failing", "not_run"]


@dataclass(frozen=True)
class Evaluation:
    """One solution's verdict and what it rests on.

    Attributes:
        verdict: `working` when it meets its family's line, `failing` when not, `not_run` where nothing was measured.
        reason: one sentence.
        metric: what was measured, with its unit.
        value: with the solution. baseline: without it.
        threshold: what the lower end of a gain's interval must exceed; of a value without one, what it is held against.
        interval: 95 % interval of the gain over the baseline; of what else, `interval_of` among the figures says.
        figures: what else is to be known: horizon, seeds, further figures.
    """

    verdict: Verdict
    reason: str
    metric: str = ""
    value: float | None = None
    baseline: float | None = None
    threshold: float | None = None
    interval: tuple[float, float] | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    def row(self, spec: SolutionSpec) -> dict[str, Any]:
        """The document that `cellworks evaluate --json` prints."""
        named = {"stage": spec.stage, "slug": spec.slug, "family": family_of(spec).component}
        told = asdict(self)
        return {**named, **told, "interval": list(self.interval) if self.interval else None}
