"""The family of traceability: what is made of what, both ways, and the passports that follow from it."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import TraceabilityScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(TraceabilityScaffolder)
class Traceability(SolutionComponent):
    """A graph over tables that are there: each record names a kind and what went into it, rolls by their metres.

    Every entity gets a document that is checked against a JSON schema, and is flagged while a part of it can't be
    traced to every material. `cellworks trace` walks the same graph.
    """
