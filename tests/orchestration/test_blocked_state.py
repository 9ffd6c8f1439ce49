"""A solution that a run never began, because what it reads failed, says so; one that has run since does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from orchestration.assets.keys import solution_key
from orchestration.blocked import tell_blocked
from orchestration.cli.status import status
from orchestration.jobs import ALARM
from orchestration.night_store import store_night
from orchestration.solving import MODEL, Outcome
from tests.orchestration.conftest import Workshop

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]  # of Dagster's own making


def ran(workshop: Workshop, *, passes: bool) -> dg.ExecuteInProcessResult:
    """A run in which the solution reads a table whose blocking check passes or fails."""
    table = dg.AssetKey(["raw", "mes__filling"])

    @dg.asset(key=table, check_specs=[dg.AssetCheckSpec("expectations", asset=table, blocking=True)])
    def deliver() -> Iterator[dg.MaterializeResult[None]]:
        yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=passes, check_name="expectations")])

    @dg.multi_asset(
        name="learn_process",
        specs=[dg.AssetSpec(solution_key(workshop.spec("one"), MODEL), deps=[table], skippable=True)],
    )
    def learn() -> None:
        """Does nothing; that it began is what counts."""

    job = dg.Definitions(assets=[deliver, learn], jobs=[dg.define_asset_job("nightly_of_one")])
    return job.resolve_job_def("nightly_of_one").execute_in_process(instance=workshop.instance, raise_on_error=False)


def state(workshop: Workshop, slug: str) -> tuple[str, str]:
    (row,) = [each for each in status(workshop.here)["solutions"] if each["slug"] == slug]
    return row["state"], row["reason"]


def worked(workshop: Workshop, slug: str) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    store_night(workshop.here.home, {"champion_version": "3"}, Outcome(workshop.spec(slug)), now)


def test_a_solution_that_was_held_back_is_failing_and_names_what_failed(workshop: Workshop) -> None:
    for slug in ("one", "two"):
        worked(workshop, slug)
    run = ran(workshop, passes=False)
    assert tell_blocked(workshop.here, workshop.instance, run.run_id) == ["mine/one"]
    assert state(workshop, "one")[0] == "failing"
    assert "raw__mes__filling failed before it" in state(workshop, "one")[1]
    assert state(workshop, "two") == ("working", "")
    assert tell_blocked(workshop.here, workshop.instance, run.run_id) == [], "the same run is told once"


def test_the_alarm_of_a_failed_run_of_the_daemon_tells_it_too(workshop: Workshop) -> None:
    worked(workshop, "one")
    _, cursor = workshop.tick("run_failed", None)
    ran(workshop, passes=False)
    [request], _ = workshop.tick("run_failed", cursor)
    assert workshop.run(ALARM, request).success
    assert state(workshop, "one")[0] == "failing"


def test_the_alarm_of_a_run_that_did_not_fail_tells_nothing(workshop: Workshop) -> None:
    worked(workshop, "one")
    run = ran(workshop, passes=False)
    began = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "nightly_of_one")
    workshop.instance.report_dagster_event(began, run.run_id)  # it goes on, as its retry does
    config = {"ops": {"raise_alarms": {"config": {"runs": [], "ids": [run.run_id, "nobodys"]}}}}
    assert workshop.run(ALARM, dg.RunRequest(run_config=config)).success
    assert state(workshop, "one") == ("working", "")


def test_what_ran_or_has_run_since_stays_as_it_is(workshop: Workshop) -> None:
    assert tell_blocked(workshop.here, workshop.instance, ran(workshop, passes=True).run_id) == []
    failed = ran(workshop, passes=False)
    worked(workshop, "one")
    assert tell_blocked(workshop.here, workshop.instance, failed.run_id) == []
    assert state(workshop, "one") == ("working", "")
