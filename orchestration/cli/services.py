"""`cellworks services up|down|status`: the servers of one machine, each its own supervised process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestration.cli import console
from orchestration.plant import plant
from orchestration.services import control, credentials
from orchestration.services.settings import Place, Wanted
from pipelines.control_plan.site import load_site


def up(more_sites: Sequence[Path], port: int, *, stores_only: bool, as_json: bool) -> None:
    """Start the servers and say where they answer."""
    here = plant()
    folders = (here.site.folder, *(each.resolve() for each in more_sites))
    for each in folders[1:]:
        load_site(each)  # what is wrong with one is told before anything is started

    def prepare(sites: list[dict[str, str]]) -> None:
        from dagster import DagsterInstance

        from orchestration.cli.plant_commands import prepare_instance
        from orchestration.services.mlflow_login import ensure_users
        from pipelines.lake.schemas import bootstrap

        with console.only_ours():
            # The home's own last: its environment and instance are those that stay.
            for environment in reversed(sites):
                os.environ.update(environment)
                there = plant()
                prepare_instance(there)
                bootstrap(there.home, there.site)  # else the daemon's first run would find no lake
            # Dagster's tables are made here: web server and daemon, starting together, would both try.
            DagsterInstance.get().dispose()
            if not stores_only:  # MLflow's users too, so that the server is never told a password of theirs
                ours = credentials.load(Place.of(here.home))
                mlflow_url = there.home.stores.mlflow_uri
                ensure_users(mlflow_url, ours.mlflow_admin_password, ours.mlflow_viewer_password)

    control.up(here.home, Wanted(folders, port, stores_only), prepare, _progress)
    show_status(as_json=as_json)


def down(*, as_json: bool) -> None:
    """Stop the servers."""
    from pipelines.lake.home import Home

    ran = control.down(Home.from_env(), _progress)
    console.tell({"stopped": ran}, "stopped" if ran else "nothing ran", as_json=as_json)


def show_status(*, as_json: bool) -> None:
    """Print what runs and what answers; exit code 1 when anything does not."""
    from pipelines.lake.home import Home

    found = control.status(Home.from_env())
    if as_json:
        console.tell(found, "", as_json=True)
    else:
        _show(found)
    if not found["healthy"]:
        sys.exit(1)


def _show(found: dict[str, Any]) -> None:
    if not found["running"]:
        print("the services do not run; `cellworks services up` starts them")
        return
    rows = [[each["name"], each["state"], _health(each), each["pid"], each["address"]] for each in found["services"]]
    console.table(["server", "state", "healthy", "pid", "address"], rows)
    if found["proxy"]:
        print(f"Dagster {found['proxy']}/dagster   MLflow {found['proxy']}/mlflow")
    print(f"In a shell from which commands are to use them:  . {found['environment']}")


def _health(service: dict[str, Any]) -> str:
    return "yes" if service["healthy"] else service["detail"] or "no"


def _progress(name: str) -> None:
    print(name, file=sys.stderr, flush=True)
