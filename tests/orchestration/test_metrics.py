"""Metrics over a real socket: what a plant has is served, cheaply, beside a writer, without a source that is away."""

from __future__ import annotations

import shutil
import socket
import time
import urllib.request
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.runs.schema import RunsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.test_utils import create_run_for_test
from prometheus_client.parser import text_string_to_metric_families

from models.registry.alarms import raise_alarm
from orchestration.batch import Task, run_nights
from orchestration.catalogue import discover
from orchestration.metrics import collector
from orchestration.metrics.names import METRICS
from orchestration.metrics.runs import run_samples
from orchestration.metrics.serve import serving
from pipelines.lake.lock import writer_lock
from tests.orchestration.conftest import Workshop, open_workshop, write_rule

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]  # of Dagster's own making

Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


def scraped(port: int, host: str = "127.0.0.1") -> Samples:
    """Every metric that a scrape declares, with its samples by their labels."""
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found: Samples = {name: {} for name in METRICS if f"# TYPE {name} " in text}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def of(samples: Samples, name: str, **labels: str) -> list[float]:
    """Values of a metric whose labels are these among others."""
    return [value for key, value in samples[name].items() if labels.items() <= dict(key).items()]


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """An instance after the night of a rule over a file of two rows, which takes a second; tests leave it so."""
    folder = tmp_path_factory.mktemp("graded")
    write_rule(folder, folder / "home")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        with open_workshop(folder) as made:
            task = Task(made.spec("graded"), ("predictions",), None, full_search=False, actor="test")
            assert [outcome.failure for _, outcome in run_nights([task], 60.0)] == [""]
            yield made


def test_a_scrape_tells_of_the_nights_and_waits_for_no_writer(graded: Workshop) -> None:
    with writer_lock(graded.here.home, "a long batch"), serving(graded.here, 0, fresh_s=60.0) as port:
        told = scraped(port)
        began = time.monotonic()
        again = scraped(port)
        assert time.monotonic() - began < 0.5, "the second is served from memory"
    assert set(told) >= set(METRICS)
    assert of(told, "cellworks_source_up") == [1.0, 1.0, 1.0]
    assert again["cellworks_lake_snapshot"] == told["cellworks_lake_snapshot"]
    solution = "mine/graded"
    assert of(told, "cellworks_solution_working", solution=solution) == [1.0]
    assert of(told, "cellworks_solution_info", solution=solution, family="DecisionRule") == [1.0]
    assert of(told, "cellworks_solution_scored_rows", solution=solution) == [2.0]
    (cpu_s,) = of(told, "cellworks_solution_night_cpu_seconds", solution=solution)
    assert 0 < cpu_s < 60
    assert of(told, "cellworks_solution_cpu_seconds_total", solution=solution) == [cpu_s]
    assert of(told, "cellworks_solution_night_peak_memory_bytes", solution=solution)[0] > 50e6
    assert of(told, "cellworks_runs_in_progress") == [0.0]
    assert {dict(key).get("site") for name in METRICS for key in told[name]} == {graded.here.site.name}
    series = sum(len(told[name]) for name in METRICS)
    assert series <= 45 * len(told["cellworks_solution_info"]) + 12 * len(graded.here.site.feeds) + 200


def test_alarms_and_actions_are_counted_from_nought_so_that_the_first_is_an_increase(workshop: Workshop) -> None:
    specs = discover()
    proposing = {(spec.solution, spec.action.kind) for spec in specs if spec.action.kind != "report"}
    raise_alarm(workshop.here.home, "nobody.knows_it", "a job failed")
    with serving(workshop.here, 0, fresh_s=60.0) as port:
        told = scraped(port)
    alarms = {dict(key)["solution"]: value for key, value in told["cellworks_solution_alarms_total"].items()}
    assert alarms == dict.fromkeys((spec.solution for spec in specs), 0.0) | {"platform": 1.0}
    for name in ("cellworks_actions_proposed_total", "cellworks_actions_awaiting_approval"):
        actions = {(dict(key)["solution"], dict(key)["kind"]): value for key, value in told[name].items()}
        assert proposing
        assert actions == dict.fromkeys(proposing, 0.0)


