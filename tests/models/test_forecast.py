"""Forecasts: losses by hand, baselines that are exact where they must be, no look at what came later, a whole night."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.context import ModelContext
from models.evaluation.bootstrap import paired_mean
from models.forecast.baselines import exponential_smoothing, seasonal_naive
from models.forecast.evaluate import evaluate
from models.forecast.judge import judge
from models.forecast.learn import cut_of, development, hold_out, learn
from models.forecast.loss import pinball, row_loss, weighted_quantile_loss
from models.forecast.monitor import monitor
from models.forecast.panel import Panel, read_panel
from models.forecast.score import score
from models.forecast.spec import ForecastSpec
from models.forecast.train import train
from models.forecast.windows import windows_at
from models.registry.aliases import promote
from models.solution import NotYetError
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader

START = datetime(2026, 1, 5)  # noqa: DTZ001 - a Monday, UTC
DAYS, STORE_KG = 140, 60.0
NOW = START + timedelta(days=DAYS - 20)


def demand(days: int = DAYS, seed: int = 0, noise: float = 2.0) -> dict[str, Any]:
    """Six materials by day: a week's pattern and noise; each day is known an hour after it is over."""
    rng = np.random.default_rng(seed)
    day = np.arange(days)
    columns: dict[str, list[Any]] = {name: [] for name in ("material", "day_at", "used_kg", "stock_kg", "known_at")}
    for name, level in (("foil", 50.0), ("powder", 20.0), ("salt", 30.0), ("tape", 25.0), ("tab", 35.0), ("can", 40.0)):
        columns["material"] += [name] * days
        columns["day_at"] += [START + timedelta(days=int(each)) for each in day]
        columns["used_kg"] += (level + 10 * (day % 7 < 5) + noise * rng.normal(size=days)).tolist()
        columns["stock_kg"] += [STORE_KG if name == "foil" else 1e4] * days
        columns["known_at"] += [START + timedelta(days=int(each) + 1, hours=1) for each in day]
    return columns


def content(file: str, **changes: Any) -> dict[str, Any]:
    named: dict[str, Any] = {
        "stage": "planning",
        "slug": "demand",
        "question": "What will be used?",
        "table": file,
        "keys": ["material", "day_at"],
        "series": ["material"],
        "time": "day_at",
        "known_at": "known_at",
        "target": "used_kg",
        "unit": "kg",
        "step_h": 24,
        "season": 7,
        "horizon": 5,
        "max_rounds": 60,
    }
    return named | changes


def spec_of(file: str, **changes: Any) -> ForecastSpec:
    return ForecastSpec.model_validate(content(file, **changes))


def write(folder: Path, columns: dict[str, Any], name: str = "demand.parquet") -> str:
    pq.write_table(pa.table(columns), folder / name)
    return str(folder / name)


def panel_of(values: np.ndarray, *, lag_s: float = 0.0, horizon: int = 5) -> Panel:
    """Daily series known so many seconds after each day."""
    series, steps = values.shape
    begin_s = np.arange(steps + horizon) * 86_400.0
    known_s = np.tile(begin_s[1 : steps + 1] + lag_s, (series, 1))
    names = np.asarray([f"s{number}" for number in range(series)])
    return Panel(
        names, {"material": pa.array(names.tolist())}, 0.0, 86_400, begin_s, False, {"used_kg": values}, (), known_s
    )


def test_pinball_and_weighted_quantile_loss_by_hand() -> None:
    y, predicted, levels = np.asarray([10.0, 20.0]), np.asarray([[8.0, 12.0], [21.0, 24.0]]), np.asarray([0.1, 0.5])
    # 10 over 8: 0.1 * 2; 10 under 12: 0.5 * 2; 20 under 21: 0.9 * 1; 20 under 24: 0.5 * 4.
    assert pinball(y, predicted, levels) == pytest.approx(np.asarray([[0.2, 1.0], [0.9, 2.0]]))
    # Twice the mean over levels of the sums 1.1 and 3.0, over 30.
    assert weighted_quantile_loss(y, predicted, levels)(np.ones(2)) == pytest.approx(4.1 / 30)
    assert row_loss(y, predicted, levels).mean() == pytest.approx(4.1 / 30)


def test_the_season_before_is_exact_on_a_periodic_series() -> None:
    values = np.tile([3.0, 5.0, 8.0, 1.0, 2.0, 9.0, 4.0], (1, 8))
    spec = spec_of("t.csv")
    panel = panel_of(values)
    past = windows_at(spec, panel, np.arange(14, 30))
    rows = windows_at(spec, panel, np.arange(35, 50))
    rows = rows.take(np.isfinite(rows.y))
    found = seasonal_naive(spec, past, rows)
    assert found == pytest.approx(np.repeat(rows.y[:, None], 3, axis=1))
    smooth = exponential_smoothing(spec, panel, 35, past, rows)
    assert smooth is not None
    assert np.abs(smooth[:, 1] - rows.y).max() < 0.5


