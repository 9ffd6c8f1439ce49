"""A detector from a person's own file to the lake: trained, judged, promoted, scored, watched; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from models.anomaly_detector.detector import walk_forward
from models.anomaly_detector.evaluate import at_budget
from models.anomaly_detector.ground import read_events, read_rows
from models.anomaly_detector.judge import judge
from models.anomaly_detector.monitor import monitor
from models.anomaly_detector.runtime import Scorer
from models.anomaly_detector.score import score
from models.anomaly_detector.spec import AnomalySpec
from models.anomaly_detector.train import train
from models.context import ModelContext
from models.registry.aliases import promote
from models.solution import NotYetError
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader

HOUR = np.timedelta64(3600, "s")
START = np.datetime64("2026-01-01T00:00:00", "us")
DAYS = 42


def machines(seed: int = 0) -> dict[str, Any]:
    """Six weeks of two machines every half hour; m2 creeps up by six degrees during the 38th day."""
    rng = np.random.default_rng(seed)
    steps = DAYS * 48
    when = START + np.arange(steps) * (HOUR // 2)
    columns: dict[str, list[Any]] = {"machine_id": [], "hour_at": [], "temp_c": [], "current_a": []}
    for number, name in enumerate(("m1", "m2")):
        noise = rng.normal(size=steps)
        lean = np.convolve(noise, 0.8 ** np.arange(40))[:steps]
        temp = 60 + 10 * number + 3 * np.sin(2 * np.pi * np.arange(steps) / 48) + lean
        if name == "m2":
            temp[37 * 48 : 38 * 48] += np.linspace(0, 12, 48)
        columns["machine_id"] += [name] * steps
        columns["hour_at"] += when.tolist()
        columns["temp_c"] += temp.tolist()
        columns["current_a"] += rng.normal(12, 0.5, steps).tolist()
    return columns


def write(folder: Path, name: str, columns: dict[str, Any]) -> str:
    pq.write_table(pa.table(columns), folder / name)
    return str(folder / name)


def series_spec(file: str, **changes: Any) -> AnomalySpec:
    content: dict[str, Any] = {
        "stage": "equipment",
        "slug": "warm_machines",
        "question": "Which machine is not what it was?",
        "entity": "machine_hour",
        "table": file,
        "keys": ["machine_id", "hour_at"],
        "time": "hour_at",
        "follow": ["machine_id"],
        "series": {},
    }
    return AnomalySpec.model_validate(content | changes)


def rows_spec(table: str, **changes: Any) -> AnomalySpec:
    content: dict[str, Any] = {
        "stage": "finishing",
        "slug": "odd_cells",
        "question": "Which cells are unlike the others?",
        "entity": "cell",
        "table": table,
        "keys": ["cell_id"],
        "features": {"exclude": ["cell_id"]},
        "time": "entered_at",
        "alarms": {"per_week": 20, "hold_off_h": 0},
    }
    return AnomalySpec.model_validate(content | changes)


def cells(rows: int = 4000) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    common = rng.normal(size=rows)
    named = {f"x{place}": common + 0.3 * rng.normal(size=rows) for place in range(4)}
    named["x2"][-1] -= 2.5
    when = START + np.arange(rows) * (HOUR // 6)
    return {"cell_id": [f"c{number}" for number in range(rows)], "entered_at": when, "kind": ["a"] * rows, **named}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("detector")


@pytest.fixture(scope="module")
def whole(place: Path, make_home: Any) -> tuple[AnomalySpec, ModelContext, Any, Any]:
    """A series from file to promoted champion."""
    events = {"machine_id": ["m2"], "begun": [START + 37 * 24 * HOUR], "ended": [START + 38 * 24 * HOUR]}
    known = {"table": write(place, "events.parquet", events), "begins_at": "begun", "ends_at": "ended"}
    spec = series_spec(write(place, "machines.parquet", machines()), events=known | {"entity": ["machine_id"]})
    ctx = ModelContext(make_home(place), n_threads=1)
    trained = train(spec, ctx)
    verdict = judge(spec, ctx, trained)
    promote(spec, ctx, verdict)
    return spec, ctx, trained, verdict


def test_a_detector_passes_its_gates_and_tells_the_event_before_a_shewhart_chart(whole: Any) -> None:
    _, _, trained, verdict = whole
    assert verdict.status == "passed", verdict.sentence
    names = ["holdout", "alarm_rate", "beats_baseline", "events", "not_worse", "speed", "inputs"]
    assert [gate.name for gate in verdict.gates] == names
    event = verdict.gate("events").figures
    assert (event["events"], event["found"]) == (1, 1)
    assert event["median_share"] < event["shewhart_median_share"]
    assert trained.metrics["faults_found"].value > trained.baselines["shewhart"]
    assert trained.rows_development + trained.rows_holdout == 2 * DAYS * 48


def test_scores_land_once_with_reasons_while_an_alarm_is_open(whole: Any) -> None:
    spec, ctx, _, _ = whole
    report = score(spec, ctx)
    assert (report.rows, report.flagged > 0) == (2 * DAYS * 48, True)
    assert score(spec, ctx).skipped == "no entity that it has not scored"
    with reader(ctx.home) as con:
        told = con.execute(
            "SELECT machine_id, event_at, value, reasons FROM lake.solutions.warm_machines "
            "WHERE machine_id = 'm2' AND event_at >= ? AND event_at < ? AND value > 1 ORDER BY event_at",
            [(START + 37 * 24 * HOUR).item(), (START + 38 * 24 * HOUR).item()],
        ).fetchall()
        nothing = con.execute(
            "SELECT count(*) FROM lake.solutions.warm_machines WHERE (reasons IS NULL) = is_flagged"
        ).fetchone()
    assert nothing == (0,)
    first = json.loads(told[0][3])[0]
    assert first["feature"].startswith("temp_c")
    assert first["contribution"] > 1
    watched = monitor(spec, ctx)
    assert {each.name for each in watched.drift} == {"temp_c", "current_a", "value"}
    assert watched.skill_lost is False
    assert "within the budget of 1" in watched.sentence


def test_rows_that_come_later_get_the_scores_that_all_rows_at_once_would_get(whole: Any, place: Path) -> None:
    spec, ctx, _, _ = whole
    score(spec, ctx)
    longer = machines()
    with reader(ctx.home) as con:
        before = con.execute("SELECT count(*) FROM lake.solutions.warm_machines").fetchone()
    table = pa.table(longer)
    late = pa.array(np.asarray(table.column("hour_at").to_pylist(), dtype="datetime64[us]") >= START + 41 * 24 * HOUR)
    moved = table.filter(late).to_pydict()
    moved["hour_at"] = [moment.replace(month=moment.month + 1) for moment in moved["hour_at"]]
    file = write(place, "more.parquet", {name: longer[name] + moved[name] for name in longer})
    report = score(spec.model_copy(update={"table": file}), ctx)
    assert report.rows == len(moved["hour_at"])
    with reader(ctx.home) as con:
        after = con.execute("SELECT count(*) FROM lake.solutions.warm_machines").fetchone()
    assert after is not None
    assert before is not None
    assert after[0] - before[0] == report.rows


def test_the_mlflow_model_answers_like_the_bundle(whole: Any) -> None:
    import mlflow.pyfunc

    _, _, trained, _ = whole
    table = trained.rows.table.slice(0, 500).select(["entity", "time_s", "temp_c", "current_a"])
    loaded = mlflow.pyfunc.load_model(str(trained.registered.bundle.parents[1]))
    np.testing.assert_allclose(loaded.predict(table.to_pandas())["value"], trained.scorer.predict(table)["value"])
    assert not list(trained.registered.bundle.parents[1].rglob("*.pkl"))


def test_a_second_night_is_judged_against_the_champion(whole: Any) -> None:
    spec, ctx, trained, _ = whole
    again = judge(spec, ctx, train(spec, ctx))
    assert again.champion == trained.version
    assert again.gate("not_worse").passed
    assert not again.is_better


def test_a_champion_that_alarms_more_is_compared_as_if_it_did_not(whole: Any) -> None:
    spec, _, trained, _ = whole
    cut = trained.scorer.bundle["record"]["cut_s"]
    loud = Scorer(trained.scorer.bundle | {"limit": trained.scorer.bundle["limit"] / 3})
    matched = [at_budget(spec, trained.rows, each, cut).bundle["limit"] for each in (loud, trained.scorer)]
    assert matched[0] == pytest.approx(matched[1])


def test_rows_by_themselves_go_the_same_way(place: Path, make_home: Any, tmp_path: Path) -> None:
    spec = rows_spec(write(place, "cells.parquet", cells()))
    ctx = ModelContext(make_home(tmp_path), n_threads=1)
    trained = train(spec, ctx)
    assert trained.rows.dropped["kind"] == "text is not watched"
    assert trained.scorer.bundle["method"] == "joint"
    verdict = judge(spec, ctx, trained)
    assert verdict.status == "passed", verdict.sentence
    promote(spec, ctx, verdict)
    score(spec, ctx)
    with reader(ctx.home) as con:
        reasons = con.execute(
            "SELECT reasons FROM lake.solutions.odd_cells WHERE cell_id = 'c3999' AND is_flagged"
        ).fetchone()
    assert reasons is not None
    assert json.loads(reasons[0])[0]["feature"] == "x2"


def test_a_walk_knows_nothing_of_what_is_to_come(place: Path, own_ctx: ModelContext) -> None:
    spec = series_spec(write(place, "walk.parquet", machines()))
    rows = read_rows(spec, own_ctx)
    cut = float(rows.time_s.min()) + 30 * 86_400
    seen = list(walk_forward(spec, rows, cut, every_h=96.0))
    changed = machines()
    changed["temp_c"] = [
        value if moment < (START + 36 * 24 * HOUR).item() else value * 3
        for value, moment in zip(changed["temp_c"], changed["hour_at"], strict=True)
    ]
    other = read_rows(series_spec(write(place, "walk2.parquet", changed)), own_ctx)
    again = list(walk_forward(spec, other, cut, every_h=96.0))
    before = rows.time_s < float(rows.time_s.min()) + 36 * 86_400
    differs = False
    for (value, _), (later, _) in zip(seen, again, strict=True):
        np.testing.assert_array_equal(value[before], later[before])
        differs = differs or bool(np.nanmax(np.abs(value - later), initial=0.0) > 0)
    assert differs


def test_what_is_known_of_events_changes_no_score(place: Path, own_ctx: ModelContext) -> None:
    table = write(place, "blind.parquet", machines())
    invented = {"begun": [START + 5 * 24 * HOUR], "ended": [START + 6 * 24 * HOUR]}
    known = {"table": write(place, "invented.parquet", invented), "begins_at": "begun", "ends_at": "ended"}
    plain, blind = series_spec(table), series_spec(table, events=known)
    rows = read_rows(plain, own_ctx)
    cut = float(rows.time_s.min()) + 38 * 86_400
    for (value, _), (other, _) in zip(
        walk_forward(plain, rows, cut), walk_forward(blind, read_rows(blind, own_ctx), cut), strict=True
    ):
        np.testing.assert_array_equal(value, other)
    assert len(read_events(blind, own_ctx)) == 1


def test_a_table_that_has_only_begun_is_waited_for(place: Path, own_ctx: ModelContext) -> None:
    short = {name: values[:90] for name, values in machines().items()}
    spec = series_spec(write(place, "short.parquet", short))
    with pytest.raises(NotYetError, match="not yet enough"):
        train(spec, own_ctx)
    empty = write(
        place, "empty.parquet", {name: values[:0] for name, values in pa.table(machines()).to_pydict().items()}
    )
    with pytest.raises(CellworksError):
        train(series_spec(empty), own_ctx)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"series": {"windows_h": [8, 8]}}, "different lengths"),
        ({"follow": ["hour_at"]}, "cannot be what is followed"),
        ({"alarms": {"per_week": 0}}, "greater than 0"),
        ({"alarms": {"per_month": 3}}, "Extra inputs"),
        ({"events": {"table": "e.csv", "begins_at": "a", "ends_at": "b", "entity": ["x", "y"]}}, "as many columns"),
        ({"table": "marts.cell"}, "shows what came later"),
    ],
)
def test_a_wrong_attribute_is_refused(changes: dict[str, Any], found: str) -> None:
    with pytest.raises(ValidationError, match=found):
        series_spec("t.csv", **changes)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"time": "temp_c"}, "is no moment"),
        ({"time": "nowhere_at"}, r"found: +nowhere_at"),
        ({"features": {"select": ["pressure_bar"]}}, r"found: +pressure_bar"),
        ({"features": {"select": ["machine_*"]}}, "can be a feature"),
        ({"keys": ["machine_id"]}, "do not name one row"),
    ],
)
def test_a_table_that_does_not_fit_is_told(
    changes: dict[str, Any], found: str, place: Path, own_ctx: ModelContext
) -> None:
    spec = series_spec(write(place, "machines.parquet", machines()), **changes)
    with pytest.raises(CellworksError, match=found):
        read_rows(spec, own_ctx)


def test_the_events_table_must_have_its_columns(place: Path, own_ctx: ModelContext) -> None:
    file = place / "bad_events.csv"
    duckdb.sql("SELECT 1 AS begun").write_csv(str(file))
    known = {"table": str(file), "begins_at": "begun", "ends_at": "ended"}
    with pytest.raises(CellworksError, match="lacks columns"):
        read_events(series_spec("t.csv", events=known), own_ctx)
