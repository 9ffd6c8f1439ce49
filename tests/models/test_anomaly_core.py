"""What a detector learns: limits from a budget, alarms from scores, forecasts of a series, the likeness of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.anomaly_detector.alarms import raised
from models.anomaly_detector.learn_rows import learn_rows
from models.anomaly_detector.learn_series import learn_series
from models.anomaly_detector.limits import WEEK_S, block_maxima, level
from models.anomaly_detector.runtime import Past, Scorer

STEP_S = 900.0
DAY_S = 86_400.0


def make_series(weeks: float, seed: int = 0) -> tuple[Any, Any]:
    """Seconds and a temperature that leans on its past and follows the hour of the day."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(0, weeks * WEEK_S, STEP_S)
    noise, value = rng.normal(size=len(time_s)), np.empty(len(time_s))
    value[0] = 0.0
    for row in range(1, len(time_s)):
        value[row] = 0.9 * value[row - 1] + noise[row]
    return time_s, 80.0 + 4.0 * np.sin(2 * np.pi * time_s / DAY_S) + value


def as_table(time_s: Any, value: Any, entity: str = "m1") -> pa.Table:
    return pa.table({"entity": [entity] * len(time_s), "time_s": time_s, "temp_c": value})


@pytest.mark.parametrize("draw", ["exponential", "standard_normal", "gumbel"])
def test_a_level_is_passed_as_often_as_asked(draw: str) -> None:
    rng = np.random.default_rng(1)
    chance, rates = 1 / 50, []
    for _ in range(40):
        limit = level(getattr(rng, draw)(size=60), chance)
        rates.append(np.mean(getattr(rng, draw)(size=20_000) > limit))
    # A tail lighter than the exponential one is taken for that: fewer alarms than the budget allows, never many more.
    assert chance / 4 < np.median(rates) < chance * 2


def test_a_few_true_failures_in_the_reference_hardly_move_the_limit() -> None:
    clean = np.random.default_rng(2).gumbel(size=100)
    failed = clean.copy()
    failed[[10, 50, 90]] = 1e4
    assert level(failed, 1 / 50) < 1.6 * level(clean, 1 / 50)


def test_too_few_blocks_give_no_limit() -> None:
    assert level(np.asarray([1.0, 2.0, 3.0]), 0.1) == np.inf


def test_blocks_are_of_one_entity_and_one_stretch_of_time() -> None:
    score = np.asarray([1.0, 5.0, 2.0, np.nan, 7.0])
    maxima = block_maxima(score, np.asarray([0.0, 10.0, 100.0, 120.0, 5.0]), np.asarray([0, 0, 0, 0, 1]), 60.0)
    assert sorted(maxima.tolist()) == [2.0, 5.0, 7.0]
    assert block_maxima(score, np.zeros(5), np.zeros(5, dtype=int), 0.0).tolist() == [1.0, 5.0, 2.0, 7.0]


def test_an_excursion_is_one_alarm_until_it_was_quiet_for_the_hold_off() -> None:
    time_s = np.arange(8) * 10.0
    value = np.asarray([0.5, 1.5, 0.5, 1.5, 0.5, 0.5, 0.5, 1.5])
    begun, under = raised(value, time_s, np.zeros(8, dtype=int), 20.0)
    assert np.flatnonzero(begun).tolist() == [1, 7]
    assert np.flatnonzero(under).tolist() == [1, 2, 3, 4, 5, 7]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 2), st.integers(0, 50), st.integers(0, 2)), min_size=1, max_size=40),
    st.sampled_from([0.0, 3.0, 10.0]),
)
def test_every_row_over_the_limit_is_under_an_alarm_and_an_alarm_begins_before(
    rows: list[tuple[float, int, int]], hold_off_s: float
) -> None:
    value, time_s, entity = (np.asarray(column, dtype=float) for column in zip(*rows, strict=True))
    begun, under = raised(value, time_s, entity.astype(int), hold_off_s)
    assert not np.any(begun & ~under)
    assert not np.any((value > 1) & ~under)
    for name in np.unique(entity[under]):
        mine = entity == name
        assert time_s[mine & begun].min() == time_s[mine & under].min()


