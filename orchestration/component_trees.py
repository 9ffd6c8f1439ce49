"""Component trees: the project's `defs/` and any further folder that `CELLWORKS_DEFS` names."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import dagster as dg

from orchestration.environment import definition_folders, project_root


def component_trees() -> list[dg.ComponentTree]:
    """Return one tree per folder of solutions."""
    _, *further = definition_folders()
    own = dg.ComponentTree.for_project(path_within_project=project_root())
    return [own, *(_tree_of(folder, number) for number, folder in enumerate(further))]


def solution_definitions(trees: Iterable[dg.ComponentTree]) -> list[dg.Definitions]:
    """Return what each tree's components define, ready to be merged.

    Dagster's merge takes one tree only; that of the project stays, so that `dg` can show it. Each is built from its
    folder: a whole tree would list every component type that is installed for the pages, and import dbt for it.
    """
    own, *further = trees
    return [
        own.build_defs(own.defs_module_path),
        dg.Definitions(component_tree=own),
        *(_without_tree(tree.build_defs(tree.defs_module_path)) for tree in further),
    ]


def _without_tree(definitions: dg.Definitions) -> dg.Definitions:
    return dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        jobs=definitions.jobs,
        schedules=definitions.schedules,
        sensors=definitions.sensors,
        resources=definitions.resources,
    )


def _tree_of(folder: Path, number: int) -> dg.ComponentTree:
    """Give a folder outside the project a module name, which Dagster uses to tell its trees apart."""
    module = ModuleType(f"cellworks_defs_{number}")
    module.__path__ = [str(folder)]
    module.__file__ = str(folder / "__init__.py")
    sys.modules[module.__name__] = module
    return dg.ComponentTree(defs_module=module, project_root=folder)
