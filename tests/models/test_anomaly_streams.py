"""Streams of a detector: what one machine's rows have in common, though no row by itself tells of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.anomaly_detector.alarms import raised
from models.anomaly_detector.ground import read_rows
from models.anomaly_detector.judge import judge
from models.anomaly_detector.learn_rows import learn_rows
from models.anomaly_detector.limits import WEEK_S
from models.anomaly_detector.runtime import Scorer
from models.anomaly_detector.score import answered
from models.anomaly_detector.spec import AnomalySpec
from models.anomaly_detector.streams import LEAST_ROWS, window_means
from models.anomaly_detector.train import train
from models.context import ModelContext

STEP_S = 600.0
DAY_S = 86_400.0
NAMES = ["depth_mm", "power_kw", "gas_l_min"]
START = np.datetime64("2026-01-01T00:00:00", "us")


def cells(rows: int, seed: int = 0) -> dict[str, Any]:
    """Cells of two welders in turn: depth follows power, and a lot of material moves the depth of both for a day."""
    rng = np.random.default_rng(seed)
    power, gas = rng.normal(size=(2, rows))
    lot = np.repeat(rng.normal(size=rows // 144 + 1), 144)[:rows]
    depth = 0.7 * power + 0.5 * lot + 0.5 * rng.normal(size=rows)
    machine = np.where(np.arange(rows) % 2 == 0, "w1", "w2").astype(object)
    when = np.arange(rows) * STEP_S
    return {"entity": machine, "time_s": when, "depth_mm": depth, "power_kw": power, "gas_l_min": gas}


def learn(columns: dict[str, Any], rows: int, windows_h: list[float]) -> Scorer:
    table = pa.table(columns).slice(0, rows)
    entity = (np.arange(rows) % 2).astype(np.int64)
    asked: dict[str, Any] = {"per_week": 2.0, "hold_off_s": DAY_S, "seed": 7}
    bundle, _ = learn_rows(table, NAMES, entity, windows_h=windows_h, **asked)
    return Scorer(json.loads(json.dumps(bundle, allow_nan=False)))


@pytest.fixture(scope="module")
def plant() -> tuple[dict[str, Any], int, Scorer]:
    """Sixty days, the first forty of them learnt from."""
    columns = cells(60 * 144)
    return columns, 40 * 144, learn(columns, 40 * 144, [8.0, 24.0])


def shifted(columns: dict[str, Any], name: str, begin: int, size: float) -> dict[str, Any]:
    """Cells of w1 from a row on, off by a size."""
    hit = (np.arange(len(columns["time_s"])) >= begin) & (columns["entity"] == "w1")
    return columns | {name: columns[name] + size * hit}


@pytest.mark.parametrize(("name", "size"), [("depth_mm", 0.8), ("power_kw", 1.2), ("gas_l_min", -1.2)])
def test_a_shift_that_no_row_tells_of_is_told_by_the_machine_with_its_number_first(
    plant: tuple[dict[str, Any], int, Scorer], name: str, size: float
) -> None:
    columns, begin, scorer = plant
    table = pa.table(shifted(columns, name, begin, size))
    over = np.flatnonzero((scorer.predict(table)["value"] > 1) & (columns["entity"] == "w1"))
    first = over[over >= begin][0]
    assert (first - begin) * STEP_S < DAY_S
    assert scorer.alone(table)[first] < 1
    reason = json.loads(scorer.reasons(table.slice(0, first + 1), 1)[-1])[0]
    assert reason["feature"].startswith(f"{name} over ")
    assert reason["contribution"] > 1


def test_a_reason_says_the_mean_and_what_was_expected_of_it(plant: tuple[dict[str, Any], int, Scorer]) -> None:
    columns, begin, scorer = plant
    row = begin + 288 + begin % 2
    table = pa.table(shifted(columns, "gas_l_min", begin, 2.0)).slice(0, row + 1)
    reason = json.loads(scorer.reasons(table, 1)[-1])[0]
    assert reason["value"] == pytest.approx(2.0, abs=0.5)
    assert reason["expected"] == pytest.approx(0.0, abs=0.5)


def test_a_lot_that_moves_all_machines_is_no_machine_s_fault(plant: tuple[dict[str, Any], int, Scorer]) -> None:
    columns, begin, scorer = plant
    both = columns | {"depth_mm": columns["depth_mm"] + 0.8 * (np.arange(len(columns["time_s"])) >= begin)}
    one = shifted(columns, "depth_mm", begin, 0.8)
    share = [
        np.mean(scorer.predict(pa.table(each))["value"][begin + 144 : begin + 576 : 2] > 1) for each in (both, one)
    ]
    assert share[0] < 0.1 < 0.8 < share[1]


def test_a_plant_where_nothing_happens_stays_near_the_budget() -> None:
    found = 0
    for seed in range(3):
        columns = cells(80 * 144, seed)
        scorer = learn(columns, 40 * 144, [8.0, 24.0])
        later = columns["time_s"] >= 40 * DAY_S
        value = np.where(later, scorer.predict(pa.table(columns))["value"], np.nan)
        found += raised(value, columns["time_s"], (columns["entity"] == "w1").astype(int), DAY_S)[0].sum()
    budget = 3 * 2.0 * 40 * DAY_S / WEEK_S
    assert 0.1 * budget < found < 2.0 * budget


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 3.0))
def test_a_window_s_means_are_those_of_the_rows_in_it(seed: int, hours: float) -> None:
    rng = np.random.default_rng(seed)
    time_s = np.sort(rng.integers(0, 7_200, 80)).astype(float)
    left, code = rng.normal(size=(80, 2)), rng.integers(0, 3, 80)
    own, others, rows = window_means(left, time_s, code, hours * 3600.0)
    row = int(rng.integers(0, 80))
    inside = (time_s > time_s[row] - hours * 3600.0) & (time_s <= time_s[row])
    assert rows[row] == np.count_nonzero(inside & (code == code[row]))
    for mean, which in ((own, inside & (code == code[row])), (others, inside & (code != code[row]))):
        wanted = left[which].mean(axis=0) if which.sum() >= LEAST_ROWS else np.full(2, np.nan)
        np.testing.assert_allclose(mean[row], wanted, atol=1e-9)


def test_order_and_later_rows_change_no_score(plant: tuple[dict[str, Any], int, Scorer]) -> None:
    columns, begin, scorer = plant
    table = pa.table(columns)
    whole = scorer.predict(table)["value"]
    mixed = np.random.default_rng(1).permutation(table.num_rows)
    np.testing.assert_allclose(scorer.predict(table.take(mixed))["value"], whole[mixed], atol=1e-9)
    np.testing.assert_allclose(scorer.predict(table.slice(0, begin))["value"], whole[:begin], atol=1e-12)


def test_a_machine_that_was_not_learnt_from_is_judged_by_its_rows_alone(
    plant: tuple[dict[str, Any], int, Scorer],
) -> None:
    columns, begin, scorer = plant
    new = columns | {"entity": np.where(columns["entity"] == "w1", "w3", columns["entity"])}
    table = pa.table(shifted(new, "gas_l_min", begin, 0.0))
    mine = new["entity"] == "w3"
    np.testing.assert_array_equal(scorer.predict(table)["value"][mine], scorer.alone(table)[mine])


def test_a_reference_too_short_for_a_window_has_none() -> None:
    columns = cells(3 * 144)
    bundle = learn(columns, 3 * 144, [8.0, 24.0]).bundle
    assert [window["length_s"] for window in bundle["streams"]["windows"]] == [8 * 3600.0]


def streams_spec(table: str, **changes: Any) -> AnomalySpec:
    content: dict[str, Any] = {
        "stage": "assembly",
        "slug": "odd_welds",
        "question": "Which welds are unlike the others?",
        "entity": "cell",
        "table": table,
        "keys": ["cell_id"],
        "features": {"select": NAMES},
        "time": "entered_at",
        "follow": ["welder_id"],
        "streams": {"windows_h": [8, 24]},
        "alarms": {"per_week": 2, "hold_off_h": 24},
    }
    return AnomalySpec.model_validate(content | changes)


def test_from_file_to_flags_of_the_rows_that_raise_an_alarm(tmp_path: Path, make_home: Any) -> None:
    begin = 56 * 144
    columns = shifted(cells(60 * 144), "gas_l_min", begin, 1.5)
    named = {name: columns[name] for name in NAMES} | {
        "cell_id": [f"c{number}" for number in range(60 * 144)],
        "welder_id": columns["entity"].tolist(),
        "entered_at": START + np.arange(60 * 144) * np.timedelta64(600, "s"),
    }
    pq.write_table(pa.table(named), tmp_path / "welds.parquet")
    spec = streams_spec(str(tmp_path / "welds.parquet"))
    ctx = ModelContext(make_home(tmp_path), n_threads=1)
    trained = train(spec, ctx)
    verdict = judge(spec, ctx, trained)
    assert verdict.gate("beats_baseline").passed, verdict.sentence
    rows = read_rows(spec, ctx)
    told = answered(spec, rows, trained.scorer, START.item(), (1, None)).to_pylist()
    fault = [each for each in told[begin:] if each["is_flagged"]]
    # One alarm of the machine, not each of its cells, and a cell or two that are odd by themselves.
    assert 1 <= len(fault) <= 10
    assert sum(each["value"] > 1 for each in told[begin:]) > 100
    assert any("gas_l_min over" in each["reasons"] for each in fault)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"follow": []}, "names what makes them"),
        ({"series": {}}, "without `series`"),
        ({"streams": {"windows_h": [8, 8]}}, "different lengths"),
        ({"streams": {"windows_h": []}}, "at least 1 item"),
    ],
)
def test_wrong_streams_are_refused(changes: dict[str, Any], found: str) -> None:
    with pytest.raises(ValidationError, match=found):
        streams_spec("t.csv", **changes)
