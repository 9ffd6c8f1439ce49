"""The plant that this process serves: its site's description and the home of its data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from orchestration.environment import site_folder
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.home import Home
from pipelines.lake.stores import ENV_VARIABLE
from pipelines.lake.whole_file import write_whole

_CLAIM = "site.json"


@dataclass(frozen=True)
class Plant:
    """A site and its home."""

    site: Site
    home: Home


def plant() -> Plant:
    """Return the plant that the environment names.

    Raises:
        CellworksError: The site's files are missing or wrong, the home belongs to another site, or its instance is in
            other stores, or on other servers, than those that the environment chooses.
    """
    here = plant_of_any_stores()
    _refuse_other_stores(here.home)
    _refuse_other_servers(here.home)
    return here


def plant_of_any_stores() -> Plant:
    """The same, whichever stores its instance is in: for what starts servers, moves an instance or brings one back.

    Raises:
        CellworksError: The site's files are missing or wrong, or the home belongs to another site.
    """
    here = Plant(site=load_site(site_folder()), home=Home.from_env())
    _refuse_another_site(here)
    return here


def require_rules(here: Plant) -> bool:
    """Refuse to change a lake that knows other rules of who may do what than the site's file has.

    Returns:
        Whether it is there and knows any.

    Raises:
        CellworksError: it does.
    """
    from pipelines.access.rules import require, rules_of
    from pipelines.lake.connection import reader

    if not here.home.has_lake:
        return False
    with reader(here.home) as con:
        return require(con, rules_of(here.site))


def make_lake(here: Plant) -> None:
    """Make the site's lake, or what it lacks; a new one keeps the site's rules of who may do what, if it has any.

    Raises:
        CellworksError: the lake knows other rules, or another writer holds it.
    """
    from pipelines.access.rules import rules_of, settle
    from pipelines.lake.connection import writer
    from pipelines.lake.lock import ACTS
    from pipelines.lake.schemas import bootstrap

    knows = require_rules(here)
    bootstrap(here.home, here.site)
    if here.site.access.is_guarded and not knows:
        with writer(here.home, why="the first rules of who may do what", area=ACTS) as con:
            settle(here.home, con, rules_of(here.site))


def stores_in_use(home: Home) -> str | None:
    """The stores that the home's instance is in, `embedded` or `servers`; None where there is no instance yet."""
    if _note(home).get("environment") == "servers" or home.moved_file.is_file():
        return "servers"
    return "embedded" if home.catalogue.is_file() else None


def claim(here: Plant) -> None:
    """Make the home's folders and write down whose they are and which stores are theirs.

    Data of two sites in one lake could not be told apart, and a home with a lake in files and one on servers has two
    truths.

    Raises:
        CellworksError: The home can't be written.
    """
    try:
        here.home.ensure()
        told = {"name": here.site.name, "folder": str(here.site.folder), "environment": here.home.stores.name}
        told |= _addresses(here.home)
        write_whole(here.home.root / _CLAIM, json.dumps(told))
    except OSError as error:
        raise CellworksError(
            "the home of this instance can't be written",
            expected="a folder of yours with room",
            found=f"{error.strerror or error}: {error.filename}",
            mend="name another with CELLWORKS_HOME",
            where=str(here.home.root),
        ) from error


def _refuse_another_site(here: Plant) -> None:
    owner = _note(here.home)
    if not {"name", "folder"} <= owner.keys():
        return  # nobody's yet, or the note is damaged: it is written anew
    name, folder = str(owner["name"]), Path(str(owner["folder"]))
    has_moved = name == here.site.name and not folder.is_dir()
    if folder != here.site.folder and not has_moved:
        raise CellworksError(
            "this home belongs to another site",
            expected=f"site {name} ({folder})",
            found=f"site {here.site.name} ({here.site.folder})",
            mend="set CELLWORKS_HOME to a folder of its own for each site",
            where=str(here.home.root),
        )


def _note(home: Home) -> dict[str, object]:
    try:
        told = json.loads((home.root / _CLAIM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _refuse_other_stores(home: Home) -> None:
    used, chosen = stores_in_use(home), home.stores.name
    if used in (None, chosen):
        return
    shell = home.root / "services" / "env"
    if used == "embedded":
        mend = "`cellworks migrate` moves it to the servers; or leave the variable out"
    elif shell.is_file():
        mend = f"in this shell: . {shell}"
    else:
        mend = "set it, with the servers' addresses (docs/how-to/run-on-servers.md)"
    raise CellworksError(
        "this home's instance is in other stores, and would not be seen",
        expected=f"{ENV_VARIABLE}={used}",
        found=f"{ENV_VARIABLE}={chosen}",
        mend=mend,
        where=str(home.root),
    )


def _addresses(home: Home) -> dict[str, str]:
    """Where the lake's catalogue and its data are, in words without a secret; nothing for files of the home."""
    stores = home.stores
    if stores.lake_url is None or stores.objects is None:
        return {}
    return {"catalogue": stores.lake_url, "data": f"{stores.data_path} at {stores.objects.endpoint}"}


def _refuse_other_servers(home: Home) -> None:
    noted, chosen = _note(home), _addresses(home)
    others = {name for name in chosen if noted.get(name, chosen[name]) != chosen[name]}
    if not others:
        return
    shell = home.root / "services" / "env"
    way = f"in this shell: . {shell}" if shell.is_file() else "set the servers' variables to these addresses"
    raise CellworksError(
        "this home's instance is on other servers, and would not be seen",
        expected=", ".join(str(noted[name]) for name in sorted(others)),
        found=", ".join(chosen[name] for name in sorted(others)),
        mend=f"{way}; where these very servers have got other addresses, delete {home.root / _CLAIM} first",
        where=str(home.root),
    )
