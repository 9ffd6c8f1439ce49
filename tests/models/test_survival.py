"""Remaining life: bounds, learners, figures, policy, and a table that becomes a champion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from scipy.optimize import approx_fprime

from models.context import ModelContext
from models.estimators.base import Problem
from models.features.fused import fused_features
from models.registry.aliases import promote
from models.scoring.boosters import LightGBMBooster
from models.scoring.runtime import matrix, raw_columns
from models.survival_model.bands import fit_life
from models.survival_model.censoring import known_weights, within_weights
from models.survival_model.family import judge, monitor, score, train
from models.survival_model.fitting import fit
from models.survival_model.folds import LifeFold
from models.survival_model.learners import LifeLightGBM, LifeXGBoost
from models.survival_model.lives import Lives, prepare_lives
from models.survival_model.metrics import concordance, squared_loss
from models.survival_model.policy import (
    best_interval,
    best_threshold,
    by_prediction,
    fixed_interval,
    histories,
    run_to_failure,
)
from models.survival_model.spec import Policy, SurvivalSpec
from models.survival_model.weibull import fit_weibull, likelihood
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

POLICY = Policy(failure=10.0, planned=2.0)
LIGHT = {"learning_rate": 0.1, "num_leaves": 8, "min_data_in_leaf": 5, "feature_fraction": 1.0, "bagging_fraction": 1.0}
XGB = {"learning_rate": 0.1, "max_depth": 3, "min_child_weight": 1.0}


def _exact(values: Any, age: Any = None) -> Lives:
    lower = np.asarray(values, dtype=float)
    return Lives(lower, lower.copy(), None if age is None else np.asarray(age, dtype=float))


def _tools(lives: int = 60, seed: int = 0, rows: int = 25) -> dict[str, Any]:
    """Tools that wear: one hidden wear moves three noisy numbers; a part is still in use at the end."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {name: [] for name in ("tool", "age", "left", "ended", "time", "a", "b", "c", "d")}
    for number in range(lives):
        end = int(rng.integers(30, 100))
        begin = int(rng.integers(0, 400))
        for age in range(0, end, max(1, end // rows)):
            wear = (age / end) ** 3
            moment = begin + age
            if moment > 420:
                break
            columns["tool"].append(f"T{number}")
            columns["age"].append(float(age))
            columns["left"].append(float(min(begin + end, 420) - moment))
            columns["ended"].append(begin + end <= 420)
            columns["time"].append(np.datetime64("2026-01-01", "us") + np.timedelta64(moment, "h"))
            for name, weight in (("a", 1.0), ("b", -1.0), ("c", 0.5)):
                columns[name].append(weight * 6 * wear + rng.normal())
            columns["d"].append(rng.normal())
    columns["row_id"] = [f"R{place}" for place in range(len(columns["tool"]))]
    return columns


def _spec(table: str, **changes: Any) -> SurvivalSpec:
    content = {
        "stage": "assembly",
        "slug": "tool_life",
        "question": "How many hours has the tool left?",
        "table": table,
        "keys": ["row_id"],
        "features": {"exclude": ["tool"]},
        "target": {"column": "left", "event": "ended", "age": "age", "at_most": 60, "horizon": 10, "unit": "h"},
        "sequence": {"entity": ["tool"], "order": "age", "windows": [3, 8], "base_rows": 0, "fused": 1},
        "split": {"time": "time", "group": "tool", "holdout_ratio": 0.3, "folds": 2},
        "policy": POLICY.model_dump(),
        "search": {"trials": 3, "max_rounds": 60, "members": 2, "libraries": ["lightgbm", "linear"]},
        "gates": {"min_holdout_rows": 20, "max_coverage_gap": 0.15},
    }
    return SurvivalSpec.model_validate(content | changes)


@pytest.fixture
def tools(tmp_path) -> str:
    file = tmp_path / "tools.parquet"
    pq.write_table(pa.table(_tools()), file)
    return str(file)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target": {"column": "left", "event": "ended", "upper": "u", "horizon": 1}}, "both say which lives ended"),
        ({"target": {"column": "left", "at_most": 5, "horizon": 9}}, "beyond target.at_most"),
        ({"target": {"column": "left", "horizon": 1}}, "target.age must name"),
        ({"policy": {"failure": 1, "planned": 2}}, "never worth it"),
        ({"action": {"kind": "work_order", "below": 3}}, "left out"),
        ({"split": {"time": "time"}}, "group"),
        ({"task": "binary"}, "regression"),
    ],
)
def test_a_wrong_solution_is_refused_at_the_door(changes, told) -> None:
    with pytest.raises(ValidationError, match=told):
        _spec("t.parquet", **changes)


