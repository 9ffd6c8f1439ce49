"""Schedules through the scheduler's own iterations: the site's zone, daylight saving, a missed night."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.tags import SCHEDULED_EXECUTION_TIME_TAG
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._scheduler import scheduler

from orchestration.housekeeping import housekeeping_jobs
from orchestration.jobs import SEARCH_TAG, platform_jobs
from orchestration.schedules import platform_schedules
from orchestration.whose import SITE_TAG
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site

# Dagster warns of its own components' use of its own beta classes.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]

DEMO = Path(__file__).parents[2] / "infra" / "sites" / "demo"
BERLIN = ZoneInfo("Europe/Berlin")
# The whole graph needs dbt's manifest; schedules need their jobs only.
_LOCATION = "from orchestration.assembly import build_definitions\ndefs = build_definitions(tables=[])\n"


@pytest.fixture
def berlin(tmp_path: Path) -> Path:
    """A site where clocks change; its plant day falls into the hour that is missing in spring."""
    folder = tmp_path / "berlin"
    shutil.copytree(DEMO, folder)
    file = folder / "site.yaml"
    text = file.read_text()
    for old, new in (("time_zone: Asia/Shanghai", "time_zone: Europe/Berlin"), ("30 6 * * *", "30 2 * * *")):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return folder


class Daemon:
    """The scheduler over an instance that queues runs and launches none."""

    def __init__(self, workspace: WorkspaceProcessContext) -> None:
        self._workspace = workspace

    def look(self, moment: datetime) -> None:
        """One iteration at a moment."""
        with freeze_time(moment):
            for error in scheduler.launch_scheduled_runs(self._workspace, logging.getLogger("test"), moment, {}):
                assert error is None, error

    def queued(self, job: str) -> list[datetime]:
        """Scheduled moments of a job's runs, oldest first."""
        runs = self._workspace.instance.get_runs(dg.RunsFilter(job_name=job))
        return sorted(datetime.fromisoformat(run.tags[SCHEDULED_EXECUTION_TIME_TAG]) for run in runs)


@pytest.fixture
def daemon(tmp_path: Path, berlin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CELLWORKS_SITE", str(berlin))
    with _daemon(tmp_path) as made:
        yield made


@contextmanager
def _daemon(folder: Path) -> Iterator[Daemon]:
    location = folder / "location.py"
    location.write_text(_LOCATION)
    queue = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}
    origin = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(location), attribute="defs")
    target = InProcessTestWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin, location_name="orchestration"))
    with (
        dg.instance_for_test(temp_dir=str(folder), overrides={"run_coordinator": queue}) as instance,
        WorkspaceProcessContext(instance, target) as workspace,
    ):
        yield Daemon(workspace)


@pytest.mark.long
def test_clocks_that_change_move_no_night_and_lose_no_plant_day(daemon: Daemon) -> None:
    for first in (datetime(2026, 3, 27, 23, tzinfo=UTC), datetime(2026, 10, 23, 23, tzinfo=UTC)):
        for hours in (0, 24, 25.75, 27, 48, 60):
            daemon.look(first + timedelta(hours=hours))
    nights = [moment.astimezone(BERLIN) for moment in daemon.queued("nightly")]
    winter, summer = timedelta(hours=1), timedelta(hours=2)
    # The first look in autumn also catches up the last of the nights since spring.
    assert [(night.month, night.day, night.hour, night.utcoffset()) for night in nights] == [
        (3, 28, 8, winter),
        (3, 29, 8, summer),
        (3, 30, 8, summer),
        (10, 23, 8, summer),
        (10, 24, 8, summer),
        (10, 25, 8, winter),
        (10, 26, 8, winter),
    ]
    # Half past two is missing on 29 March and comes twice on 25 October.
    days = [moment.astimezone(BERLIN) for moment in daemon.queued("plant_day")]
    assert [(day.month, day.day) for day in days] == [
        (3, 28), (3, 29), (3, 30), (10, 23), (10, 24), (10, 25), (10, 26),
    ]  # fmt: skip


def test_missed_nights_are_caught_up_once(daemon: Daemon) -> None:
    monday = datetime(2026, 6, 1, 12, tzinfo=UTC)
    daemon.look(monday)
    assert daemon.queued("nightly") == []
    thursday = monday + timedelta(days=3)
    daemon.look(thursday)
    daemon.look(thursday + timedelta(minutes=1))
    assert daemon.queued("nightly") == [datetime(2026, 6, 4, 8, tzinfo=BERLIN)]
    assert daemon.queued("weekly_search") == []
    daemon.look(thursday + timedelta(days=1))
    assert daemon.queued("nightly") == [datetime(2026, 6, day, 8, tzinfo=BERLIN) for day in (4, 5)]


def test_nights_refit_and_weekly_runs_search() -> None:
    jobs = {job.name: job for job in platform_jobs()}
    assert SEARCH_TAG not in (jobs["nightly"].tags or {})
    assert all(jobs[name].tags[SEARCH_TAG] == "full" for name in ("weekly_search", "retrain"))


def test_every_job_carries_the_tag_by_which_the_queue_lets_a_sites_runs_take_turns() -> None:
    for job in [*platform_jobs(), *housekeeping_jobs()]:
        assert (job.tags or {})[SITE_TAG] == DEMO.name, job.name
    values = yaml.safe_load((DEMO.parents[1] / "helm" / "dagster-values.yaml").read_text())
    [limit] = values["concurrency"]["runs"]["tagConcurrencyLimits"]
    assert limit == {"key": SITE_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}


def test_a_schedule_that_starts_nothing_is_refused(berlin: Path) -> None:
    file = berlin / "site.yaml"
    file.write_text(file.read_text().replace("  weekly_search:", "  weekly_serch:"))
    with pytest.raises(CellworksError, match="weekly_serch"):
        platform_schedules(load_site(berlin))


def test_a_plant_day_needs_a_twin(berlin: Path) -> None:
    (berlin / "twin.yaml").unlink()
    with pytest.raises(CellworksError, match="without a twin"):
        platform_schedules(load_site(berlin))
    file = berlin / "site.yaml"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "plant_day:" not in line))
    names = {schedule.job_name for schedule in platform_schedules(load_site(berlin))}
    assert names == {"nightly", "weekly_search", "maintenance"}
