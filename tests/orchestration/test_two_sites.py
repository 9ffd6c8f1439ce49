"""Two sites in one Dagster, whose jobs, assets and checks have the same names: each tells and keeps its own alone.

Dagster reads the annotations of assets while it makes them, so they are no strings here.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.test_utils import create_run_for_test, freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import CompositeTarget, PythonFileTarget
from dagster._daemon.sensor import execute_sensor_iteration
from sqlalchemy import event

from orchestration.jobs import ALARM
from orchestration.metrics.runs import run_samples
from orchestration.plant import plant
from orchestration.retention.runs import let_runs_go, old_runs
from orchestration.run_lock import NIGHTS_OWN_LOCK_TAG, close_dead_nights
from orchestration.whose import SITE_TAG, Ours
from pipelines.lake.home import Home

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]

INFRA = Path(__file__).parents[2] / "infra" / "sites"
KEY = dg.AssetKey(["theirs", "model", "predictions"])
CHECK = dg.AssetCheckKey(KEY, "input_drift")
# What a code server of a site is: its own environment, and its definitions; the whole graph needs dbt's manifest.
LOCATION = """
import os
os.environ |= {environment!r}
from orchestration.assembly import build_definitions
defs = build_definitions(tables=[])
"""


class Both:
    """A daemon's workspace with two code locations, each a server of its own."""

    def __init__(self, workspace: WorkspaceProcessContext) -> None:
        self._workspace = workspace
        self.instance = workspace.instance
        self._at = datetime.now(UTC)

    def look(self) -> None:
        """Every sensor of both sites, once."""
        self._at += timedelta(minutes=10)
        with freeze_time(self._at):
            list(execute_sensor_iteration(self._workspace, logging.getLogger("test"), None, None))

    def failed(self, why: str, location: str | None = None, **tags: str) -> None:
        """A run that failed: of a code location, or of a command."""
        origin = None
        if location is not None:
            context = self._workspace.create_request_context()
            [repository] = context.get_code_location(location).get_repositories().values()
            origin = repository.get_full_job("score").get_remote_origin()
        run = create_run_for_test(self.instance, job_name="score", remote_job_origin=origin, tags=tags)
        self.instance.report_run_failed(run, why)

    def alarms(self) -> dict[str, list[str]]:
        """What each location's alarm tells, and nothing twice."""
        told: dict[str, list[str]] = {}
        for run in self.instance.get_runs(dg.RunsFilter(job_name=ALARM)):
            assert run.remote_job_origin is not None
            assert run.tags[SITE_TAG] == run.remote_job_origin.location_name
            runs = run.run_config["ops"]["raise_alarms"]["config"]["runs"]
            told.setdefault(run.remote_job_origin.location_name, []).extend(each["why"] for each in runs)
        return {location: sorted(whys) for location, whys in told.items()}


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    shutil.copytree(INFRA, tmp_path / "sites")
    targets = []
    for name in ("demo", "north"):
        environment = {"CELLWORKS_SITE": str(tmp_path / "sites" / name), "CELLWORKS_HOME": str(tmp_path / name)}
        file = tmp_path / f"{name}.py"
        file.write_text(LOCATION.format(environment=environment))
        targets.append(PythonFileTarget(str(file), "defs", str(Path(__file__).parents[2]), name))
    queue = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}
    with (
        dg.instance_for_test(temp_dir=str(tmp_path), overrides={"run_coordinator": queue}) as instance,
        WorkspaceProcessContext(instance, CompositeTarget(targets)) as workspace,
    ):
        yield Both(workspace)