def test_what_says_how_a_life_ended_is_no_feature(tools, tmp_path) -> None:
    prepared = prepare_lives(_spec(tools), ModelContext(Home(tmp_path), n_threads=1))
    assert "ended" not in prepared.frame.table.column_names
    with pytest.raises(CellworksError, match="leaks"):
        prepare_lives(_spec(tools, features={"select": ["ended", "a"]}), ModelContext(Home(tmp_path), n_threads=1))


def test_a_life_that_ended_after_the_cut_is_learnt_as_one_that_goes_on(tools, tmp_path) -> None:
    prepared = prepare_lives(_spec(tools), ModelContext(Home(tmp_path), n_threads=1))
    cut = np.datetime64(prepared.split.cut.after)
    time, group = prepared.frame.time, prepared.order.group
    development = prepared.split.development
    assert (time[development] <= cut).all()
    assert not set(group[development]) & set(group[prepared.split.holdout])
    straddling = [each for each in np.unique(group[development]) if (time[group == each] > cut).any()]
    assert straddling
    for each in straddling:
        rows = development[group[development] == each]
        known = prepared.learnt_whole.take(rows)
        assert np.isinf(known.upper).all()
        last = known.age.max()
        assert np.allclose(known.lower, last - known.age)
    whole = np.setdiff1d(development, np.flatnonzero(np.isin(group, straddling)))
    assert np.array_equal(prepared.learnt_whole.upper[whole], prepared.whole.upper[whole])


def test_a_negative_life_is_refused(tmp_path) -> None:
    columns = _tools(20)
    columns["left"][7] = -1.0
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(CellworksError, match="cannot be"):
        prepare_lives(_spec(str(tmp_path / "t.parquet")), ModelContext(Home(tmp_path), n_threads=1))


def test_weibull_regression_agrees_with_scipy_without_features() -> None:
    rng = np.random.default_rng(1)
    life = 80 * rng.weibull(2.5, 400)
    seen = rng.uniform(20, 160, 400)
    lower, ended = np.minimum(life, seen), life <= seen
    upper = np.where(ended, lower, np.inf)
    weights, start, spread = fit_weibull(np.zeros((400, 1)), np.log(lower), np.log(upper), 1.0)
    shape, _, scale = stats.weibull_min.fit(stats.CensoredData(lower[ended], right=lower[~ended]), floc=0)
    assert weights == pytest.approx([0.0])
    assert 1 / spread == pytest.approx(shape, rel=0.01)
    assert np.exp(start) == pytest.approx(scale, rel=0.01)


def test_the_likelihood_with_intervals_has_its_own_gradient() -> None:
    rng = np.random.default_rng(2)
    design, low = rng.normal(size=(30, 2)), rng.normal(size=30)
    high = np.where(
        np.arange(30) % 3 == 0, low, np.where(np.arange(30) % 3 == 1, np.inf, low + rng.uniform(0.1, 1, 30))
    )
    at = np.asarray([0.3, -0.2, 0.1, -0.4])
    _, gradient = likelihood(at, design, low, high, 2.0)
    assert gradient == pytest.approx(approx_fprime(at, lambda x: likelihood(x, design, low, high, 2.0)[0]), abs=1e-4)


@pytest.mark.parametrize(("learner", "params"), [(LifeLightGBM(), LIGHT), (LifeXGBoost(), {**XGB, "life": "squared"})])
def test_a_life_that_goes_on_cannot_be_predicted_too_long(learner, params) -> None:
    """Half the rows of each kind are lost from sight at a tenth: without bounds the answer would lie halfway."""
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 2, 600)
    life = np.where(kind == 1, 100.0, 20.0)
    lost = np.arange(600) % 2 == 0
    lower = np.where(lost, life / 10, life)
    fold = LifeFold(kind[:, None].astype(np.float32), lower, upper=np.where(lost, np.inf, lower))
    booster = learner.fit(Problem("regression"), fold, params, 150).booster
    assert booster.predict(np.asarray([[0], [1]], dtype=np.float32)) == pytest.approx([20, 100], rel=0.05)


