"""Sensors: what moves starts its run once, what may not act is refused, and a tick stays short on 90 days of data."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
import yaml
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from models.registry.alarms import newest_alarms
from models.registry.client import open_home
from orchestration.deliveries import DELIVERED, delivered
from orchestration.jobs import ALARM, NEW_DATA, SOLUTION_TAG
from orchestration.plant import Plant, plant
from orchestration.run_lock import night_lock
from orchestration.sensors import platform_sensors
from orchestration.solving import PARTS
from pipelines.lake.connection import reader
from pipelines.lake.hashing import table_hash
from tests.orchestration.conftest import Workshop, own_rows, write_solution

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]

TICK_S = 2.0


def _versions(workshop: Workshop, slug: str) -> list[tuple[int, int]]:
    with reader(workshop.here.home) as con:
        return con.execute(
            f"SELECT model_version, count(*) FROM lake.solutions.{slug} GROUP BY 1 ORDER BY 1"
        ).fetchall()


def test_a_moved_alias_is_scored_once_and_one_without_clearance_is_refused_with_an_alarm(trained: Workshop) -> None:
    requests, cursor = trained.tick("champion_moved", None)
    assert requests == [], "the run that promoted them has scored with them"
    assert json.loads(cursor)["champions"] == {"mine.one": "1", "mine.two": "1"}
    assert trained.tick("champion_moved", cursor) == ([], cursor)
    # Anyone can register a version and move an alias in the MLflow page.
    client = open_home(trained.here.home)
    source = client.get_model_version("mine.one", "1").source
    number = client.create_model_version("mine.one", source).version
    client.set_registered_model_alias("mine.one", "champion", number)
    [request], moved = trained.tick("champion_moved", cursor)
    again, _ = trained.tick("champion_moved", cursor)
    assert [each.run_key for each in again] == [request.run_key], "the same tick again starts the same run"
    assert {key.path[1] for key in request.asset_selection} == {"one"}
    assert request.tags["cellworks/solution"] == "mine/one"
    assert request.tags["cellworks.version/one"] == str(number)
    ran = trained.run("score", request)
    assert ran.success
    refused = {each.check_name: each for each in ran.get_asset_check_evaluations()}["champion_is_cleared"]
    assert not refused.passed
    assert f"names version {number}" in (refused.description or "")
    alarms = [alarm for alarm in newest_alarms(trained.here.home) if alarm["solution"] == "mine/one"]
    assert [f"names version {number}" in alarm["alarm"] for alarm in alarms] == [True]
    assert [version for version, _ in _versions(trained, "one")] == [1], "the last champion that was cleared goes on"
    assert trained.instance.get_run_by_id(ran.run_id).tags["cellworks.version/one"] == "1"
    # Back again is a move of its own, though the version was champion before and the last predictions are by it:
    # the check that told of the refused one is still red.
    client.set_registered_model_alias("mine.one", "champion", "1")
    [back], _ = trained.tick("champion_moved", moved)
    assert back.run_key != request.run_key


def test_a_solution_without_champion_is_skipped_with_that_reason(workshop: Workshop) -> None:
    spec = workshop.spec("two")
    parts = [dg.AssetKey(["mine", "two", part]) for part in ("predictions", "monitoring")]
    ran = workshop.run("score", asset_selection=parts)
    assert ran.success
    assert ran.get_asset_materialization_events() == []
    [seen] = ran.get_asset_observation_events()
    assert seen.asset_observation_data.asset_observation.metadata["reason"].value == "there is no champion yet"
    assert workshop.instance.get_run_by_id(ran.run_id).tags[f"cellworks.version/{spec.slug}"] == "none"


def test_a_solution_whose_labels_are_still_to_come_waits_and_the_night_is_green(workshop: Workshop) -> None:
    file = workshop.here.home.root / "solutions" / "mine" / "one" / "defs.yaml"
    content = yaml.safe_load(file.read_text())
    content["attributes"]["target"] |= {"known_at": "seen_at", "delay_h": 24.0}
    content["attributes"]["split"] = {"time": "made_at"}
    file.write_text(yaml.safe_dump(content))
    rows = own_rows(400)
    made = pa.array([datetime(2026, 9, 1) + timedelta(hours=row) for row in range(400)])  # noqa: DTZ001 - UTC
    seen = pa.array([datetime(2026, 9, 2) if row < 20 else None for row in range(400)], pa.timestamp("us"))  # noqa: DTZ001
    labels = pa.array([each if row < 20 else None for row, each in enumerate(rows["y"].to_pylist())])
    table = rows.set_column(3, "y", labels).append_column("made_at", made).append_column("seen_at", seen)
    pacsv.write_csv(table, workshop.tables / "one.csv")
    ran = workshop.reopened().train("one")
    assert ran.success
    assert ran.get_asset_materialization_events() == []
    [told] = ran.get_asset_observation_events()
    reason = told.asset_observation_data.asset_observation.metadata["reason"].value
    assert "the labels of 'y' are still to come" in reason
    assert "20 of 400 rows have one" in reason


def test_drift_starts_one_search_of_the_solution_concerned(trained: Workshop) -> None:
    requests, cursor = trained.tick("skill_lost", None)
    assert requests == []
    shifted = own_rows(400, first=20_000, shift=4.0)
    write_solution(trained.tables, "two", pa.concat_tables([own_rows(400, first=10_000), shifted]))
    watched = [dg.AssetKey(["mine", slug, part]) for slug in ("one", "two") for part in ("predictions", "monitoring")]
    assert trained.run("score", asset_selection=watched).success
    [request], after = trained.tick("skill_lost", cursor)
    assert request.tags["cellworks/solution"] == "mine/two"
    assert request.tags["cellworks.version/two"] == "1"
    assert "input_drift" in request.tags["cellworks/cause"]
    assert {key.path[1] for key in request.asset_selection} == {"two"}
    assert trained.definitions.resolve_job_def("retrain").tags["cellworks/search"] == "full"
    assert [each.run_key for each in trained.tick("skill_lost", cursor)[0]] == [request.run_key]
    # The same drift of the same champion, seen again the next night, starts nothing more.
    assert trained.run("score", asset_selection=watched).success
    assert trained.tick("skill_lost", after)[0] == []


def _kept(workshop: Workshop) -> list[object]:
    """What readers rely on: publications, pins, the lake's copy of the file, and the answers."""
    with reader(workshop.here.home) as con:
        rows = [con.execute(f"SELECT * FROM lake.ops.{name} ORDER BY ALL").fetchall() for name in ("published", "pin")]
        return [*rows, *(table_hash(con, f"lake.{name}") for name in ("raw.own__mine__one", "solutions.one"))]