def test_a_late_record_is_not_seen_before_it_came() -> None:
    values = np.arange(40.0)[None, :]
    now = windows_at(spec_of("t.csv"), panel_of(values), np.asarray([20]))
    late = windows_at(spec_of("t.csv"), panel_of(values, lag_s=1.5 * 86_400), np.asarray([20]))
    assert now.number("last_age_steps").tolist() == [1.0] * 5
    assert late.number("last_age_steps").tolist() == [3.0] * 5
    # At step 20 value 19 is newest, or 17; the level is the mean of the last 14 known ones, the season before 13.
    assert now.number("level")[0] == pytest.approx(np.arange(6, 20).mean())
    assert late.number("level")[0] == pytest.approx(np.arange(6, 18).mean())
    assert now.number("naive").tolist() == [13.0, 14.0, 15.0, 16.0, 17.0]


@settings(max_examples=25, deadline=None)
@given(origin=st.integers(8, 39), shift=st.floats(-1e3, 1e3), lag_d=st.floats(0, 4), seed=st.integers(0, 9))
def test_what_comes_after_the_origin_changes_nothing(origin: int, shift: float, lag_d: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 5, (2, 40))
    panel = panel_of(values, lag_s=lag_d * 86_400)
    panel = replace(
        panel, ahead={"price": rng.normal(size=(2, 45))}, ahead_known_s=panel.begin_s[None] + np.zeros((2, 1))
    )
    before = windows_at(spec_of("t.csv"), panel, np.asarray([origin]))
    unseen = panel.known_s > panel.begin_s[origin]
    changed = replace(
        panel,
        numbers={"used_kg": np.where(unseen, values + shift, values)},
        ahead={"price": np.where(panel.ahead_known_s > panel.begin_s[origin], shift, panel.ahead["price"])},
    )
    after = windows_at(spec_of("t.csv"), changed, np.asarray([origin]))
    assert before.table.to_pandas().equals(after.table.to_pandas())  # NaN equals NaN there


def test_what_is_told_ahead_is_seen_from_when_it_was_told() -> None:
    panel = panel_of(np.full((1, 30), 7.0) + np.arange(30) % 3)
    known_s = np.full((1, 35), 20 * 86_400.0)
    panel = replace(panel, ahead={"price": np.arange(35.0)[None]}, ahead_known_s=known_s)
    rows = windows_at(spec_of("t.csv"), panel, np.asarray([19, 20]))
    assert np.isnan(rows.number("price")[:5]).all()
    assert rows.number("price")[5:].tolist() == [20.0, 21.0, 22.0, 23.0, 24.0]


def test_intervals_cover_what_they_promise_and_beat_the_season_before(tmp_path: Path, make_home: Any) -> None:
    rng = np.random.default_rng(3)
    panel = panel_of(100 + 10 * (np.arange(200) % 7 < 5) + rng.normal(0, 4, (6, 200)))
    spec = spec_of("t.csv", holdout_ratio=0.4)
    cut = cut_of(spec, panel)
    past = development(spec, panel, cut)
    learnt = learn(spec, ModelContext(make_home(tmp_path), n_threads=1), panel, past, cut)
    found = evaluate(spec, learnt.scorer, past, hold_out(spec, panel, cut))
    assert found.metrics["coverage"].value == pytest.approx(0.9, abs=0.03)
    # The season before brings as much noise along as the truth has; without any of it the skill would be 0.29.
    assert 0.15 < found.metrics["skill"].value < 1 - 1 / np.sqrt(2) + 0.02
    assert found.gain(0).interval[0] > 0
    assert paired_mean(found.naive_loss, found.naive_loss, found.blocks).mean == 0.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make_home: Any) -> tuple[ForecastSpec, ModelContext, Any, Any]:
    """A forecast from file to promoted champion, held against a store that is short of foil."""
    place = tmp_path_factory.mktemp("forecast")
    orders = {
        "material": ["foil", "foil", "powder"],
        "kg": [20.0, 1e6, 5.0],
        "ordered_at": [NOW - timedelta(days=2)] * 3,
        "due_at": [NOW + timedelta(days=1), NOW + timedelta(days=30), NOW + timedelta(days=1)],
        "delivered_at": pa.nulls(3, pa.timestamp("us")),
    }
    cover = {
        "stock": "stock_kg",
        "lead_time_steps": 3,
        "orders": {
            "table": write(place, orders, "orders.parquet"), "by": ["material"], "quantity": "kg",
            "ordered_at": "ordered_at", "due_at": "due_at", "arrived_at": "delivered_at",
        },
    }  # fmt: skip
    spec = spec_of(write(place, demand()), action={"kind": "schedule", "cover": cover}, holdout_ratio=0.4)
    ctx = ModelContext(make_home(place), n_threads=1, as_of=NOW)
    trained = train(spec, ctx)
    verdict = judge(spec, ctx, trained)
    promote(spec, ctx, verdict)
    return spec, ctx, trained, verdict