def test_the_start_of_lightgbm_is_in_its_file(tmp_path) -> None:
    x = np.arange(100, dtype=np.float32)[:, None]
    fold = LifeFold(x, 50.0 + x[:, 0].astype(float), upper=np.where(np.arange(100) < 90, 50.0 + x[:, 0], np.inf))
    booster = LifeLightGBM().fit(Problem("regression"), fold, LIGHT, 40).booster
    again = LightGBMBooster.load(tmp_path / booster.save(tmp_path, "b"), 1)
    assert np.array_equal(again.predict(x), booster.predict(x))
    assert booster.predict(x)[0] == pytest.approx(52, abs=6)


def _slow_concordance(lower, upper, predicted, groups) -> float:
    hits = total = 0.0
    for i in range(len(lower)):
        for j in range(len(lower)):
            is_first = np.isfinite(upper[i]) and (lower[i] < lower[j] or (lower[i] == lower[j] and np.isinf(upper[j])))
            if is_first and groups[i] != groups[j]:
                total += 1
                hits += 1.0 if predicted[i] < predicted[j] else 0.5 if predicted[i] == predicted[j] else 0.0
    return hits / total if total else float("nan")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=12)
)
def test_concordance_is_harrells_over_pairs_of_different_lives(rows) -> None:
    lower = np.asarray([float(row[0]) for row in rows])
    upper = np.where([row[1] for row in rows], lower, np.inf)
    predicted, groups = np.asarray([float(row[2]) for row in rows]), np.asarray([row[3] for row in rows])
    found = concordance(Lives(lower, upper, None), predicted, groups)(np.ones(len(rows)))
    assert found == pytest.approx(_slow_concordance(lower, upper, predicted, groups), nan_ok=True)


def test_concordance_of_a_sample_stands_for_all_pairs_where_few_lives_end_below_the_cap() -> None:
    draw = np.random.default_rng(3)
    lower = np.minimum(draw.exponential(900.0, 6000), 30.0)  # one in thirty ends within the cap
    predicted = np.where(draw.random(6000) < 0.6, lower, draw.uniform(0.0, 30.0, 6000))
    groups = np.arange(6000)
    found = concordance(Lives(lower, lower, None), predicted, groups)(np.ones(6000))
    ended = np.flatnonzero(lower < 30.0)
    first = lower[ended][:, None] < lower[None, :]
    right = (predicted[ended][:, None] < predicted[None, :]) + 0.5 * (predicted[ended][:, None] == predicted[None, :])
    assert found == pytest.approx(float(right[first].mean()), abs=0.005)


def test_weights_make_up_for_lives_that_were_lost() -> None:
    rng = np.random.default_rng(4)
    life, seen = rng.exponential(10, 20_000), rng.exponential(15, 20_000)
    lives = Lives(np.minimum(life, seen), np.where(life <= seen, life, np.inf), None).capped(12)
    weights = known_weights(lives)
    assert weights @ lives.lower / weights.sum() == pytest.approx(np.minimum(life, 12).mean(), rel=0.03)
    assert lives.lower[weights > 0].mean() < 0.97 * np.minimum(life, 12).mean(), "without them it would be biased"
    ended, weights = within_weights(lives, 8.0)
    assert ended @ weights / weights.sum() == pytest.approx((life <= 8).mean(), rel=0.03)
    assert squared_loss(lives, lives.lower).sum() == 0


def test_intervals_hold_over_the_whole_range_of_lives() -> None:
    """The error grows with the life, so that one width for all would hold too much of short lives."""
    rng = np.random.default_rng(5)

    def draw(lives: int) -> tuple[np.ndarray, Lives, np.ndarray]:
        groups = np.repeat(np.arange(lives), 10)
        predicted = rng.uniform(1, 100, len(groups))
        own = rng.normal(0, 0.7, lives)[groups]
        life = np.maximum(predicted * (1 + 0.2 * (own + rng.normal(0, 0.7, len(groups)))), 0)
        seen = np.where(rng.random(len(groups)) < 0.2, rng.uniform(0, 150, len(groups)), np.inf)
        return predicted, Lives(np.minimum(life, seen), np.where(life <= seen, life, np.inf), None), groups

    life = fit_life(*draw(300), horizon=20.0, coverage=0.9)
    predicted, lives, _ = draw(1000)
    weights = known_weights(lives)
    inside = (lives.lower >= np.interp(predicted, life["at"], life["low"])) & (
        lives.lower <= np.interp(predicted, life["at"], life["high"])
    )
    for low, high in ((5, 25), (25, 50), (50, 75), (75, 100)):
        part = weights * ((predicted >= low) & (predicted < high))
        assert inside @ part / part.sum() == pytest.approx(0.9, abs=0.05)
    chance = np.asarray(life["probability"])
    assert (np.diff(chance) <= 1e-12).all()
    assert chance[0] > 0.9
    assert chance[-1] < 0.05
    assert (np.diff(np.asarray(life["within"]), axis=0) >= 0).all(), "more happens within longer"