def test_a_night_without_mlflow_fails_saying_so_and_the_next_run_recovers(trained: Workshop) -> None:
    score = [dg.AssetKey(["mine", "one", part]) for part in PARTS[1:]]
    assert trained.run("score", asset_selection=score).success
    before = _kept(trained)
    assert before[:2] != [[], []]
    file = Path(trained.here.home.stores.mlflow_uri.removeprefix("sqlite:///"))
    content = file.read_bytes()
    # Written over and not moved away: a process that has the file open must not find it either.
    file.write_bytes(b"no database, as a server that does not answer")
    try:
        night = trained.train("one")
    finally:
        file.write_bytes(content)
    assert not night.success
    [failed] = [event for event in night.all_events if event.is_step_failure]
    said = failed.step_failure_data.user_failure_data.description
    assert said.startswith("mine/one: MLflow does not answer")
    assert _kept(trained) == before
    assert trained.run("score", asset_selection=score).success


def test_failed_runs_raise_each_alarm_once_and_alarms_none(workshop: Workshop) -> None:
    requests, cursor = workshop.tick("run_failed", None)
    assert requests == []
    for slug in ("one", "two"):
        (workshop.tables / f"{slug}.csv").unlink()
    for _ in range(3):
        assert not workshop.train("one").success
    [request], after = workshop.tick("run_failed", cursor)
    assert [each.run_key for each in workshop.tick("run_failed", cursor)[0]] == [request.run_key]
    assert workshop.tick("run_failed", after) == ([], after)
    for _ in range(2):
        assert workshop.run(ALARM, request).success
    [alarm] = newest_alarms(workshop.here.home)
    assert alarm["solution"] == "platform/nightly"
    assert "step learn_own_tables failed" in alarm["alarm"]
    assert "one.csv" in alarm["alarm"]
    # An alarm that can't be written must not bring another.
    workshop.here.home.catalogue.write_bytes(b"no database")
    assert not workshop.run(ALARM, request).success
    assert workshop.tick("run_failed", after)[0] == []


