"""Homes that faults are done to, each as it was again after the test, and the process that works on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from orchestration.environment import default_site
from pipelines.control_plan.site import Site, load_site
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.twin.simulate import simulate
from tests.faults.kills import Worker, copied, restore, worker
from tests.faults.work import LOTS
from tests.orchestration.conftest import own_rows


@pytest.fixture(scope="session")
def site() -> Site:
    return load_site(default_site())


@pytest.fixture(scope="session")
def doing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with worker(tmp_path_factory.mktemp("worker")) as made:
        yield made


@pytest.fixture(scope="session")
def taken_in(tmp_path_factory: pytest.TempPathFactory, parsed: Callable[[Path], Path], site: Site) -> Home:
    """Three days of a small plant, ingested and not curated."""
    home = Home(parsed(tmp_path_factory.mktemp("plant") / "home")).ensure()
    bootstrap(home, site)
    simulate(site, home, days=3, seed=7, scale=0.05, telemetry_days=0)
    ingest(home, site)
    return home


def write_lots(home: Home, lots: int) -> None:
    """The file that the solution reads, beside the home; the first lots stay what they were."""
    rows = own_rows(LOTS) if lots <= LOTS else pa.concat_tables([own_rows(LOTS), own_rows(lots - LOTS, first=LOTS)])
    names = pa.array([f"L{number:04d}" for number in rows["id"].to_pylist()])
    pacsv.write_csv(rows.set_column(0, "lot_id", names), home.root.parent / "own.csv")


def _own(folder: Path, site: Site) -> Home:
    home = Home(folder / "home").ensure()
    write_lots(home, LOTS)
    bootstrap(home, site)
    return home


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory, doing: Worker, site: Site) -> Home:
    """An instance whose one solution has not had its first night."""
    home = _own(tmp_path_factory.mktemp("untrained"), site)
    doing.run(home, {"do": "open"})  # MLflow's tables take longer to make than a night
    return home


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, doing: Worker, site: Site) -> Home:
    """An instance whose solution has a champion that has not scored yet."""
    home = _own(tmp_path_factory.mktemp("trained"), site)
    doing.run(home, {"do": "learn"})
    return home


@pytest.fixture
def challenged(trained: Home, doing: Worker) -> Iterator[Home]:
    """The trained instance with a second version that nobody has judged."""
    kept = trained.root.with_name("kept")
    copied(trained.root, kept)
    doing.run(trained, {"do": "train"})
    yield trained
    restore(kept, trained)
    shutil.rmtree(kept)
