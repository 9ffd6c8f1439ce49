"""Plants for the checks' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.control_plan.site import Site, load_site
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.publish import publish
from pipelines.lake.schemas import bootstrap
from tests.expectations.plants import build

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site() -> Site:
    return load_site(ROOT / "infra" / "sites" / "demo")


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory, site: Site, parsed: Callable[[Path], Path]) -> Home:
    home = Home(parsed(tmp_path_factory.mktemp("empty"))).ensure()
    bootstrap(home, site)
    with writer(home, why="something to refer to") as con:
        publish(con, "test", "run")
    return home


@pytest.fixture(scope="session")
def small_plant(tmp_path_factory: pytest.TempPathFactory, site: Site, parsed: Callable[[Path], Path]) -> Home:
    """A plant of a twentieth after its first night, three more days lying in its drop folder; copy it to change it."""
    return build(Home(parsed(tmp_path_factory.mktemp("plant"))), site)
