"""dbt, a night of training and promotion, and scoring are killed at random moments; the next run makes it whole.

`make test` kills each twice, `make faults` twenty times. Ingestion has a test of its own in `test_ingest_kill.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from orchestration.environment import default_site
from pipelines.control_plan.site import Site, load_site
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.twin.simulate import simulate
from tests.faults.kills import State, Worker, killed, worker
from tests.faults.work import LOTS
from tests.orchestration.conftest import own_rows

pytestmark = pytest.mark.slow
MANY = pytest.param(20, marks=[pytest.mark.faults, pytest.mark.soak])


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(default_site())


@pytest.fixture(scope="module")
def doing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with worker(tmp_path_factory.mktemp("worker")) as made:
        yield made


@pytest.fixture(scope="module")
def taken_in(tmp_path_factory: pytest.TempPathFactory, parsed: Callable[[Path], Path], site: Site) -> Home:
    """Three days of a small plant, ingested and not curated."""
    home = Home(parsed(tmp_path_factory.mktemp("plant") / "home")).ensure()
    bootstrap(home, site)
    simulate(site, home, days=3, seed=7, scale=0.05, telemetry_days=0)
    ingest(home, site)
    return home


def _own(folder: Path, site: Site) -> Home:
    """An instance whose one solution has not had its first night."""
    rows = own_rows(LOTS)
    lots = pa.array([f"L{number:04d}" for number in rows["id"].to_pylist()])
    pacsv.write_csv(rows.set_column(0, "lot_id", lots), folder / "own.csv")
    home = Home(folder / "home").ensure()
    bootstrap(home, site)
    return home


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory, doing: Worker, site: Site) -> Home:
    """An instance whose one solution has not had its first night."""
    home = _own(tmp_path_factory.mktemp("untrained"), site)
    doing.run(home, {"do": "open"})  # MLflow's tables take longer to make than a night
    return home


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, doing: Worker, site: Site) -> Home:
    """An instance whose solution has a champion that has not scored yet."""
    home = _own(tmp_path_factory.mktemp("trained"), site)
    doing.run(home, {"do": "learn"})
    return home


@pytest.mark.parametrize(
    ("kills", "domains"),
    [(2, ["material_inspection"]), pytest.param(20, ["material_inspection", "process"], marks=MANY.marks)],
)
def test_a_killed_curation_is_made_whole_by_the_next(
    doing: Worker, taken_in: Home, kills: int, domains: list[str], record_property: Callable[[str, Any], None]
) -> None:
    def same(calm: State, found: State) -> None:
        assert found == calm

    found = killed(doing, taken_in, {"do": "curate", "domains": domains}, kills, same)
    record_property("figures", asdict(found))
    assert found.recovered == found.kills == kills


@pytest.mark.parametrize("kills", [2, MANY])
def test_a_killed_night_leaves_no_half_promoted_model(
    doing: Worker, untrained: Home, kills: int, record_property: Callable[[str, Any], None]
) -> None:
    def same(calm: State, found: State) -> None:
        assert found["actions"] >= calm["actions"] > 0
        assert found["versions"] <= 2, "one of the killed night, and one of the next"

    found = killed(doing, untrained, {"do": "night"}, kills, same)
    record_property("figures", asdict(found))
    assert found.recovered == found.kills == kills


@pytest.mark.parametrize("kills", [2, MANY])
def test_a_killed_scoring_answers_and_acts_once(
    doing: Worker, trained: Home, kills: int, record_property: Callable[[str, Any], None]
) -> None:
    def same(calm: State, found: State) -> None:
        assert found == calm

    found = killed(doing, trained, {"do": "score"}, kills, same)
    record_property("figures", asdict(found))
    assert found.recovered == found.kills == kills
