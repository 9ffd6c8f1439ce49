"""`cellworks services up|down|status`: the servers of one machine, each its own supervised process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestration import progress
from orchestration.cli import console
from orchestration.plant import claim, make_lake, plant, plant_of_any_stores, stores_in_use
from orchestration.services import control, credentials
from orchestration.services.choice import Wanted
from orchestration.services.settings import Place
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home


def up(more_sites: Sequence[Path], port: int, *, stores_only: bool, as_json: bool) -> None:
    """Start the servers and say where they answer."""
    here = plant_of_any_stores()
    is_embedded = stores_in_use(here.home) == "embedded"
    if is_embedded and not stores_only:
        raise _not_moved_yet(here.home)
    folders = (here.site.folder, *(each.resolve() for each in more_sites))
    for each in folders[1:]:
        load_site(each)  # what is wrong with one is told before anything is started

    def prepare(sites: list[dict[str, str]]) -> None:
        with console.only_ours():
            # The home's own last: its environment and instance are those that stay.
            for number, environment in reversed(list(enumerate(sites))):
                os.environ.update(environment)
                _prepare_site(has_embedded=is_embedded and number == 0, stores_only=stores_only)
            if not stores_only:
                _prepare_servers(here.home)

    with console.showing(as_json=as_json) as shown:
        control.up(here.home, Wanted(folders, port, stores_only), prepare, lambda _: shown.finish())
    show_status(as_json=as_json)
    if stores_only and not as_json:
        print(after_stores(is_embedded=is_embedded))


def after_stores(*, is_embedded: bool) -> str:
    """What to do once the stores alone run."""
    if is_embedded:
        return (
            "Next: `cellworks migrate` in such a shell, which moves this home's instance from its files to these "
            "stores, then `cellworks services up`. Until it has moved, such a shell refuses every other command, and a "
            "shell without these variables goes on with the files."
        )
    return (
        "Next, in such a shell: `cellworks restore FOLDER` brings a backup here, or `cellworks nightly` begins anew; "
        "`cellworks services up` adds the other servers."
    )


def _prepare_site(*, has_embedded: bool, stores_only: bool) -> None:
    """Make what the environment's site needs before its servers start; its lake too, if they are more than stores.

    With an instance in files there are only empty databases and a bucket, as `migrate` wants them; with stores alone no
    key of the registry either, as `restore` brings its own.
    """
    from orchestration.cli.plant_commands import prepare_instance
    from pipelines.lake.servers import ensure_stores

    there = plant_of_any_stores()
    progress.begin(f"databases and bucket of {there.site.name}")
    ensure_stores(there.home.stores)
    if has_embedded:
        return
    if stores_only:
        claim(there)
        return
    progress.begin(f"lake of {there.site.name}")
    prepare_instance(there)
    make_lake(there)  # else the daemon's first run would find no lake


def _prepare_servers(home: Home) -> None:
    """Make what two servers that start together would both try: Dagster's tables, and MLflow's with its users.

    Here, so that MLflow's server is never told a password of a user.
    """
    from dagster import DagsterInstance

    from orchestration.services.mlflow_login import ensure_users

    progress.begin("tables of Dagster")
    DagsterInstance.get().dispose()
    progress.begin("tables and users of MLflow")
    ours = credentials.load(Place.of(home))
    ensure_users(plant().home.stores.mlflow_uri, ours.mlflow_admin_password, ours.mlflow_viewer_password)


def down(*, as_json: bool) -> None:
    """Stop the servers."""
    ran = control.down(Home.from_env(), _progress)
    console.tell({"stopped": ran}, "stopped" if ran else "nothing ran", as_json=as_json)


def show_status(*, as_json: bool) -> None:
    """Print what runs and what answers; exit code 1 when anything does not."""
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
    elif any(each["name"] == "webserver-view" for each in found["services"]):
        print(
            "The site names roles. With identity oidc its door is the gateway, whose configuration `cellworks gateway` "
            "writes; with operating_system there is none, and the roles hold for commands."
        )
    print(f"In a shell from which commands are to use them:  . {found['environment']}")


def _health(service: dict[str, Any]) -> str:
    return "yes" if service["healthy"] else service["detail"] or "no"


def _progress(name: str) -> None:
    print(name, file=sys.stderr, flush=True)


def _not_moved_yet(home: Home) -> CellworksError:
    return CellworksError(
        "this home's instance is in files, and the servers would begin with an empty one",
        expected="a home without a lake, or one that was moved to servers",
        found=f"a lake at {home.catalogue}",
        mend=(
            f"`cellworks services up --stores`, then `. {home.root / 'services' / 'env'}` and `cellworks migrate`, "
            "then this again"
        ),
        where=str(home.root),
    )
