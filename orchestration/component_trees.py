"""Component trees: the project's `defs/` and any further folder that `CELLWORKS_DEFS` names."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import dagster as dg

from orchestration.environment import definition_folders, project_root


def component_trees() -> list[dg.ComponentTree]:
    """Return one tree per folder of solutions."""
    _, *further = definition_folders()
    own = dg.ComponentTree.for_project(path_within_project=project_root())
    return [own, *(_tree_of(folder, number) for number, folder in enumerate(further))]


def _tree_of(folder: Path, number: int) -> dg.ComponentTree:
    """Give a folder outside the project a module name, which Dagster uses to tell its trees apart."""
    module = ModuleType(f"cellworks_defs_{number}")
    module.__path__ = [str(folder)]
    module.__file__ = str(folder / "__init__.py")
    sys.modules[module.__name__] = module
    return dg.ComponentTree(defs_module=module, project_root=folder)