def test_a_window_sees_what_the_plain_sum_over_its_rows_sees() -> None:
    rng = np.random.default_rng(3)
    time_s = np.cumsum(rng.uniform(0.5, 1.5, 60))
    values = np.where(rng.random(60) < 0.2, np.nan, rng.normal(1e6, 1, 60))
    mean = Past(time_s, values, 1.0).mean(9.0, 3.0)
    for row, moment in enumerate(time_s):
        inside = values[(time_s > moment - 9.0) & (time_s <= moment - 3.0)]
        inside = inside[np.isfinite(inside)]
        if len(inside) >= 3:
            assert mean[row] == pytest.approx(inside.mean(), abs=1e-6)
        else:
            assert np.isnan(mean[row])


def learnt(weeks: float = 4.0) -> tuple[Scorer, Any, Any]:
    time_s, value = make_series(weeks + 4.0)
    cut = int(weeks * WEEK_S / STEP_S)
    table = as_table(time_s[:cut], value[:cut])
    bundle, _ = learn_series(table, ["temp_c"], [1, 8, 24], per_week=1.0, hold_off_s=DAY_S)
    return Scorer(json.loads(json.dumps(bundle))), time_s, value


def test_healthy_weeks_stay_near_the_budget_of_alarms() -> None:
    counts = []
    for seed in range(3):
        time_s, value = make_series(8.0, seed)
        cut = len(time_s) // 2
        bundle, _ = learn_series(
            as_table(time_s[:cut], value[:cut]), ["temp_c"], [1, 8, 24], per_week=1.0, hold_off_s=DAY_S
        )
        score = Scorer(bundle).predict(as_table(time_s, value))["value"][cut:]
        counts.append(raised(score, time_s[cut:], np.zeros(len(score), dtype=int), DAY_S)[0].sum())
    assert 0.3 * 12 < sum(counts) < 2.0 * 12


def test_a_change_of_the_future_changes_no_score_before_it() -> None:
    scorer, time_s, value = learnt()
    later = len(value) - 300
    changed = value.copy()
    changed[later:] += 1000.0 * np.random.default_rng(4).normal(size=300)
    before = scorer.predict(as_table(time_s, value))["value"]
    after = scorer.predict(as_table(time_s, changed))["value"]
    np.testing.assert_array_equal(before[:later], after[:later])
    assert (after[later:] > before[later:]).mean() > 0.9


def test_a_level_that_creeps_away_is_found_by_a_long_window_and_a_jump_by_the_row() -> None:
    scorer, time_s, value = learnt()
    begin = len(value) - 192
    crept = value.copy()
    crept[begin:] -= np.linspace(0, 6, 192)
    jumped = value.copy()
    jumped[begin] += 12.0
    assert np.nanmax(scorer.predict(as_table(time_s, value))["value"][begin:]) < 1.0
    crept_table = as_table(time_s, crept)
    over = np.flatnonzero(scorer.predict(crept_table)["value"] > 1)
    over = over[over >= begin]
    reason = json.loads(scorer.reasons(crept_table, 1)[over[0]])[0]
    assert reason["feature"] in ("temp_c over 8 h", "temp_c over 24 h")
    assert reason["value"] < reason["expected"]
    assert reason["contribution"] > 1
    told = json.loads(scorer.reasons(as_table(time_s, jumped), 1)[begin])[0]
    assert told["feature"] == "temp_c"


def test_the_same_rows_in_another_order_and_beside_another_entity_get_the_same_scores() -> None:
    scorer, time_s, value = learnt()
    alone = scorer.predict(as_table(time_s, value))["value"]
    both = pa.concat_tables([as_table(time_s, value[::-1], "m2"), as_table(time_s, value)])
    order = np.random.default_rng(5).permutation(both.num_rows)
    mixed = np.empty(both.num_rows)
    mixed[order] = scorer.predict(both.take(pa.array(order)))["value"]
    np.testing.assert_allclose(mixed[len(value) :], alone)
    assert np.isnan(mixed[: len(value)]).all()  # nothing was learnt of m2


