"""A machine that stands shows its rest in the telemetry: no speed and no power are no wrong unit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from expectations.run import run_suites
from pipelines.control_plan.site import Site
from pipelines.curation.run import curate
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.twin.decisions import Schedule
from pipelines.twin.simulate import simulate
from tests.expectations.plants import failures

pytestmark = pytest.mark.slow

UNIT = ("staging.stg_historian__telemetry", "values are given in the plan's unit")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, site: Site, parsed: Callable[[Path], Path]) -> Home:
    """A plant whose cathode calender is stopped on its first day; what its machines deliver of it."""
    home = Home(parsed(tmp_path_factory.mktemp("stopped")))
    bootstrap(home.ensure(), site)
    stop = Schedule(kind="schedule", day=date(2026, 9, 1), machine_id="calender_c1", is_running=False)
    simulate(site, home, days=1, seed=5, scale=0.2, telemetry_days=1, decisions=[stop])
    for folder in home.drop_dir.iterdir():
        if site.feeds[folder.name].domain != "equipment":
            shutil.rmtree(folder)
    return home


def found(home: Home, site: Site) -> set[tuple[str, str]]:
    """What the checks of the machines' staging tables find after taking all in."""
    ingest(home, site)
    assert curate(home, site, layer="staging", domain="equipment").is_passed
    return failures([run_suites(home, site, layer="staging", domain="equipment")])


@pytest.mark.long
def test_a_machine_that_stood_all_day_fails_no_check_of_units(stopped: Home, site: Site, tmp_path: Path) -> None:
    shutil.copytree(stopped.root, tmp_path / "home")
    assert UNIT not in found(Home(tmp_path / "home"), site)