def test_the_policies_of_three_tools_by_hand() -> None:
    """Two failed at 10 and 4, one is in use at 6; replaced where 3 or less are predicted."""
    age = np.asarray([0.0, 5, 8, 0, 2, 0, 5])
    groups = np.asarray([0, 0, 0, 1, 1, 2, 2])
    end = np.asarray([10.0, 4, 6])[groups]
    lives = Lives(end - age, np.where(groups == 2, np.inf, end - age), age)
    past = histories(lives, groups)
    assert run_to_failure(past, POLICY).rate == pytest.approx(20 / 20)
    assert fixed_interval(past, 5.0, POLICY).rate == pytest.approx((2 + 10 + 2) / (5 + 4 + 5))
    predicted = np.asarray([9.0, 4, 2, 9, 3, 9, 9])
    assert by_prediction(past, predicted, 3.0, POLICY).rate == pytest.approx((2 + 2 + 0) / (8 + 2 + 6))
    wasteful = POLICY.model_copy(update={"wasted": 0.5})
    assert by_prediction(past, predicted, 3.0, wasteful).rate == pytest.approx((2 + 1 + 2 + 1) / (8 + 2 + 6))


def test_the_best_fixed_interval_is_barlow_and_proschans() -> None:
    rng = np.random.default_rng(6)
    life = 100 * rng.weibull(4.0, 5000)
    past = histories(_exact(life, np.zeros(len(life))), np.arange(len(life)))
    found = best_interval(past, POLICY)
    grid = np.linspace(10, 150, 400)
    alive = np.exp(-((grid / 100) ** 4))
    used = np.asarray(
        [np.trapezoid(np.exp(-((np.linspace(0, t, 300) / 100) ** 4)), np.linspace(0, t, 300)) for t in grid]
    )
    best = grid[np.argmin((2 * alive + 10 * (1 - alive)) / used)]
    assert found == pytest.approx(best, rel=0.1)
    assert best_threshold(past, np.full(len(life), 50.0), POLICY) == pytest.approx(49.0), (
        "one answer for all: never act"
    )


def test_the_index_follows_what_the_numbers_have_in_common(tools, tmp_path) -> None:
    spec = _spec(tools)
    prepared = prepare_lives(spec, ModelContext(Home(tmp_path), n_threads=1))
    entries = fused_features(prepared.frame.take(prepared.split.development), spec.sequence, ["a", "b", "c", "d"], 1)
    assert {each["name"] for each in entries} >= {"index_1", "index_1_mean_3", "index_1_slope_8"}
    assert set(raw_columns(entries)) <= set(prepared.frame.table.column_names)
    loads = dict(zip("abcd", entries[-1]["weights"], strict=True))
    assert np.sign(loads["a"]) == -np.sign(loads["b"]) == np.sign(loads["c"])
    assert abs(loads["d"]) < 0.3 * abs(loads["a"])
    index = matrix(prepared.frame.table, entries)
    assert abs(np.corrcoef(index[:, -1], prepared.whole.lower)[0, 1]) > 0.4
    table = prepared.frame.table
    hole = table.set_column(table.column_names.index("a"), "a", pa.nulls(table.num_rows, pa.float32()))
    assert np.isfinite(matrix(hole, entries)[:, -1]).all(), "one that is missing counts as its mean"


@pytest.mark.parametrize("bounds", ["go on", "lie between bounds"])
def test_lives_of_which_no_end_is_known_are_refused_before_anything_is_fitted(tools, tmp_path, bounds) -> None:
    spec, ctx = _spec(tools), ModelContext(Home(tmp_path), n_threads=1)
    prepared = prepare_lives(spec, ctx)
    ages = prepared.learnt.age
    upper = np.full(len(ages), np.inf if bounds == "go on" else 50.0)
    with pytest.raises(CellworksError, match="no life to learn from has an end that is known") as refused:
        fit(spec, ctx, replace(prepared, learnt=Lives(np.zeros(len(ages)), upper, ages)))
    assert "target.at_most" in str(refused.value)