def test_a_forecast_passes_its_gates_beside_the_season_before(whole: Any) -> None:
    _, _, trained, verdict = whole
    assert verdict.status == "passed", verdict.sentence
    assert [gate.name for gate in verdict.gates] == [
        "holdout", "beats_baseline", "calibration", "not_worse", "speed", "inputs",
    ]  # fmt: skip
    assert trained.metrics["wql"].value < trained.baselines["seasonal_naive"]
    assert set(trained.baselines) == {"seasonal_naive", "ets"}
    assert trained.registered.bundle.joinpath("quantile_0.txt").is_file()


def test_forecasts_land_once_tell_a_shortage_and_are_held_against_what_came(whole: Any) -> None:
    spec, ctx, _, _ = whole
    report = score(spec, ctx)
    assert (report.rows, report.flagged) == (30, 5)
    assert score(spec, ctx).skipped == "no entity that it has not scored"
    with reader(ctx.home) as con:
        told = con.execute(
            "SELECT material, min(day_at), max(day_at), bool_and(low <= value AND value <= high), any_value(reasons) "
            "FROM lake.solutions.demand WHERE material IN ('foil', 'powder') GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert [row[:4] for row in told] == [(name, NOW, NOW + timedelta(days=4), True) for name in ("foil", "powder")]
    # 60 in store and 20 that come in time are less than three days of about 60; what comes later does not count.
    assert '"on order", "value": 20.0' in told[0][4]
    assert told[1][4] is None
    assert monitor(spec, ctx).sentence == "nothing that was forecast has come yet"
    for days in (2, 7, 12):
        assert score(spec, replace(ctx, as_of=NOW + timedelta(days=days, hours=2))).rows == 30
    last = replace(ctx, as_of=START + timedelta(days=DAYS))
    watched = monitor(spec, last)
    assert watched.skill_lost is False, watched.sentence
    assert "of the intervals hold" in watched.sentence


def test_the_logged_model_answers_without_the_project(whole: Any) -> None:
    import mlflow.pyfunc

    spec, ctx, trained, _ = whole
    mlflow.set_tracking_uri(ctx.tracking_uri)
    rows = windows_at(spec, trained.panel, np.asarray([30]))
    loaded = mlflow.pyfunc.load_model(f"models:/{spec.name}/{trained.version}")
    answers = loaded.predict(rows.table.to_pandas())
    assert answers["value"].to_numpy() == pytest.approx(trained.scorer.predict(rows.table)["value"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"keys": ["material"]}, "keys are the columns of `series` and `time`, here \\['material', 'day_at'\\]"),
        ({"target": "material"}, "the target 'material' is also a key"),
        ({"quantiles": [0.5, 0.1, 0.9]}, "quantiles are three rising numbers"),
        ({"horizon": 0}, "horizon"),
        (
            {"action": {"kind": "schedule", "cover": {"stock": "s", "lead_time_steps": 9}}},
            "beyond the horizon of 5 steps",
        ),
        ({"ahead": {"table": "t", "time": "a", "known_at": "k", "columns": ["p"], "by": ["shop"]}}, "ahead.by names"),
    ],
)
def test_a_wrong_attribute_is_told_with_what_was_expected(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        spec_of("t.csv", **changes)


def test_a_table_that_cannot_be_forecast_is_told(tmp_path: Path, own_ctx: ModelContext) -> None:
    columns = demand(days=20)
    with pytest.raises(NotYetError, match="not yet enough to learn a forecast from"):
        train(spec_of(write(tmp_path, columns)), own_ctx)
    with pytest.raises(CellworksError, match="lacks columns that the solution names"):
        read_panel(spec_of(write(tmp_path, columns), target="lost_kg"), own_ctx)
    with pytest.raises(CellworksError, match="is no step of time"):
        read_panel(spec_of(write(tmp_path, columns), keys=["day_at", "used_kg"], series=["day_at"], time="used_kg",
                           target="stock_kg"), own_ctx)  # fmt: skip
    columns["day_at"][3] += timedelta(hours=1)
    with pytest.raises(CellworksError, match="1 of 120 rows lie between two steps"):
        read_panel(spec_of(write(tmp_path, columns)), own_ctx)


def test_the_same_forecast_over_the_copies_of_its_tables() -> None:
    told = {"table": "price.csv", "time": "at", "known_at": "known_at", "columns": ["usd"]}
    spec = spec_of("t.csv", ahead=told)
    bound = spec.over({"t.csv": "own.a__b", "price.csv": "own.a__b__2"}, "own/a/b")
    assert (spec.files, bound.tables) == (["t.csv", "price.csv"], ["own.a__b", "own.a__b__2"])
