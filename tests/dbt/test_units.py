"""A laboratory that reports in another unit: raw keeps what came, staging shows the plan's unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from expectations.run import run_suites
from pipelines.control_plan.site import load_site
from pipelines.curation import instance
from pipelines.curation.contracts import PROJECT
from pipelines.curation.run import curate
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
FEED = "lims__material_result"
HEAD = "material_lot_id,material_code,characteristic_code,sample_no,value,unit_code,event_at,known_at"
MOMENTS = "2026-09-02 00:00:00,2026-09-02 01:00:00"
# As given, and as the plan has it.
GIVEN = {
    ("lfp_d50_um", "0.0012", "mm"): (1.2, "um"),
    ("lfp_moisture_ppm", "0.05", "%"): (500.0, "ppm"),
    ("lfp_carbon_pct", "14000", "ppm"): (1.4, "%"),
    ("carbon_viscosity_mpa_s", "6", "Pa.s"): (6000.0, "mPa.s"),
    ("lfp_press_density_g_cm3", "2.52", "g/cm3"): (2.52, "g/cm3"),
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, parsed: Callable[[Path], Path]) -> Iterator[Home]:
    home = Home(parsed(tmp_path_factory.mktemp("plant"))).ensure()
    bootstrap(home, SITE)
    lines = [f"L1,{code.split('_')[0]},{code},1,{value},{unit},{MOMENTS}" for code, value, unit in GIVEN]
    (home.drop_dir / FEED).mkdir(parents=True)
    (home.drop_dir / FEED / "a.csv").write_text("\n".join([HEAD, *lines, ""]))
    assert ingest(home, SITE).rows_quarantined == 0
    yield home
    instance.close(home)


def test_what_came_in_another_unit_is_staged_in_the_plans(home: Home) -> None:
    assert curate(home, SITE, layer="staging", domain="material_inspection").is_passed
    with reader(home) as con:
        rows = con.execute(f"SELECT characteristic_code, value, unit_code FROM staging.stg_{FEED}").fetchall()
    staged = {code: (value, unit) for code, value, unit in rows}
    assert staged == {code: (pytest.approx(value), unit) for (code, _, _), (value, unit) in GIVEN.items()}


def test_the_checks_of_raw_take_what_ingestion_takes(home: Home) -> None:
    report = run_suites(home, SITE, layer="raw", domain="material_inspection")
    (table,) = (each for each in report.tables if each.table == FEED)
    codes = {code for code, _, _ in GIVEN}
    assert table.checks > len(codes)
    assert [each.title for each in table.failed if each.title.split()[0] in codes] == []