def test_a_table_file_that_grew_is_scored_once_and_its_solution_alone(trained: Workshop) -> None:
    requests, cursor = trained.tick("new_data", None)
    told = [each.tags["cellworks/solution"] for each in requests]
    assert not any(name.startswith("mine/") for name in told), "the night before the first look has scored both"
    assert trained.tick("new_data", cursor) == ([], cursor)
    file = trained.tables / "one.csv"
    before = file.read_bytes()
    rows = _versions(trained, "one")[0][1]
    with file.open("ab") as grown:
        grown.write(b"900001,0.5,0.5,bad\n900002,-0.5,0.5,good\n")
    [request], after = trained.tick("new_data", cursor)
    assert [each.run_key for each in trained.tick("new_data", cursor)[0]] == [request.run_key]
    assert trained.tick("new_data", after) == ([], after)
    assert [key.path for key in request.asset_selection] == [["mine", "one", part] for part in PARTS[1:]]
    assert request.tags == {"cellworks/solution": "mine/one"}
    assert trained.run(NEW_DATA, request).success
    assert _versions(trained, "one") == [(1, rows + 2)]
    # A file that is away starts nothing, not even when it comes back as it was.
    away = file.rename(file.with_suffix(".away"))
    assert trained.tick("new_data", after) == ([], after)
    file.write_bytes(before)
    [back], later = trained.tick("new_data", after)
    assert back.run_key != request.run_key
    # Once more what the last predictions are of.
    away.replace(file)
    requests, _ = trained.tick("new_data", later)
    assert requests == []
    file.write_bytes(before)


def test_a_delivery_beside_a_grown_table_file_starts_the_one_run_that_does_both(workshop: Workshop) -> None:
    _, cursor = workshop.tick("new_data", None)
    folder = workshop.here.home.drop_dir / next(iter(workshop.here.site.feeds))
    folder.mkdir(parents=True)
    (folder / "day.csv").write_text("a\n")
    write_solution(workshop.tables, "one", own_rows(410))
    [whole], after = workshop.tick("new_data", cursor)
    assert whole.asset_selection is None
    assert workshop.tick("new_data", after) == ([], after)
    write_solution(workshop.tables, "two", own_rows(410))
    [request], _ = workshop.tick("new_data", after)
    assert {key.path[1] for key in request.asset_selection} == {"two"}, "what was delivered is not new again"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    here = plant()
    here.home.ensure()
    return here


def _queued(workshop: Workshop, tags: Mapping[str, str]) -> dg.DagsterRun:
    """A run for new data that waits in the queue, of a code server that nobody asks."""
    code = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("127.0.0.1", port=1), "__repository__")
    job = workshop.definitions.resolve_job_def(NEW_DATA)
    return workshop.instance.create_run_for_job(
        job,
        status=dg.DagsterRunStatus.QUEUED,
        tags={**job.run_tags, **tags},
        remote_job_origin=RemoteJobOrigin(code, NEW_DATA),
    )


def test_what_a_queued_run_will_take_in_starts_no_second_one(workshop: Workshop) -> None:
    drop = workshop.here.home.drop_dir / "ems__weather"
    drop.mkdir(parents=True)
    (drop / "1.jsonl").write_text("{}\n")
    [request], cursor = workshop.tick("new_data", None)
    queued = _queued(workshop, request.tags)
    (drop / "2.jsonl").write_text("{}\n")
    assert workshop.tick("new_data", cursor) == ([], cursor), "the run in the queue takes the second one in, too"
    workshop.instance.report_run_canceled(queued)
    [again], _ = workshop.tick("new_data", cursor)
    assert again.run_key != request.run_key
    # One that scores a person's own table takes no delivery in.
    _queued(workshop, {SOLUTION_TAG: "mine/one"})
    assert len(workshop.tick("new_data", cursor)[0]) == 1


