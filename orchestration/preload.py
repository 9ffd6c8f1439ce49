"""First module of the fork server: sets the switches, then imports the project's own code. Opens nothing."""

from __future__ import annotations

from orchestration.environment import prepare_process

prepare_process()

from models.registry.client import quiet  # noqa: E402

quiet()  # before MLflow is imported, which reads then what it may say between a night's bars

from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches  # noqa: E402

import orchestration.assembly  # noqa: E402, F401 - imported for its children's sake
from orchestration.secrecy import hide  # noqa: E402

hide()  # its children tell of their own work

# Fills MLflow's map from modules to packages, 0.4 s that each child would spend as it logs its model.
warn_dependency_requirement_mismatches(["mlflow"])