def test_answers_of_the_later_lives_do_not_reach_the_model(tmp_path) -> None:
    """A canary that holds the hold-out's lives, and noise elsewhere, must not help."""
    columns = _tools(60)
    time = np.asarray(columns["time"])
    late = time > np.quantile(time, 0.6)
    rng = np.random.default_rng(0)
    columns["canary"] = np.where(late, columns["left"], rng.permutation(np.asarray(columns["left"])))
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    ctx = ModelContext(Home(tmp_path), n_threads=1)
    spec = _spec(str(tmp_path / "t.parquet"), sequence=None)
    fitted = fit(spec, ctx, prepare_lives(spec, ctx))
    parts = np.abs(fitted.scorer.contributions(fitted.x_development)).mean(axis=0)
    names = [each["name"] for each in fitted.scorer.bundle["features"]]
    assert parts[names.index("canary")] < 0.25 * parts.max()


@pytest.mark.slow
def test_a_table_of_tools_becomes_a_champion_that_says_when_to_act(tools, ctx) -> None:
    spec = _spec(tools, action={"kind": "work_order"}, min_concordance=0.6)
    trained = train(spec, ctx)
    assert set(trained.metrics) == set(spec.metrics)
    assert trained.primary == "concordance"
    assert trained.metrics["concordance"].value > max(0.6, trained.baselines["prior"])
    verdict = judge(spec, ctx, trained)
    assert {gate.name for gate in verdict.gates} >= {
        "holdout",
        "concordance",
        "policy",
        "beats_baseline",
        "calibration",
    }
    assert verdict.passed, verdict.sentence
    costs = verdict.gate("policy").figures
    assert costs["policy"] < min(costs["run_to_failure"], costs["fixed_interval"])
    promote(spec, ctx, verdict)
    report = score(spec, ctx)
    assert report.rows == trained.prepared.frame.n_rows
    with reader(ctx.home) as con:
        rows = con.execute("SELECT * FROM lake.solutions.tool_life").to_arrow_table().to_pylist()
    act_below = trained.fitted.scorer.bundle["life"]["act_below"]
    assert all(0 <= row["low"] <= row["value"] <= row["high"] <= 60 for row in rows)
    assert all(row["is_flagged"] == (row["value"] <= act_below) for row in rows)
    assert 0 < report.flagged < report.rows
    assert monitor(spec, ctx).days == []
    again = train(spec, replace(ctx, mode="refit"))
    assert again.mode == "refit"
    assert judge(spec, ctx, again).gate("not_worse").figures["margin"] <= 0


@pytest.mark.slow
def test_a_hold_out_where_nothing_ends_cannot_tell(tools, ctx) -> None:
    columns = pq.read_table(tools).to_pydict()
    late = np.asarray(columns["time"]) > np.quantile(np.asarray(columns["time"]), 0.55)
    columns["ended"] = (np.asarray(columns["ended"]) & ~late).tolist()
    pq.write_table(pa.table(columns), tools)
    spec = _spec(tools)
    trained = train(spec, ctx)
    verdict = judge(spec, ctx, trained)
    assert verdict.status == "insufficient"
    assert "lives ended" in verdict.sentence


@pytest.mark.slow
def test_what_tells_no_more_than_the_age_is_refused(tools, ctx) -> None:
    spec = _spec(tools, features={"select": ["d"]}, sequence=None, min_concordance=0.5, search={"trials": 1})
    trained = train(spec, ctx)
    gate = judge(spec, ctx, trained).gate("concordance")
    assert gate.figures["concordance"] < gate.figures["naive"]
    assert not gate.passed
    # With the limit out of the way it is the age that it loses to; and where a service costs what a failure does,
    # no moment to serve is worth anything.
    dear = {"min_concordance": 0.0, "policy": Policy(failure=10.0, planned=9.9)}
    verdict = judge(spec.model_copy(update=dear), ctx, trained)
    assert not verdict.gate("concordance").passed
    assert "no cheaper than" in verdict.gate("policy").sentence
    assert not verdict.gate("policy").passed
