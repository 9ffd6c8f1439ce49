"""Jobs: what runs together. Selections are by tag, so that a new solution or table joins by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import dagster as dg

from models.solution import SolutionSpec
from orchestration.whose import site_tag

SEARCH_TAG: Final = "cellworks/search"
"""Run tag: `full` spends the whole search budget instead of the nightly refit."""

SOLUTION_TAG: Final = "cellworks/solution"
"""Run tag: the solutions that a run was started for, where it is not for all."""


def version_tag(slug: str) -> str:
    """Run tag whose value is the version that a solution predicts with, or `none`."""
    return f"cellworks.version/{slug[:63]}"


LEARNING: Final = "learn_"
"""What the names of the steps begin with that do the nights of several solutions."""


def step_count(job: dg.JobDefinition) -> int:
    """How often a run of an asset job says that something begins: once per step, once per solution where one learns."""
    others = sum(not node.name.startswith(LEARNING) for node in job.nodes)
    return others + len({tuple(key.path[:2]) for key in job.asset_layer.selected_asset_keys if len(key.path) == 3})


_INFLOW = (
    dg.AssetSelection.tag("layer", "raw")
    | dg.AssetSelection.tag("layer", "staging")
    | (dg.AssetSelection.tag("layer", "marts") | dg.AssetSelection.tag("layer", "published"))
)
_MODELS = dg.AssetSelection.tag("layer", "model")
_ANSWERS = dg.AssetSelection.tag("layer", "predictions") | dg.AssetSelection.tag("layer", "monitoring")


def _triggered_by(name: str) -> dg.AssetSelection:
    """Parts of solutions whose `trigger` has this switched on."""
    return dg.AssetSelection.tag(name, "yes")


NIGHTLY: Final = "nightly"
NEW_DATA: Final = "new_data"
SCORE: Final = "score"
RETRAIN: Final = "retrain"
WEEKLY_SEARCH: Final = "weekly_search"
PLANT_DAY: Final = "plant_day"
MAINTENANCE: Final = "maintenance"
ALARM: Final = "alarm"


def platform_jobs() -> list[dg.JobDefinition | dg.UnresolvedAssetJobDefinition]:
    """Return the jobs over assets; `housekeeping` has those without."""
    site = site_tag()
    return [
        dg.define_asset_job(
            NIGHTLY,
            selection=_INFLOW | (_MODELS & _triggered_by("nightly")) | _ANSWERS,
            tags=site,
            description="Take in, curate, check, publish, refit, gate, promote, score and watch.",
        ),
        dg.define_asset_job(
            NEW_DATA,
            selection=_INFLOW | (_ANSWERS & _triggered_by("on_new_data")),
            tags=site,
            description="Take in what arrived, curate and check it, and score with the champions in place.",
        ),
        dg.define_asset_job(
            SCORE, selection=_ANSWERS, tags=site, description="Score and watch with the champions in place."
        ),
        dg.define_asset_job(
            RETRAIN,
            selection=_MODELS | _ANSWERS,
            tags={SEARCH_TAG: "full", **site},
            description="Search anew for the solutions that drifted or lost skill, then score.",
        ),
        dg.define_asset_job(
            WEEKLY_SEARCH,
            selection=(_MODELS & _triggered_by("weekly_search")) | _ANSWERS,
            tags={SEARCH_TAG: "full", **site},
            description="Spend the whole search budget of every solution.",
        ),
    ]


def night_of(definitions: dg.Definitions, solutions: Sequence[SolutionSpec], *, take_in: bool) -> dg.JobDefinition:
    """The night of all solutions or of some.

    Args:
        definitions: Everything that Dagster serves.
        solutions: None for all of them.
        take_in: Before some, take in, curate and check.
    """
    match solutions:
        case []:
            return definitions.resolve_job_def(NIGHTLY)
        case [one] if not take_in:
            return definitions.resolve_job_def(f"{one.stage}__{one.slug}")
    chosen = dg.AssetSelection.tag("solution", solutions[0].slug)
    for spec in solutions[1:]:
        chosen |= dg.AssetSelection.tag("solution", spec.slug)
    # Not the nightly job's own: what arrived is not yet known to every solution, so the sensor of new data still asks.
    keys = (_INFLOW | chosen if take_in else chosen).resolve(definitions.resolve_asset_graph())
    return definitions.resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys)
