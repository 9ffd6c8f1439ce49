"""A solution that learns nothing, as the platform runs it: assets, job, sensors, actions, status, summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
import yaml

from orchestration.catalogue import find
from orchestration.cli.plant_commands import _rules
from orchestration.cli.status import status
from orchestration.night import solve
from orchestration.plant import plant
from orchestration.solving import PREDICTIONS
from pipelines.lake.connection import reader
from pipelines.lake.schemas import bootstrap
from tests.orchestration.conftest import Workshop

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]  # of Dagster's own making
KEY = dg.AssetKey(["mine", "graded", PREDICTIONS])


def _write(folder: Path, capacities: list[float]) -> None:
    ids = [f"C{number}" for number in range(len(capacities))]
    pacsv.write_csv(pa.table({"id": ids, "capacity_ah": capacities}), folder / "graded.csv")


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """An instance whose only solution grades the rows of a file, of which three are routed."""
    home = tmp_path / "home"
    monkeypatch.setenv("CELLWORKS_HOME", str(home))
    _write(tmp_path, [1180.0, 1100.0, 1181.0, 1101.0, 1102.0])
    attributes = {
        "question": "Which class?",
        "table": str(tmp_path / "graded.csv"),
        "keys": ["id"],
        "grading": {
            "grades": [{"name": "A", "limits": {"capacity_ah": {"at_least": 1175}}}],
            "otherwise": "C",
            "flagged": ["C"],
        },
        "gates": {"max_flagged_ratio": 0.1},
        "action": {"kind": "route"},
    }
    folder = home / "solutions" / "mine" / "graded"
    folder.mkdir(parents=True)
    content = {"type": "orchestration.components.DecisionRule", "attributes": attributes}
    (folder / "defs.yaml").write_text(yaml.safe_dump(content))
    here = plant()
    bootstrap(here.home.ensure(), here.site)
    with dg.instance_for_test(temp_dir=str(here.home.dagster_dir)) as instance:
        yield Workshop(here, tmp_path, instance)


def _row(rules: Workshop) -> dict[str, object]:
    [row] = [each for each in status(rules.here)["solutions"] if each["slug"] == "graded"]
    return row


def test_it_has_its_answers_alone_and_their_checks(rules: Workshop) -> None:
    graph = rules.definitions.resolve_asset_graph()
    own = {key for key in graph.get_all_asset_keys() if key.path[:2] == ["mine", "graded"]}
    assert own == {KEY}
    checks = {key.name for key in graph.asset_check_keys if key.asset_key == KEY}
    assert checks == {"decided", "flagged_ratio", "stands"}


def test_its_job_decides_acts_and_tells_the_rule(rules: Workshop) -> None:
    run = rules.run("mine__graded")
    assert run.success
    passed = {each.check_name: each.passed for each in run.get_asset_check_evaluations()}
    assert passed == {"decided": True, "flagged_ratio": False, "stands": True}, "three of five are flagged"
    row = _row(rules)
    assert (row["state"], row["family"], row["rows_scored"], row["actions"]) == ("working", "DecisionRule", 5, 3)
    assert str(row["champion_version"]).startswith("rule-")
    with reader(rules.here.home) as con:
        actions = con.execute("SELECT target_id, kind, model_version, reason FROM ops.action ORDER BY 1").fetchall()
    assert [action[:3] for action in actions] == [
        (name, "route", row["champion_version"]) for name in ("C1", "C3", "C4")
    ]
    assert json.loads(actions[0][3]) == [{"feature": "capacity_ah", "value": 1100.0, "limit": "at least 1175 for A"}]
    assert rules.run("nightly", asset_selection=[KEY]).success
    assert (_row(rules)["rows_scored"], _row(rules)["actions"]) == (5, 3), "what was told is not told again"


def test_the_nights_summary_tells_what_the_rule_wrote(rules: Workshop) -> None:
    figures = {"rows": 5, "version": "rule-0123abcd", "actions": 3}
    assert list(_rules({KEY: figures})) == [{"solution": "mine/graded", **figures}]
    assert list(_rules({})) == []


def test_a_file_that_grew_is_decided_by_the_answers_alone(rules: Workshop) -> None:
    assert rules.run("mine__graded").success
    _, cursor = rules.tick("new_data", None)
    _write(rules.tables, [1180.0, 1100.0, 1181.0, 1101.0, 1102.0, 1190.0])
    [request], _ = rules.tick("new_data", cursor)
    assert request.asset_selection == [KEY]
    assert rules.run("new_data", request).success
    assert _row(rules)["rows_scored"] == 6


def test_nothing_looks_for_its_drift_or_its_champion(rules: Workshop) -> None:
    assert rules.run("mine__graded").success
    for sensor in ("skill_lost", "champion_moved"):
        assert rules.tick(sensor, None)[0] == []


def test_a_rule_that_fails_says_so_and_keeps_its_answers(rules: Workshop) -> None:
    assert rules.run("mine__graded").success
    pacsv.write_csv(pa.table({"id": ["C0"], "other": [1.0]}), rules.tables / "graded.csv")
    outcome = solve(find("mine/graded"), rules.here, parts=(PREDICTIONS,), domain=None, full_search=False, actor="test")
    assert "capacity_ah" in outcome.failure
    assert (_row(rules)["state"], _row(rules)["rows_scored"]) == ("failing", 5)