def test_a_source_that_is_away_is_told_and_the_others_go_on(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(workshop.here, 0, fresh_s=0.0) as port:
        monkeypatch.setattr(collector, "retrying", lambda work, attempts: work())
        assert of(scraped(port), "cellworks_source_up", source="lake") == [1.0]
        shutil.copyfile(workshop.here.home.catalogue, workshop.here.home.root / "kept")
        workshop.here.home.catalogue.write_bytes(b"no catalogue at all" * 1000)
        told = _when(lambda: scraped(port), lambda found: of(found, "cellworks_source_up", source="lake") == [0.0])
        assert of(told, "cellworks_source_up", source="dagster") == [1.0]
        assert not told["cellworks_lake_snapshot"], "an old figure would look like a good one"
        assert of(told, "cellworks_runs_queued") == [0.0]
        shutil.copyfile(workshop.here.home.root / "kept", workshop.here.home.catalogue)
        told = _when(lambda: scraped(port), lambda found: of(found, "cellworks_source_up", source="lake") == [1.0])
        assert of(told, "cellworks_lake_snapshot")[0] > 0


def _when(look: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    """What is seen once it is so; figures are read again after some readings' time."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        if is_so(found := look()):
            return found
        time.sleep(0.1)
    pytest.fail("waited in vain")


def test_a_night_is_told_of_however_many_other_runs_came_since(workshop: Workshop) -> None:
    ended = [("nightly", "SUCCESS", 50.0), ("nightly", "SUCCESS", 100.0), ("nightly", "FAILURE", 200.0)]
    ended += [("new_data", "SUCCESS", 300.0 + number) for number in range(501)]
    ended += [("solution__line__weld", "SUCCESS", 900.0), ("maintenance", "CANCELED", 900.0)]
    with dg.DagsterInstance.get() as instance:
        _note(instance, ended)
        create_run_for_test(instance, job_name="maintenance")
        told = {(each.name, *each.labels): each.value for each in run_samples(instance, workshop.here, [])}
    success, failure = (f"cellworks_job_last_{word}_timestamp_seconds" for word in ("success", "failure"))
    assert {key: at for key, at in told.items() if key[0] in (success, failure)} == {
        (success, "nightly"): 100.0,
        (failure, "nightly"): 200.0,
        (success, "new_data"): 800.0,
    }


def _note(instance: dg.DagsterInstance, ended: list[tuple[str, str, float]]) -> None:
    """Write down runs that have ended, as job, end and when; one by one they would take a minute."""
    rows = []
    for job, status, at in ended:
        run = dg.DagsterRun(job_name=job, run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus(status))
        rows.append(
            {
                "run_id": run.run_id,
                "pipeline_name": job,
                "status": status,
                "run_body": dg.serialize_value(run),
                "end_time": at,
            }
        )
    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    with storage.connect() as con:
        con.execute(RunsTable.insert(), rows)


def test_figures_are_served_on_the_loopback_address_unless_another_is_named(workshop: Workshop) -> None:
    def answers(host: str, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, port)) == 0

    with serving(workshop.here, 0, fresh_s=60.0) as port:
        assert (answers("127.0.0.1", port), answers("127.0.0.2", port)) == (True, False)
    with serving(workshop.here, 0, fresh_s=60.0, host="127.0.0.2") as port:
        assert of(scraped(port, "127.0.0.2"), "cellworks_source_up", source="lake") == [1.0]
        assert not answers("127.0.0.1", port)


def test_runs_that_wait_are_counted_and_a_taken_port_is_told(workshop: Workshop) -> None:
    from pipelines.control_plan.errors import CellworksError

    with serving(workshop.here, 0, fresh_s=0.0) as port:
        assert of(scraped(port), "cellworks_runs_queued") == [0.0]
        with dg.DagsterInstance.get() as instance:
            create_run_for_test(instance, job_name="nightly", status=dg.DagsterRunStatus.NOT_STARTED)
        told = _when(lambda: scraped(port), lambda found: of(found, "cellworks_runs_queued") == [1.0])
        (since,) = of(told, "cellworks_run_oldest_queued_timestamp_seconds")
        assert abs(time.time() - since) < 600
        with pytest.raises(CellworksError, match="can't be used"), serving(workshop.here, port, fresh_s=0.0):
            pass
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "nothing serves after the block"
