"""The only place where definitions are put together; tests call it with what they want replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import dagster as dg

from orchestration.assets.checks import expectation_checks
from orchestration.assets.curated import curated_assets
from orchestration.assets.published import published_asset
from orchestration.assets.raw import raw_assets
from orchestration.assets.solutions import learning_assets
from orchestration.catalogue import refuse_shared_slugs
from orchestration.component_trees import component_trees, solution_definitions
from orchestration.components.solution import SolutionComponent
from orchestration.domains import DOMAINS, KPI
from orchestration.executor import chosen_executor
from orchestration.housekeeping import housekeeping_jobs
from orchestration.jobs import platform_jobs
from orchestration.manifest import Table, curated_tables
from orchestration.plant import Plant, plant
from orchestration.pools import pool_of
from orchestration.schedules import platform_schedules
from orchestration.sensors import platform_sensors


def build_definitions(here: Plant | None = None, tables: Sequence[Table] | None = None) -> dg.Definitions:
    """Return the definitions of a plant.

    Args:
        here: The plant; default the one that the environment names.
        tables: The curated tables; default those of the dbt project's manifest.
    """
    here = plant() if here is None else here
    tables = curated_tables(here) if tables is None else tables
    trees = component_trees()
    specs = [component.spec for tree in trees for component in tree.get_all_components(SolutionComponent)]
    refuse_shared_slugs(specs)
    platform = dg.Definitions(
        assets=[raw_assets(here), *_curation(here, tables), *learning_assets(here, specs, tables)],
        asset_checks=[*_checks(here, tables)],
        jobs=[*platform_jobs(), *housekeeping_jobs()],
        schedules=platform_schedules(here.site),
        sensors=platform_sensors(here.site, specs),
        executor=chosen_executor(here.home.stores),
    )
    return dg.Definitions.merge(*solution_definitions(trees), platform)


def _curation(here: Plant, tables: Sequence[Table]) -> Iterable[dg.AssetsDefinition]:
    pool = pool_of(here.site, "curate")
    for domain in (*DOMAINS, KPI):
        marts = _of(tables, "marts", domain)
        if staging := _of(tables, "staging", domain):
            yield curated_assets("staging", domain, staging, pool)
        if marts:
            yield curated_assets("marts", domain, marts, pool)
            yield published_asset(domain, marts)


def _checks(here: Plant, tables: Sequence[Table]) -> Iterable[dg.AssetChecksDefinition]:
    for domain in (*DOMAINS, KPI):
        raw = [feed.name for feed in here.site.feeds.values() if feed.domain == domain]
        layers: dict[Literal["raw", "staging", "marts"], list[str]] = {
            "raw": raw,
            "staging": [table.name for table in _of(tables, "staging", domain)],
            "marts": [table.name for table in _of(tables, "marts", domain)],
        }
        for layer, names in layers.items():
            if names:
                yield expectation_checks(layer, domain, names)


def _of(tables: Iterable[Table], layer: str, domain: str) -> list[Table]:
    return [table for table in tables if table.layer == layer and table.domain == domain]
