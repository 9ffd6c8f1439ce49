"""`prune`: old runs go with events, checks, logs and files, and no sensor starts anything for it; a dry run tells."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from models.registry.client import open_home
from models.registry.versions import all_versions
from orchestration.cli.plant_commands import prepare_instance
from orchestration.environment import default_site
from orchestration.housekeeping import housekeeping_jobs
from orchestration.jobs import ALARM, MAINTENANCE
from orchestration.plant import Plant, plant
from orchestration.retention.prune import prune, what_would_go
from orchestration.retention.runs import PRUNED_TAG
from pipelines.access import ledger
from pipelines.access.chain import Entry
from pipelines.actions.tables import ensure_tables
from pipelines.control_plan.retention import Retention
from pipelines.lake.connection import writer
from pipelines.lake.lock import ACTS
from pipelines.lake.schemas import bootstrap
from tests.orchestration.conftest import Workshop, write_rule

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]

AT_ONCE = 1e-9  # days
SENSORS = ("new_data", "champion_moved", "skill_lost", "run_failed")


@dataclass
class Instance:
    """An instance as `init` makes it, and one whose site keeps nothing that nobody points to."""

    here: Plant
    eager: Plant
    dagster: dg.DagsterInstance

    def runs(self) -> set[str]:
        """Runs that there are."""
        return {each.run_id for each in self.dagster.get_runs()}

    def files(self, run_id: str) -> int:
        """Bytes of the files of a run."""
        return sum(each.stat().st_size for each in self.here.home.dagster_dir.rglob(f"*{run_id}*") if each.is_file())

    def folders(self, run_id: str) -> list[Path]:
        """Folders of a run, such as that of its logs."""
        return [each for each in self.here.home.dagster_dir.rglob(run_id) if each.is_dir()]


@pytest.fixture
def made(stores: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """The instance, on either kind of stores."""
    assert stores
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    for name in ("DAGSTER_HOME", "CELLWORKS_DAGSTER_URL"):
        monkeypatch.setenv(name, "")  # `prepare_instance` sets them for the process
    here = plant()
    prepare_instance(here)
    bootstrap(here.home, here.site)
    nothing = Retention(
        keep_snapshots_days=AT_ONCE,
        keep_replaced_files_h=AT_ONCE,
        keep_runs_days=AT_ONCE,
        keep_model_versions=1,
        keep_deleted_days=AT_ONCE,
    )
    with dg.DagsterInstance.get() as instance:
        yield Instance(here, Plant(here.site.model_copy(update={"retention": nothing}), here.home), instance)


def _went(result: dg.ExecuteInProcessResult) -> str:
    assert result.success
    return str(result.run_id)


def _job(name: str) -> dg.JobDefinition:
    [job] = [each for each in housekeeping_jobs() if each.name == name]
    return job


def _stood_upon(workshop: Workshop) -> dict[str, Any]:
    """What sensors ask for at their second look with their cursors, newest results of checks and materializations."""
    instance = workshop.instance
    ticks = {}
    for name in SENSORS:
        _, cursor = workshop.tick(name, None)
        requests, after = workshop.tick(name, cursor)
        ticks[name] = ([each.run_key for each in requests], after)
    keys = list(workshop.definitions.resolve_asset_graph().asset_check_keys)
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    entries = [each.asset_entry for each in instance.get_asset_records()]
    return {
        "ticks": ticks,
        "checks": {key.to_user_string(): each.run_id for key, each in checks.items()},
        "assets": {
            each.asset_key.to_user_string(): each.last_materialization.run_id
            for each in entries
            if each.last_materialization is not None
        },
    }


def _versions(client: Any) -> list[str]:
    return [str(each.version) for each in all_versions(client, "mine.graded")]


def _register(client: Any, folder: Path, count: int) -> None:
    client.create_registered_model("mine.graded", tags={"solution": "mine/graded"})
    for number in range(count):
        client.create_model_version("mine.graded", (folder / str(number)).as_uri())
    client.set_registered_model_alias("mine.graded", "champion", "1")


def _act_by(made: Instance, run_id: str) -> None:
    entry = Entry("promote", "done", "mine.graded", f"run {run_id}", "", "", "it is better", ledger.canonical({}))
    with writer(made.here.home, why="test", area=ACTS) as con:
        ledger.record(made.here.home, con, entry)


def _advise(made: Instance, version: str) -> None:
    """An action of a version of `mine/graded` that a person may still decide on."""
    with writer(made.here.home, why="test", area=ACTS) as con:
        ensure_tables(con)
        con.execute(
            "INSERT INTO lake.ops.action (action_id, solution, kind, target_id, priority, reason, grouped_count, mode, "
            "model_version, proposed_at, production_day) "
            "VALUES ('a', 'graded', 'alarm', 'M1', 1, 'why', 1, 'advise', ?, now()::TIMESTAMP, current_date)",
            [version],
        )
        con.execute("INSERT INTO lake.ops.action_audit VALUES ('a', 0, 'advised', 'cellworks', '', now()::TIMESTAMP)")


def test_old_runs_and_versions_go_and_nobody_notices(made: Instance, tmp_path: Path) -> None:
    write_rule(tmp_path, made.here.home.root)
    workshop, client = Workshop(made.here, tmp_path, made.dagster), open_home(made.here.home)
    parts = [dg.AssetKey(["mine", "graded", "predictions"])]
    moved, old, newest = (_went(workshop.run("score", asset_selection=parts)) for _ in range(3))
    _act_by(made, moved)
    _register(client, tmp_path, 5)
    _advise(made, "2")
    before, runs, empty = _stood_upon(workshop), made.runs(), made.files(moved)
    assert made.folders(moved)

    would = what_would_go(made.eager, made.dagster)
    assert (made.runs(), len(_versions(client))) == (runs, 5), "a dry run changes nothing"
    assert [each["version"] for each in would["versions"]] == ["4", "3"], "1 acts, 2 advised, the newest is kept"
    assert (would["runs"]["whole"], would["runs"]["events_only"]) == (1, 1)

    gone = prune(made.eager, made.dagster)
    told = ("versions", "training_runs", "runs")
    assert {name: gone[name] for name in told} == {name: would[name] for name in told}
    assert _versions(client) == ["5", "2", "1"]
    assert runs - made.runs() == {old}
    assert (made.files(old), made.folders(old)) == (0, [])
    assert len(made.dagster.all_logs(newest)) > 10
    assert _stood_upon(workshop) == before

    record = made.dagster.get_run_by_id(moved)
    assert record is not None, "the audit names the run that moved something"
    assert PRUNED_TAG in record.tags
    assert made.dagster.all_logs(moved) == []
    assert (made.files(moved) <= empty, made.folders(moved)) == (True, [])
    again = prune(made.eager, made.dagster)
    assert (again["runs"]["whole"], again["runs"]["events_only"], again["versions"]) == (0, 0, [])


def test_the_job_of_maintenance_prunes_by_the_sites_file(
    made: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms = {"ops": {"raise_alarms": {"config": {"runs": [], "ids": []}}}}
    told = [_went(_job(ALARM).execute_in_process(instance=made.dagster, run_config=alarms)) for _ in range(3)]
    by_hand = _went(_job(MAINTENANCE).execute_in_process(instance=made.dagster))
    assert set(told) <= made.runs(), "three months are kept"
    begun = {"dagster/schedule_name": "maintenance"}
    _went(_job(MAINTENANCE).execute_in_process(instance=made.dagster, tags=begun))
    acts, fault = ledger.verify(made.here.home)
    assert fault is None
    kept = [each.entry for each in acts if each.entry.act == "prune"]
    assert [(each.phase, each.who, each.role) for each in kept] == [("done", "job maintenance", "")] * 2
    assert ["pages" in each.why for each in kept] == [True, False]
    assert json.loads(kept[0].detail)["run"] == by_hand

    site = tmp_path / "eager"
    shutil.copytree(default_site(), site)
    text = (site / "site.yaml").read_text()
    assert text.count("keep_runs_days: 90") == 1
    (site / "site.yaml").write_text(text.replace("keep_runs_days: 90", "keep_runs_days: 1.0e-9"))
    monkeypatch.setenv("CELLWORKS_SITE", str(site))
    (made.here.home.root / "site.json").unlink()
    _went(_job(MAINTENANCE).execute_in_process(instance=made.dagster))
    assert set(told) & made.runs() == {told[-1]}, "the newest that went well tells when that was"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("keep_runs_days: 0", "retention.keep_runs_days"),
        ("keep_model_versions: 0", "retention.keep_model_versions"),
        ("keep_run_days: 7", "retention.keep_run_days"),
    ],
)
def test_a_wrong_retention_names_file_and_field(
    here: Callable[..., Any], tmp_path: Path, line: str, field: str
) -> None:
    shutil.copytree(default_site(), tmp_path / "demo")
    site = tmp_path / "other"
    site.mkdir()
    (site / "site.yaml").write_text(f"inherits: ../demo\nname: other\nretention:\n  {line}\n")
    said = here("init", "--site", str(site), "--json")
    assert said.returncode == 2
    assert field in said.stderr
    assert "site.yaml" in said.stderr


def test_the_command_refuses_an_instance_without_a_lake(here: Callable[..., Any]) -> None:
    said = here("prune", "--dry-run", "--json")
    assert said.returncode == 2
    assert "there is no lake yet" in said.stderr