def test_no_rows_get_no_scores() -> None:
    scorer, time_s, value = learnt()
    assert len(scorer.predict(as_table(time_s[:0], value[:0]))["value"]) == 0


def test_a_window_waits_until_the_past_holds_it_ten_times() -> None:
    time_s, value = make_series(0.7)
    bundle, _ = learn_series(as_table(time_s, value), ["temp_c"], [1, 8, 24], per_week=1.0, hold_off_s=4 * 3600.0)
    assert [fit is not None for fit in bundle["entities"]["m1"]] == [True, True, True, False]


def rows_table(x: Any) -> pa.Table:
    named = {f"x{place}": column for place, column in enumerate(x.T)}
    return pa.table({"time_s": np.arange(len(x)) * 600.0, **named})


def learn(x: Any, **changes: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"per_week": 10.0, "hold_off_s": 0.0, "seed": 7} | changes
    names = [f"x{place}" for place in range(x.shape[1])]
    return learn_rows(rows_table(x), names, np.zeros(len(x), dtype=np.int64), **asked)[0]


def independent(rng: Any, rows: int = 2000) -> Any:
    return rng.standard_t(3, size=(rows, 4))


def together(rng: Any, rows: int = 2000) -> Any:
    common = rng.normal(size=(rows, 1))
    return common + 0.2 * rng.normal(size=(rows, 4))


def four_kinds(rng: Any, rows: int = 2000) -> Any:
    """The sign of the third number is the product of the others' signs: no two of them are correlated."""
    sign = rng.choice([-10.0, 10.0], (rows, 2))
    return np.column_stack([sign, sign.prod(axis=1) / 10.0]) + rng.normal(size=(rows, 3))


def single(rng: Any, rows: int = 2000) -> Any:
    return rng.normal(size=(rows, 1))


@pytest.mark.parametrize(("made", "method"), [(single, "largest"), (together, "joint"), (four_kinds, "neighbours")])
def test_the_method_is_the_one_that_finds_faults_in_such_rows(made: Any, method: str) -> None:
    assert learn(made(np.random.default_rng(6)))["method"] == method


def test_a_row_that_breaks_with_the_others_is_told_by_its_number() -> None:
    rng = np.random.default_rng(7)
    scorer = Scorer(json.loads(json.dumps(learn(together(rng)))))
    odd = together(rng, 3)
    odd[1] = [1.0, 1.0, -1.0, 1.0]  # each by itself is quite usual
    table = rows_table(odd)
    assert (scorer.predict(table)["value"] > 1).tolist() == [False, True, False]
    assert json.loads(scorer.reasons(table, 1)[1])[0]["feature"] == "x2"


def test_rows_later_alarm_about_as_often_as_the_budget_says() -> None:
    rng = np.random.default_rng(8)
    scorer = Scorer(learn(together(rng, 6000), per_week=10.0))
    weeks = 20_000 * 600.0 / WEEK_S
    found = (scorer.predict(rows_table(together(rng, 20_000)))["value"] > 1).sum() / weeks
    assert 4 < found < 25


def test_a_budget_beyond_one_alarm_a_block_is_no_leave_to_alarm_all_the_time() -> None:
    rng = np.random.default_rng(10)
    scorer = Scorer(learn(independent(rng, 6000), per_week=100.0, hold_off_s=DAY_S))
    over = scorer.predict(rows_table(independent(rng, 6000)))["value"] > 1
    assert 0 < over.mean() < 0.02


def test_a_number_that_never_moves_is_left_out_and_missing_ones_are_no_alarm() -> None:
    rng = np.random.default_rng(9)
    x = np.column_stack([independent(rng), np.ones(2000)])
    x[::7, 2] = np.nan
    bundle = learn(x)
    assert [part["variable"] for part in bundle["parts"]] == ["x0", "x1", "x2", "x3"]
    empty = np.full((1, 5), np.nan)
    assert Scorer(bundle).predict(rows_table(empty))["value"][0] < 0.5


def test_a_bundle_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps({"format": 99}), encoding="utf-8")
    with pytest.raises(ValueError, match="format 99"):
        Scorer.load(tmp_path)
