"""The first night of a small plant by the command line: alone with itself, interrupted, and crowded."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from models.families import FAMILIES
from models.registry.client import open_home
from models.registry.published import snapshots_of_versions
from orchestration.catalogue import discover
from pipelines.lake.connection import reader
from pipelines.lake.hashing import table_hash
from pipelines.lake.maintenance import maintain
from pipelines.lake.sql import quote_identifier
from tests.end_to_end.conftest import FirstNight

pytestmark = pytest.mark.slow


def test_a_night_goes_through_and_opens_no_socket_but_loopback(first_night: FirstNight) -> None:
    assert first_night.night.code == 0, (first_night.night.err + first_night.night.out)[-3000:]
    told = json.loads(first_night.night.out)
    assert told["success"]
    assert told["rows"]["in"] == 0, "the night that was interrupted in dbt had committed its rows"
    with reader(first_night.plant.home) as con:
        assert con.execute("SELECT count(*) > 1_000 FROM marts.cell").fetchone() == (True,)
    champions = {each["slug"]: each["champion_version"] for each in told["solutions"]}
    assert champions["weld_resistance"] == "1"
    assert not first_night.plant.refused_file.exists(), first_night.plant.refused_file.read_text()


def test_every_folder_has_its_night_and_answers_or_says_what_it_waits_for(first_night: FirstNight) -> None:
    told = {f"{each['stage']}/{each['slug']}": each for each in json.loads(first_night.night.out)["solutions"]}
    assert set(told) == {spec.solution for spec in discover()} | {"line/weld_resistance"}
    assert {name: each["reason"] for name, each in told.items() if each["state"] != "working"} == {}
    answered = set()
    with reader(first_night.plant.home) as con:
        for name, each in told.items():
            if each["champion_version"] is None:
                assert each["reason"], f"{name} has no champion and does not say why"
            if not each["rows_scored"]:
                continue
            answered.add(each["family"])
            own = f"solutions.{quote_identifier(each['slug'])}"
            rows = con.execute(f"SELECT count(*), count(model_version) FROM {own}").fetchone()
            assert rows == (each["rows_scored"],) * 2, name
            proposed = con.execute("SELECT count(*) FROM ops.action WHERE solution = ?", [each["slug"]]).fetchone()
            assert proposed == (each["actions"],), name
    # Nine days of a small line hold too little to promote a forecast or a detector by, and no container is finished.
    assert answered >= {family.component for family in FAMILIES} - {"AnomalyDetector", "Forecast", "Traceability"}


def test_the_formation_of_cells_is_learnt_and_judged_from_the_first_cells_on(first_night: FirstNight) -> None:
    told = {each["slug"]: each for each in json.loads(first_night.night.out)["solutions"]}["formation_anomaly"]
    assert (told["family"], told["state"], told["metric"]["name"]) == ("AnomalyDetector", "working", "faults_found")
    # A week of a small line is too little to promote by, which is said and is no failure.
    assert told["champion_version"] is not None or "too small" in told["reason"] or "not yet" in told["reason"]


def test_cells_are_screened_beside_their_tray_by_the_rule_alone(first_night: FirstNight) -> None:
    told = {each["slug"]: each for each in json.loads(first_night.night.out)["solutions"]}["self_discharge_screen"]
    assert (told["family"], told["state"], told["metric"]["value"]) == ("DecisionRule", "working", None)
    assert told["champion_version"].startswith("rule-")
    with reader(first_night.plant.home) as con:
        cells = con.execute("SELECT count(*), count(DISTINCT ageing_tray_id) FROM marts.cell_at_grading").fetchone()
        assert cells is not None
        assert cells[0] > 50
        answers = con.execute(
            "SELECT count(DISTINCT cell_id), count(reasons), count(class) FROM solutions.self_discharge_screen "
            "WHERE model_version = ?",
            [told["champion_version"]],
        ).fetchone()
        held = con.execute("SELECT count(*) FROM solutions.self_discharge_screen WHERE is_flagged").fetchone()
    assert answers is not None
    assert answers[:2] == (cells[0], told["rows_scored"]) == (cells[0], cells[0])
    assert answers[2] > 0.5 * cells[0], "trays are full enough to judge by"
    assert held is not None
    assert held[0] <= 3 + 0.02 * cells[1], "a good tray is held for one of its cells once in a hundred times"


def test_cells_are_graded_as_the_tester_graded_them(first_night: FirstNight) -> None:
    told = {each["slug"]: each for each in json.loads(first_night.night.out)["solutions"]}["grading"]
    assert (told["family"], told["state"]) == ("DecisionRule", "working")
    with reader(first_night.plant.home) as con:
        graded = con.execute(
            "SELECT count(*), count(*) FILTER (class IS DISTINCT FROM grade_code) "
            "FROM solutions.grading JOIN marts.cell USING (cell_id)"
        ).fetchone()
    assert graded is not None
    assert graded[0] > 20
    assert graded[1] == 0


def test_the_guard_of_that_test_works(first_night: FirstNight, tmp_path) -> None:
    import subprocess
    import sys

    file = tmp_path / "refused.txt"
    env = first_night.plant.guarded | {"REFUSED_FILE": str(file)}
    script = "import urllib.request as u; u.urlopen('http://telemetry.example/', timeout=5)"
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert file.read_text() == "telemetry.example\n"


@pytest.mark.faults
def test_ctrl_c_is_clean_and_the_next_night_completes(first_night: FirstNight) -> None:
    interrupted = first_night.interrupted
    assert interrupted.code == 130, interrupted.err[-3000:]
    assert "interrupted; the next run goes on" in interrupted.err
    assert "Traceback" not in interrupted.err
    # The steps that were still to come take minutes.
    assert interrupted.seconds < 30
    assert first_night.night.code == 0


@pytest.mark.faults
def test_a_second_night_says_who_is_at_it_and_leaves(first_night: FirstNight) -> None:
    assert first_night.second.code == 2
    assert "another run is under way" in first_night.second.err
    assert "nothing was changed" in first_night.second.err


def test_maintenance_keeps_what_a_registered_version_learnt_from(first_night: FirstNight) -> None:
    home = first_night.plant.home
    version = open_home(home).get_model_version("line.weld_resistance", "1")
    learnt = int(version.tags["lake_snapshot"])
    with reader(home, snapshot=learnt) as con:
        before = table_hash(con, "marts.cell_at_formation")
    report = maintain(home, keep=timedelta(0), grace=timedelta(0), also_keep=snapshots_of_versions(home))
    assert report.expired
    assert learnt in report.kept
    with reader(home, snapshot=learnt) as con:
        assert table_hash(con, "marts.cell_at_formation") == before
