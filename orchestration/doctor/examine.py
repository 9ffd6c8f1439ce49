"""Every look, one after the other; one that fails itself is a finding as well."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from orchestration.doctor import machine, stores, work
from orchestration.doctor.finding import Finding, Installation, Look, error, of, warning
from orchestration.doctor.services import services
from orchestration.environment import site_folder
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.home import Home
from pipelines.lake.stores import Stores

LOOKS: Final[Mapping[str, Look]] = {
    "python": machine.python,
    "packages": machine.packages,
    "extensions": machine.extensions,
    "settings": stores.settings,
    "services": services,
    "servers": stores.servers,
    "site": work.site,
    "folders": machine.folders,
    "private files": machine.secrets,
    "disk": machine.disk,
    "ports": machine.ports,
    "lake": stores.lake,
    "rules": stores.rules,
    "registry": stores.registry,
    "runs": stores.runs,
    "upgrades": stores.upgrades,
    "clock": machine.clock,
    "locks": work.locks,
    "open_runs": work.open_runs,
}
"""In an order in which what comes later stands on what came before."""

_BASES: Final = frozenset({"settings", "servers"})
"""Where these are wrong the stores are not opened, for each would wait until a server comes back."""


def examine() -> Iterator[Finding]:
    """Look at the installation that the environment names, and change nothing."""
    home = Home.from_env()
    it = Installation(home, _site(), _stores(home))
    told: dict[tuple[str, str], str] = {}
    for name, look in LOOKS.items():
        began = time.monotonic()
        try:
            found = list(look(it))
        except CellworksError as problem:
            first = told.setdefault((problem.what, problem.where), name)
            found = [of(problem) if first == name else _hidden(name, first)]
        except Exception as problem:  # noqa: BLE001 - what a look did not foresee is itself what is wrong, and is told
            said = " ".join(str(problem).split())[:300]
            found = [
                error(f"{name} can't be looked at: {type(problem).__name__}: {said}", "mend what the others name first")
            ]
        took_s = round(time.monotonic() - began, 3)
        yield from (replace(each, check=name, seconds=took_s) for each in found)
        if name in _BASES and any(each.level == "error" for each in found):
            it = replace(it, stores=None)


def _hidden(name: str, first: str) -> Finding:
    """What a look tells that fails by what another has told before it: one fault is counted once."""
    return warning(f"{name} could not be looked at, because of what {first} tells", f"mend what {first} tells first")


def _site() -> Site | None:
    try:
        return load_site(site_folder())
    except CellworksError:  # the look at the site tells it
        return None


def _stores(home: Home) -> Stores | None:
    try:
        return home.stores
    except CellworksError:  # the look at the settings tells it
        return None
