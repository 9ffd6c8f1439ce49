"""A small plant with all its layers built, for the files of this folder; whoever adds to it builds them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.control_plan.site import load_site
from pipelines.curation import instance
from pipelines.curation.contracts import PROJECT
from pipelines.curation.report import CurateReport
from pipelines.curation.run import LAYER_DOMAINS, curate
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.twin.simulate import simulate

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")


def build(home: Home) -> list[CurateReport]:
    return [
        curate(home, SITE, layer=layer, domain=domain) for layer, domains in LAYER_DOMAINS.items() for domain in domains
    ]


@pytest.fixture(scope="session")
def run_all() -> Callable[[Home], list[CurateReport]]:
    return build


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory, parsed: Callable[[Path], Path]) -> Iterator[Home]:
    """A plant that has delivered nothing, one for each file; the plant that the others share stays as it is."""
    home = Home(parsed(tmp_path_factory.mktemp("plant"))).ensure()
    bootstrap(home, SITE)
    yield home
    instance.close(home)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, parsed: Callable[[Path], Path]) -> Iterator[Home]:
    """Ten days: the cells of the first one are graded by then."""
    home = Home(parsed(tmp_path_factory.mktemp("plant"))).ensure()
    bootstrap(home, SITE)
    simulate(SITE, home, days=10, seed=11, scale=0.06, telemetry_days=0)
    ingest(home, SITE)
    assert [report for report in build(home) if not report.is_passed] == []
    yield home
    instance.close(home)
