"""The plant that this process serves: its site's description and the home of its data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from orchestration.environment import site_folder
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.home import Home

_CLAIM = "site.json"


@dataclass(frozen=True)
class Plant:
    """A site and its home."""

    site: Site
    home: Home


def plant() -> Plant:
    """Return the plant that the environment names.

    Raises:
        CellworksError: The site's files are missing or wrong, or the home belongs to another site.
    """
    here = Plant(site=load_site(site_folder()), home=Home.from_env())
    _refuse_another_site(here)
    return here


def claim(here: Plant) -> None:
    """Make the home's folders and write down whose they are: data of two sites in one lake could not be told apart.

    Raises:
        CellworksError: The home can't be written.
    """
    try:
        here.home.ensure()
        told = {"name": here.site.name, "folder": str(here.site.folder)}
        (here.home.root / _CLAIM).write_text(json.dumps(told), encoding="utf-8")
    except OSError as error:
        raise CellworksError(
            "the home of this instance can't be written",
            expected="a folder of yours with room",
            found=f"{error.strerror or error}: {error.filename}",
            mend="name another with CELLWORKS_HOME",
            where=str(here.home.root),
        ) from error


def _refuse_another_site(here: Plant) -> None:
    try:
        owner = json.loads((here.home.root / _CLAIM).read_text(encoding="utf-8"))
        name, folder = str(owner["name"]), Path(owner["folder"])
    except (OSError, ValueError, KeyError, TypeError):  # nobody's yet, or the note is damaged: it is written anew
        return
    has_moved = name == here.site.name and not folder.is_dir()
    if folder != here.site.folder and not has_moved:
        raise CellworksError(
            "this home belongs to another site",
            expected=f"site {name} ({folder})",
            found=f"site {here.site.name} ({here.site.folder})",
            mend="set CELLWORKS_HOME to a folder of its own for each site",
            where=str(here.home.root),
        )
