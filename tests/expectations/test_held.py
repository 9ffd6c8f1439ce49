"""What held is not asked again, and what changed is: whoever changed it, and whatever noted it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from expectations import held
from expectations.report import TableReport
from expectations.run import run_suites
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.lake.clock import plant_now
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.maintenance import maintain
from tests.expectations.plants import copied, failures

pytestmark = pytest.mark.slow
_SCRIPT = """
import json, sys
from pathlib import Path
from expectations.run import run_suites
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
home, site = Home(Path(sys.argv[1])), load_site(Path(sys.argv[2]))
report = run_suites(home, site, layer="staging", domain="energy")
print(json.dumps({
    "failed": [str(each) for each in report.failed], "asked": sum(each.asked for each in report.tables),
    "checks": report.checks, "startup": report.startup_seconds,
    "loaded": "great_expectations" in sys.modules}))
"""


@pytest.fixture
def plant(small_plant: Home, tmp_path: Path) -> Home:
    return copied(small_plant, tmp_path / "home")


def change(home: Home, sql: str) -> None:
    with writer(home, why="a change that nobody notes") as con:
        con.execute(sql)


def weather(home: Home, site: Site) -> TableReport:
    report = run_suites(home, site, layer="staging", domain="energy")
    return next(each for each in report.tables if each.table == "stg_ems__weather")


def held_on(home: Home, relation: str) -> int:
    with reader(home) as con:
        rows = con.execute("SELECT snapshot_id FROM lake.ops.checked WHERE relation = ?", [relation]).fetchall()
    return int(rows[0][0])


ROW = (
    "INSERT INTO lake.staging.stg_ems__weather "
    "SELECT * REPLACE ({value} AS outdoor_temp_c, event_at - INTERVAL 7 MINUTE "
    "AS event_at) FROM lake.staging.stg_ems__weather ORDER BY event_at LIMIT 1"
)


def test_a_table_that_nobody_touched_is_asked_nothing_and_loads_no_library(plant: Home, site: Site) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(plant.root), str(site.folder)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    told = json.loads(run.stdout)
    assert told["checks"] > 10
    assert told == {"failed": [], "asked": 0, "checks": told["checks"], "startup": 0.0, "loaded": False}


def test_new_rows_are_asked_and_what_held_is_written_down(plant: Home, site: Site) -> None:
    before = held_on(plant, "staging.stg_ems__weather")
    change(plant, ROW.format(value=20.5))
    report = weather(plant, site)
    assert report.asked == report.checks > 0
    assert report.since == before
    assert held_on(plant, "staging.stg_ems__weather") > before
    assert weather(plant, site).asked == 0


def test_a_bad_row_fails_every_night_until_it_is_gone(plant: Home, site: Site) -> None:
    before = held_on(plant, "staging.stg_ems__weather")
    change(plant, ROW.format(value=75.0))
    for _ in range(2):
        (failed,) = weather(plant, site).failed
        assert (failed.title, failed.count) == ("outdoor_temp_c is within -50 to 60", 1)
        assert failed.samples[0]["outdoor_temp_c"] == 75.0
        assert held_on(plant, "staging.stg_ems__weather") == before
    change(plant, "DELETE FROM lake.staging.stg_ems__weather WHERE outdoor_temp_c = 75")
    assert weather(plant, site).failed == ()


def test_another_suite_is_validated_on_the_whole_table(
    plant: Home, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = held.suite_hash
    monkeypatch.setattr("expectations.run.suite_hash", lambda *args: f"x{digest(*args)[1:]}")
    report = weather(plant, site)
    assert (report.since, report.asked) == (None, report.checks)


def test_a_full_run_asks_everything(plant: Home, site: Site) -> None:
    report = run_suites(plant, site, layer="staging", domain="energy", full=True)
    assert [each.asked for each in report.tables] == [each.checks for each in report.tables]


def test_compacted_files_and_forgotten_snapshots_are_no_gap(plant: Home, site: Site) -> None:
    change(plant, ROW.format(value=20.5))
    change(plant, ROW.replace("7 MINUTE", "8 MINUTE").format(value=75.0))
    maintain(plant, keep=timedelta(0), grace=timedelta(0))
    report = weather(plant, site)
    assert report.since is None
    assert [each.count for each in report.failed] == [1]


def test_a_table_referred_to_is_watched_as_well(plant: Home, site: Site) -> None:
    change(plant, "DELETE FROM lake.staging.stg_mes__daughter_roll WHERE electrode_code = 'cathode'")
    lost = failures([run_suites(plant, site, layer="staging", domain="process")])
    assert ("staging.stg_mes__stacking", "cathode_roll_id is found in mes__daughter_roll.daughter_roll_id") in lost


def test_marts_that_changed_after_their_checks_are_not_published(plant: Home) -> None:
    with writer(plant, why="publish") as con:
        held.refuse_changed(con, ["marts.cell", "marts.kpi_day", "marts.cell_at_filling"])
        con.execute("UPDATE lake.marts.cell SET retest_count = 1 WHERE cell_id = (SELECT min(cell_id) FROM marts.cell)")
        with pytest.raises(CellworksError, match=r"marts\.cell"):
            held.refuse_changed(con, ["marts.cell", "marts.kpi_day"])


def test_the_clock_alone_makes_a_feed_stale(plant: Home, site: Site) -> None:
    with reader(plant) as con:
        now = plant_now(con)
    change(
        plant,
        "INSERT INTO lake.ops.ingest_offset SELECT * REPLACE ("
        f"TIMESTAMP '{now.isoformat(sep=' ')}' + INTERVAL 60 HOUR AS max_known_at) FROM lake.ops.ingest_offset LIMIT 1",
    )
    report = run_suites(plant, site, layer="raw", domain="energy")
    assert {title for _, title in failures([report])} == {"the newest record is at most 48 h old"}