@pytest.mark.long
def test_each_location_raises_alarms_of_its_own_failures_alone(both: Both) -> None:
    both.look()
    both.failed("of the demo's pages", "demo")
    both.failed("of the demo's schedule", "demo", **{SITE_TAG: "demo"})
    both.failed("of a command at the demo", **{SITE_TAG: "demo"})
    both.failed("of the north's pages", "north")
    both.look()
    both.look()
    assert both.alarms() == {
        "demo": ["of a command at the demo", "of the demo's pages", "of the demo's schedule"],
        "north": ["of the north's pages"],
    }


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes this process one of a site."""

    def go(name: str) -> None:
        monkeypatch.setenv("CELLWORKS_SITE", str(INFRA / name))
        monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / name))

    return go


@dg.asset(
    key=KEY, check_specs=[dg.AssetCheckSpec("input_drift", asset=KEY)], config_schema={"version": str, "fine": bool}
)
def _predictions(context: dg.AssetExecutionContext) -> Iterator[Any]:
    verdict = dg.AssetCheckResult(passed=context.op_config["fine"], check_name="input_drift")
    yield dg.MaterializeResult(metadata={"version": context.op_config["version"]}, check_results=[verdict])


def _night(instance: dg.DagsterInstance, site: str, version: str, *, is_fine: bool) -> str:
    """A night of a site: the solution answers with a version, and its check passes or fails."""
    config = {"ops": {KEY.to_python_identifier(): {"config": {"version": version, "fine": is_fine}}}}
    done = dg.materialize([_predictions], instance=instance, run_config=config, tags={SITE_TAG: site})
    assert done.success
    return done.run_id


def test_a_night_of_the_other_site_is_not_taken_for_ones_own(at: Callable[[str], None], tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        mine = _night(instance, "demo", "3", is_fine=False)
        at("north")
        assert Ours(instance).newest_materialization(KEY) is None
        assert Ours(instance).newest_checks([CHECK]) == {}
        for _ in range(2):
            theirs = _night(instance, "north", "7", is_fine=True)
        newest = {}
        for name in ("demo", "north"):
            at(name)
            ours = Ours(instance)
            entry = ours.newest_materialization(KEY)
            assert entry is not None
            newest[name] = (entry.run_id, ours.newest_checks([CHECK])[CHECK].run_id)
            samples = {each.name: each for each in run_samples(instance, plant(), ["theirs/model"])}
            assert samples["cellworks_solution_check_failing"].value == (name == "demo")
        assert newest == {"demo": (mine, mine), "north": (theirs, theirs)}


@pytest.mark.parametrize("nights", [1, 120])
def test_a_check_that_one_never_made_costs_no_more_the_longer_the_other_site_lives(
    at: Callable[[str], None], tmp_path: Path, nights: int
) -> None:
    keys = [dg.AssetCheckKey(KEY, f"check_{number}") for number in range(20)]
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, SqlEventLogStorage)
        for _ in range(nights):
            run = create_run_for_test(instance, job_name="night", tags={SITE_TAG: "demo"})
            with storage.index_connection() as con:
                con.execute(AssetCheckExecutionsTable.insert(), [_planned(key, run.run_id) for key in keys])
        at("north")
        with asked_of(instance) as asked:
            assert Ours(instance).newest_checks(keys) == {}
        assert len(asked) <= 5


def _planned(key: dg.AssetCheckKey, run_id: str) -> dict[str, str]:
    return {
        "asset_key": key.asset_key.to_string(),
        "check_name": key.name,
        "run_id": run_id,
        "execution_status": "PLANNED",
    }


@contextmanager
def asked_of(instance: dg.DagsterInstance) -> Iterator[list[str]]:
    """Statements that are sent to Dagster's databases within the block."""
    asked: list[str] = []

    def note(_con: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT") and ("FROM asset_check" in statement or "FROM runs" in statement):
            asked.append(statement)

    event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(sa.Engine, "before_cursor_execute", note)


def test_retention_and_dead_nights_touch_no_run_of_the_other_site(at: Callable[[str], None], tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        nights = {name: [_night(instance, name, "1", is_fine=True) for _ in range(3)] for name in ("demo", "north")}
        at("demo")
        later = datetime.fromtimestamp(time.time() + 60, UTC)
        old = old_runs(instance, Ours(instance), Home(tmp_path / "demo"), later)
        assert set(old.whole) == set(nights["demo"][:-1]), "the newest is what sensors and pages of this site stand on"
        let_runs_go(instance, old)
        assert {run.run_id for run in instance.get_runs()} == {nights["demo"][-1], *nights["north"]}

        tags = {NIGHTS_OWN_LOCK_TAG: "yes", SITE_TAG: "north"}
        create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=tags)
        assert close_dead_nights(instance, Ours(instance)) == []
        at("north")
        assert len(close_dead_nights(instance, Ours(instance))) == 1
