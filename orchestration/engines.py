"""Which engine runs the steps of the daemon's runs: `CELLWORKS_EXECUTOR` chooses.

Belongs here: the setting, and what it does to Dagster's instance file. Not here: Dagster itself, so that whoever only
wants to know the setting does not wait for its import.
"""

from __future__ import annotations

import os
from typing import Any, Final, Literal, get_args

import yaml

from orchestration.environment import project_root
from orchestration.services.settings import Place, load
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.stores import ENV_VARIABLE, Stores

EXECUTOR_VARIABLE: Final = "CELLWORKS_EXECUTOR"

Engine = Literal["processes", "kubernetes", "docker"]
ENGINES: Final[tuple[Engine, ...]] = get_args(Engine)


def chosen_engine(stores: Stores) -> Engine:
    """The engine that `CELLWORKS_EXECUTOR` names; processes of the run's own machine where it names none.

    Raises:
        CellworksError: there is no such engine, or its containers would share a home's SQLite files.
    """
    named = os.environ.get(EXECUTOR_VARIABLE, "").strip() or "processes"
    engine = next((each for each in ENGINES if each == named), None)
    if engine is None:
        raise CellworksError(
            "no such executor",
            expected=" or ".join(ENGINES),
            found=named,
            mend="correct it, or leave it out for processes of the run's own machine",
            where=EXECUTOR_VARIABLE,
        )
    if engine != "processes" and stores.name != "servers":
        raise CellworksError(
            "steps in containers of their own need stores that containers can share",
            expected=f"{ENV_VARIABLE}=servers",
            found=f"{ENV_VARIABLE}={stores.name}",
            mend=f"set {ENV_VARIABLE} and the servers it asks for, or leave {EXECUTOR_VARIABLE} out",
            where=EXECUTOR_VARIABLE,
        )
    return engine


def instance_settings(stores: Stores, home: Home) -> str:
    """Text of Dagster's instance file: that of the stores, with Docker its launcher of runs, and how many go at once.

    On Kubernetes the chart writes the file of the daemon and its runs, with the launcher in it.

    Args:
        stores: those of the instance.
        home: whose daemon reads the file.

    Raises:
        CellworksError: as `chosen_engine`, or the settings of the home's servers are damaged.
    """
    folder = project_root() / "infra" / "dagster"
    names = [stores.name, "docker"] if chosen_engine(stores) == "docker" else [stores.name]
    settings: dict[str, Any] = {}
    for name in names:
        settings |= yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    settings["concurrency"]["runs"]["max_concurrent_runs"] = _runs_at_once(stores, home)
    return yaml.safe_dump(settings, sort_keys=False)


def _runs_at_once(stores: Stores, home: Home) -> int:
    """A run for each site of the home's `services up`, but no more than there are cores, as docs/scale.md plans.

    A site's runs take turns: the file of the servers limits its tag, and files of a home are of one site.
    """
    servers = load(Place.of(home)) if stores.name == "servers" else None
    return 1 if servers is None else min(len(servers.sites), os.cpu_count() or 1)
