"""Asset keys, in one place: they are the names that people see and that sensors and jobs select by."""

from __future__ import annotations

import dagster as dg

from models.solution import SolutionSpec


def table_key(layer: str, name: str) -> dg.AssetKey:
    """Key of a table: `raw/mes__stacking`, `marts/cell`."""
    return dg.AssetKey([layer, name])


def published_key(domain: str) -> dg.AssetKey:
    """Key of a domain's published snapshot."""
    return dg.AssetKey(["published", domain])


def solution_key(spec: SolutionSpec, part: str) -> dg.AssetKey:
    """Key of one part of a solution: `finishing/yield_root_cause/model`."""
    return dg.AssetKey([spec.stage, spec.slug, part])