def test_every_way_a_delivery_arrives_is_seen_once(here: Plant) -> None:
    folder = here.home.drop_dir / next(iter(here.site.feeds))
    folder.mkdir(parents=True)
    assert delivered(here) == ""
    seen = [delivered(here)]

    def is_new() -> bool:
        seen.append(delivered(here))
        return seen[-1] != seen[-2]

    part = folder / "day.csv.part"
    part.write_text("a,b\n1,2\n")
    assert not is_new(), "a file still being written"
    os.utime(part, (1, 1))
    part.replace(folder / "day.csv")
    assert is_new(), "renamed into its place, with a time long past"
    assert not is_new()
    with (folder / "day.csv").open("a") as file:
        file.write("3,4\n")
    assert is_new(), "grown under its name"
    times = (folder / "day.csv").stat()
    (folder / "day.csv").write_text("a,b\n1,2\n3,5\n")
    os.utime(folder / "day.csv", ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert is_new(), "corrected under its name, at the same size"
    (here.home.erp_file).write_bytes(b"")
    assert is_new(), "the database"
    here.home.erp_file.with_name(f"{here.home.erp_file.name}-wal").write_bytes(b"row")
    assert is_new(), "rows in the database's log"


def test_what_arrives_during_a_run_is_taken_in_after_it(here: Plant, tmp_path: Path) -> None:
    folder = here.home.drop_dir / next(iter(here.site.feeds))
    folder.mkdir(parents=True)
    (folder / "one.csv").write_text("a\n1\n")
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        sensor = platform_sensors(here.site, [])[0]

        def tick(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
            return sensor(dg.build_sensor_context(instance=instance, cursor=cursor))

        first = tick(None)
        assert len(first.run_requests) == 1
        with night_lock(here.home, "run 1"):
            (folder / "two.csv").write_text("a\n2\n")
            meanwhile = tick(first.cursor)
            assert "run 1" in meanwhile.skip_message
        after = tick(first.cursor)
        assert len(after.run_requests) == 1
        assert after.run_requests[0].run_key != first.run_requests[0].run_key
        assert "nothing new" in tick(after.cursor).skip_message


def test_what_a_night_took_in_starts_no_run(here: Plant, tmp_path: Path) -> None:
    feed = next(iter(here.site.feeds))
    folder = here.home.drop_dir / feed
    folder.mkdir(parents=True)
    (folder / "one.csv").write_text("a\n1\n")
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        sensor = platform_sensors(here.site, [])[0]
        night = dg.AssetMaterialization(["raw", feed], metadata={DELIVERED: delivered(here)})
        instance.report_runless_asset_event(night)
        first = sensor(dg.build_sensor_context(instance=instance, cursor=None))
        assert not first.run_requests
        (folder / "two.csv").write_text("a\n2\n")
        then = sensor(dg.build_sensor_context(instance=instance, cursor=first.cursor))
        assert len(then.run_requests) == 1


@pytest.mark.long
def test_a_tick_is_short_on_ninety_days(workshop: Workshop) -> None:
    """90 days of deliveries, nights and failures; processor time, as other work on the machine is not the tick's."""
    here, instance = workshop.here, workshop.instance
    for feed in here.site.feeds:
        folder = here.home.drop_dir / feed
        folder.mkdir(parents=True)
        for day in range(90):
            (folder / f"{day:03d}.csv").write_text("a\n")
            (folder / f"{day:03d}_late.csv").write_text("a\n")
    client = open_home(here.home)
    for slug in ("one", "two"):
        client.create_registered_model(f"mine.{slug}")
        client.create_model_version(f"mine.{slug}", str(here.home.stores.mlflow_artifacts))
        client.set_registered_model_alias(f"mine.{slug}", "champion", "1")
    key = dg.AssetCheckKey(dg.AssetKey(["mine", "one", "monitoring"]), "input_drift")
    score = instance.create_run_for_job(workshop.definitions.resolve_job_def("score"))
    config = {"ops": {"raise_alarms": {"config": {"runs": []}}}}
    alarm = instance.create_run_for_job(workshop.definitions.resolve_job_def(ALARM), run_config=config)
    for day in range(90):
        # Many runs alike: to work out each one's plan takes most of a second.
        run = instance.add_run((alarm if day == 0 else score)._replace(run_id=str(uuid4())))
        instance.report_run_failed(run, f"its process was killed on day {day}")
        is_quiet = day % 2 == 0
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(key.asset_key, key.name, is_quiet, {"version": "1"})
        )
    cursors = {"new_data": None, "champion_moved": None, "skill_lost": None, "run_failed": json.dumps({"event": 0})}
    for name, cursor in cursors.items():
        began = time.process_time()
        requests, _ = workshop.tick(name, cursor)
        assert time.process_time() - began < TICK_S, name
        assert len(requests) == 1, name
    told = requests[0].run_config["ops"]["raise_alarms"]["config"]["runs"]
    assert len(told) == 89, "one for each reason, and none for a failed alarm"
    assert told[0] == {"job": "score", "why": "its process was killed on day 1"}
