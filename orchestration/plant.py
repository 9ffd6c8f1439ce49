"""The plant that this process serves: its site's description and the home of its data."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.environment import site_folder
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.home import Home


@dataclass(frozen=True)
class Plant:
    """A site and its home."""

    site: Site
    home: Home


def plant() -> Plant:
    """Return the plant that the environment names.

    Raises:
        CellworksError: The site's files are missing or wrong.
    """
    return Plant(site=load_site(site_folder()), home=Home.from_env())
