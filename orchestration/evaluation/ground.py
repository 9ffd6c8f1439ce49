"""What evaluations share: the site, the plants' seeds, and sections of them that were simulated already."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.control_plan.site import Site
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
    """

    site: Site
    seeds: tuple[int, ...] = SEEDS
    tell: Progress = silent
    _sections: dict[tuple[int, int], Section] = field(default_factory=dict)

    def section(self, seed: int, days: int) -> Section:
        """The first days of a plant as its recipe has it, simulated once for all who ask."""
        key = seed, days
        if key not in self._sections:
            self._sections[key] = Section(self.site, seed, days)
        return self._sections[key]
