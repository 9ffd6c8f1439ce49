"""A pack at the site that takes it in: nothing of it acts before that site's own night, and then what passed there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from models.registry.client import open_home
from models.registry.versions import aliases, champion
from orchestration.batch import Task, run_nights
from orchestration.catalogue import find
from orchestration.plant import plant
from orchestration.solving import Outcome, Part
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.tables import has_table

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROOT = Path(__file__).parents[2]
GOOD, BLIND, RULE = "theirs/air_moisture", "theirs/air_blind", "theirs/air_class"
SUITE = "marts_dry_room_hour.yaml"
NEAR = """
inherits: ../demo
name: near
cost_rates: {labour_usd_per_operator_h: 20}
actions:
  alarm: {mode: advise, max_per_day: 2}
"""


class Site(NamedTuple):
    """A site's folder and home, and the command line there."""

    folder: Path
    home: Home

    def run(self, *arguments: str) -> Any:
        """What a command says as JSON."""
        done = subprocess.run(
            [sys.executable, "-c", "from orchestration.cli.main import main; main()", *arguments, "--json"],
            env=os.environ | {"CELLWORKS_HOME": str(self.home.root), "CELLWORKS_SITE": str(self.folder)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def answer(self, name: str, parts: Sequence[Part]) -> Outcome:
        """What the run that scores does to one solution."""
        [(_, outcome)] = run_nights([Task(find(name), parts, "energy", full_search=False, actor="test")], 120.0)
        return outcome


@pytest.fixture
def sites(tmp_path: Path) -> tuple[Site, Site]:
    """The demo, and a site that inherits from it."""
    folder = tmp_path / "sites"
    shutil.copytree(ROOT / "infra" / "sites" / "demo", folder / "demo")
    (folder / "near").mkdir()
    (folder / "near" / "site.yaml").write_text(NEAR)
    far, near = (Site(folder / name, Home(tmp_path / name)) for name in ("demo", "near"))
    return far, near


def _write_solutions(home: Home) -> None:
    """A solution of the line under another name, one like it that sees no cause, and a rule; all would raise alarms."""
    own = yaml.safe_load((ROOT / "orchestration/defs/energy/dry_room_dew_point/defs.yaml").read_text())
    common = own["attributes"] | {
        # Hours as groups: the few days of this plant are no five groups.
        "split": {"time": "hour_at", "group": "hour_at"},
        "search": {"trials": 2, "refit_trials": 1, "max_rounds": 60},
        "action": {"kind": "alarm", "above": -60},
    }
    grades = [{"name": "A", "limits": {"people_count": {"at_most": 0}}}]
    rule = {
        "question": "Is anybody in the room?",
        "table": "marts.dry_room_hour",
        "keys": ["machine_id", "hour_at"],
        "grading": {"grades": grades, "otherwise": "C", "flagged": ["C"]},
        "action": {"kind": "alarm"},
    }
    for name, family, attributes in (
        (GOOD, "PredictiveModel", common),
        (BLIND, "PredictiveModel", common | {"features": {"select": ["shift_code"]}}),
        (RULE, "DecisionRule", rule),
    ):
        place = home.root / "solutions" / name
        place.mkdir(parents=True)
        content = {"type": f"orchestration.components.{family}", "attributes": attributes}
        (place / "defs.yaml").write_text(yaml.safe_dump(content))


def _rows(home: Home, slug: str) -> int:
    """Answers of a solution; 0 where it has no table."""
    with reader(home) as con:
        if not has_table(con, "solutions", slug):
            return 0
        return int(con.execute(f'SELECT count(*) FROM lake.solutions."{slug}"').fetchall()[0][0])


def test_a_pack_is_trained_and_judged_where_it_came_to_before_it_acts(
    sites: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far, near = sites
    _write_solutions(far.home)
    file = str(tmp_path / "air.zip")
    far.run("pack", "export", GOOD, BLIND, RULE, "--to", file)
    near.run("init")
    near.run("simulate", "--days", "6", "--seed", "7", "--scale", "0.05", "--telemetry-days", "1")
    near.run("pack", "import", file)
    monkeypatch.setenv("CELLWORKS_HOME", str(near.home.root))
    monkeypatch.setenv("CELLWORKS_SITE", str(near.folder))

    # The data part of a night and the rule: the site's rows are there, and nobody trained anything on them yet.
    night = near.run("nightly", "--only", RULE, "--take-in")
    assert night["rules"][0]["rows"] > 100
    assert near.run("actions", "list") == [], "the rule's action is withheld until a person writes it in"
    for name in (GOOD, BLIND):
        outcome = near.answer(name, ("predictions", "monitoring"))
        assert (outcome.failure, outcome.skipped) == ("", "there is no champion yet")
        assert _rows(near.home, find(name).slug) == 0

    night = near.run("nightly", "--only", GOOD, "--only", BLIND)
    trained = {each["solution"]: each for each in night["models"]}
    good, blind = find(GOOD), find(BLIND)
    client = open_home(near.home)
    assert aliases(client, blind.name).get("champion") is None, trained[BLIND]["promotion"]
    assert trained[BLIND]["alias"] == "challenger"
    assert "the gain over" in trained[BLIND]["promotion"]
    assert (trained[GOOD]["alias"], trained[GOOD]["version"]) == ("champion", "1"), trained[GOOD]["promotion"]
    best = champion(near.home, good.slug, client=client)
    assert best is not None
    assert best.version is not None
    told = json.loads((near.home.root / "solutions" / GOOD / "pack.json").read_text())
    assert best.version.tags["plan_hash"] == plant().site.plan.hash != told["plan_hash"]
    with reader(near.home) as con:
        rows = con.execute("SELECT count(*) FROM lake.marts.dry_room_hour").fetchall()[0][0]
    assert 100 < trained[GOOD]["rows_development"] + trained[GOOD]["rows_holdout"] <= rows

    assert (_rows(near.home, good.slug), _rows(near.home, blind.slug)) == (rows, 0)
    actions = near.run("actions", "list")
    # One alarm of three rooms, since this site allows two a day; the sender's site would have told of each.
    told = [(each["solution"], each["target_id"], each["grouped_count"]) for each in actions]
    assert told == [(good.slug, "*", 3)]

    # A hand in MLflow's pages does not make up for the gates.
    client.set_registered_model_alias(blind.name, "champion", trained[BLIND]["version"])
    outcome = near.answer(BLIND, ("predictions",))
    assert "which has no passing verdict" in outcome.results["predictions"]["refused"]
    assert _rows(near.home, blind.slug) == 0
    assert near.run("actions", "list") == actions

    # On to a third site: the card has this site's figures, and the pack nothing else that was learnt.
    near.run("pack", "export", GOOD, "--to", str(tmp_path / "on.zip"))
    with zipfile.ZipFile(tmp_path / "on.zip") as pack:
        assert {Path(name).name for name in pack.namelist()} <= {"manifest.json", "defs.yaml", "card.md", SUITE}
        card = pack.read(f"solutions/{GOOD}/card.md").decode()
    assert "Site: near." in card
    assert "Version 1, the champion of this site." in card
    assert f"- plan_hash: {plant().site.plan.hash}" in card
