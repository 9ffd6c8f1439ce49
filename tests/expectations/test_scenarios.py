"""The twin's data faults that ingestion meets first, from simulation to checks: each fails what is about it alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from expectations.run import run_suites
from pipelines.control_plan.feeds import DOMAINS
from pipelines.control_plan.site import Site
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.twin.simulate import simulate
from tests.expectations.plants import failures

pytestmark = pytest.mark.long
# These plants deliver no minute values: they are most of a delivery, and no scenario here is about them.
SILENT = {
    ("raw.historian__telemetry", "historian__telemetry has rows"),
    ("raw.historian__telemetry", "the newest record is at most 48 h old"),
}


@pytest.mark.parametrize(
    ("scenario", "failure"),
    [
        ("unit_error", ("raw.mes__filling", "at most 2% of the rows of the newest batch are in quarantine")),
        ("duplicated_lot", ("raw.erp__material_lot", "one material_lot_id and one known_at have one content")),
    ],
)
def test_a_data_fault_of_the_twin_fails_its_check_alone(
    scenario: str, failure: tuple[str, str], site: Site, tmp_path: Path
) -> None:
    home = Home(tmp_path)
    bootstrap(home.ensure(), site)
    simulate(site, home, days=9, seed=5, scale=0.02, telemetry_days=0, scenario=scenario)
    ingest(home, site)
    reports = [run_suites(home, site, layer="raw", domain=domain) for domain in DOMAINS]
    assert failures(reports) == {failure} | SILENT
