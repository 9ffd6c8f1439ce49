"""What evaluations share: the site, the home, the plants' seeds, and sections of them that were simulated already."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.solution import SolutionSpec
from orchestration.evaluation import evidence
from orchestration.evaluation.evidence import Evidence
from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.lake.progress import Progress, silent
from pipelines.twin.section import Section

SEEDS = tuple(range(3001, 3021))
"""Plants that no solution, default or test was made with."""


@dataclass
class Ground:
    """Where solutions are evaluated.

    Attributes:
        site: the site.
        seeds: of the plants, at least five.
        tell: called with what is being done, parts done and parts in all.
        home: whose nights count; None: there were none.
    """

    site: Site
    seeds: tuple[int, ...] = SEEDS
    tell: Progress = silent
    home: Home | None = None
    _sections: dict[tuple[int, int], Section] = field(default_factory=dict)
    _evidence: dict[str, Evidence] = field(default_factory=dict)

    def section(self, seed: int, days: int) -> Section:
        """The first days of a plant as its recipe has it, simulated once for all who ask."""
        key = seed, days
        if key not in self._sections:
            self._sections[key] = Section(self.site, seed, days)
        return self._sections[key]

    def evidence(self, spec: SolutionSpec) -> Evidence:
        """What the home's nights left of a solution, read once."""
        if spec.solution not in self._evidence:
            found = Evidence(None) if self.home is None else evidence.read(spec, self.home, self.site)
            self._evidence[spec.solution] = found
        return self._evidence[spec.solution]
