"""Figures against independent computations: scikit-learn, brute force, simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from models.evaluation.baselines import naive_predictions
from models.evaluation.bootstrap import metric_interval, paired_mean
from models.evaluation.calibration import calibration_error, calibration_noise, fit_calibration
from models.evaluation.conformal import TAIL_RATES, fit_interval, tail_width
from models.evaluation.costs import choose_threshold
from models.evaluation.metrics import average_precision, roc_auc, task_metrics
from models.scoring.runtime import calibrate
from models.spec import Costs, PredictiveSpec


def _spec(task, **changes):
    return PredictiveSpec(
        stage="a", slug="b", question="?", table="t.csv", keys=["k"], target={"column": "y"}, task=task, **changes
    )


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_ranking_metrics_agree_with_scikit_learn(seed, weighted):
    rng = np.random.default_rng(seed)
    y = (rng.random(120) < 0.3).astype(float)
    y[:2] = (0, 1)
    score = np.round(rng.random(120), 1)  # many ties
    weight = rng.integers(0, 4, 120).astype(float) if weighted else np.ones(120)
    weight[:2] = 1
    assert roc_auc(y, score)(weight) == pytest.approx(reference.roc_auc_score(y, score, sample_weight=weight))
    assert average_precision(y, score)(weight) == pytest.approx(
        reference.average_precision_score(y, score, sample_weight=weight)
    )


def test_a_solution_may_name_each_metric_of_its_task_and_no_other():
    y, middle = np.asarray([0.0, 1.0, 1.0, 0.0]), np.asarray([0.1, 0.8, 0.4, 0.3])
    names = np.asarray(["no", "yes", "yes", "no"], dtype=object)
    values = {"low": middle - 1, "high": middle + 1}
    prices = {"false_negative": 1.0}
    for task, predicted, finished, costs in (
        ("binary", middle, {"class": names}, {"costs": prices}),
        ("binary", middle, {"class": names}, {}),
        ("multiclass", np.column_stack([1 - middle, middle]), {"class": names}, {"costs": {"matrix": {"no": prices}}}),
        ("multiclass", np.column_stack([1 - middle, middle]), {"class": names}, {}),
        ("regression", middle, values, {}),
        ("quantile", np.column_stack([middle - 1, middle, middle + 1]), values, {}),
    ):
        spec = _spec(task, **costs)
        assert set(task_metrics(spec, ["no", "yes"], y, predicted, finished)) == set(spec.metrics)
        for name in spec.metrics:
            assert _spec(task, metric=name, **costs).primary_metric == name


def test_task_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    ones = np.ones(300)
    y = rng.integers(0, 3, 300).astype(float)
    p = rng.dirichlet(np.ones(3), 300)
    names = np.asarray(["a", "b", "c"], dtype=object)
    found = task_metrics(_spec("multiclass"), list(names), y, p, {"class": names[p.argmax(axis=1)]})
    assert found["macro_f1"](ones) == pytest.approx(reference.f1_score(y, p.argmax(axis=1), average="macro"))
    assert found["accuracy"](ones) == pytest.approx(reference.accuracy_score(y, p.argmax(axis=1)))

    value = y + rng.normal(0, 1, 300)
    found = task_metrics(_spec("regression"), [], y, value, {"low": value - 1, "high": value + 1})
    assert found["rmse"](ones) == pytest.approx(reference.root_mean_squared_error(y, value))
    assert found["r2"](ones) == pytest.approx(reference.r2_score(y, value))
    assert found["coverage"](ones) == pytest.approx(np.mean(np.abs(y - value) <= 1))

    event = (y == 2).astype(float)
    decided = np.asarray(["no", "yes"], dtype=object)[(p[:, 2] > 0.5).astype(int)]
    found = task_metrics(_spec("binary"), ["no", "yes"], event, p[:, 2], {"class": decided})
    assert found["f1"](ones) == pytest.approx(reference.f1_score(event, p[:, 2] > 0.5))
    assert found["brier"](ones) == pytest.approx(reference.brier_score_loss(event, p[:, 2]))


def test_paired_intervals_hold_their_level_with_lots():
    hits, wrong_if_rows_were_independent = 0, 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        lot = np.repeat(np.arange(15), 20)
        gain = rng.normal(0, 1, 300) + rng.normal(0, 1, 15)[lot]
        low, high = paired_mean(np.zeros(300), gain, lot, seed).interval
        hits += low <= 0 <= high
        wrong_if_rows_were_independent += abs(gain.mean()) <= 1.96 * gain.std() / np.sqrt(300)
    assert 0.90 <= hits / 120 <= 0.99
    assert wrong_if_rows_were_independent / 120 < 0.6


def test_an_interval_of_a_metric_covers_it():
    rng = np.random.default_rng(1)
    error = rng.normal(0, 2, 900) ** 2
    figure = metric_interval(lambda w: float(np.sqrt(error @ w / w.sum())), np.arange(900) // 9)
    assert figure.low < 2 < figure.high
    assert figure.high - figure.low < 0.5


@pytest.mark.parametrize(("events", "kind"), [(100, "platt"), (2000, "isotonic")])
def test_calibration_mends_what_is_bent(events, kind):
    rng = np.random.default_rng(2)
    n = events * 5
    truth = rng.beta(1, 4, n)
    y = (rng.random(n) < truth).astype(float)
    bent = truth**2.5
    found = fit_calibration("binary", bent, y)
    assert found["kind"] == kind
    fresh = rng.beta(1, 4, 20_000)
    event = (rng.random(20_000) < fresh).astype(float)
    before, after = calibration_error(fresh**2.5, event), calibration_error(calibrate(fresh**2.5, found), event)
    assert before > 0.08
    assert after < 0.03
    ranks = calibrate(np.sort(fresh**2.5), found)
    assert (np.diff(ranks) >= 0).all(), "order is kept"


def test_temperature_mends_overconfident_classes():
    rng = np.random.default_rng(3)
    margin = rng.normal(0, 1.5, (4000, 3))
    p = np.exp(margin) / np.exp(margin).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1).astype(float)
    sharp = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert fit_calibration("multiclass", sharp, y)["temperature"] == pytest.approx(3, rel=0.1)


def test_chance_alone_gives_the_noise_of_calibration():
    rng = np.random.default_rng(4)
    p = rng.random(300)
    within = [calibration_error(p, (rng.random(300) < p).astype(float)) <= calibration_noise(p) for _ in range(200)]
    assert 0.9 <= np.mean(within) <= 0.99


@pytest.mark.parametrize("between", [0.0, 1.0])
def test_conformal_intervals_hold_on_new_lots(between):
    covered = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        lot = np.repeat(np.arange(40), 25)
        noise = rng.normal(0, 1, 1000) + rng.normal(0, between, 40)[lot]
        found = fit_interval("regression", np.zeros(1000), noise, lot, 0.9)
        fresh = rng.normal(0, 1, 4000) + rng.normal(0, between, 400)[np.repeat(np.arange(400), 10)]
        covered.append(np.mean(np.abs(fresh) <= found["above"]))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)


def test_a_bound_is_left_by_no_more_than_its_rate_on_its_own_side():
    """Labels lie skewed about their prediction: what holds above says nothing of below."""
    rng = np.random.default_rng(11)
    error, fresh = rng.exponential(1, 8000), rng.exponential(1, 40_000)
    interval = fit_interval("regression", np.zeros(8000), error, np.arange(8000), 0.9)
    widths = [tail_width(interval, rate, "above") for rate in TAIL_RATES]
    assert widths == sorted(widths)
    for rate, width in zip(TAIL_RATES[:4], widths[:4], strict=True):
        assert np.mean(fresh > width) == pytest.approx(rate, rel=0.25)
    assert tail_width(interval, 0.01, "below") < 0 < tail_width(interval, 0.01, "above")
    assert tail_width(interval, 0.03, "above") == widths[1], "of the rates that are kept, the next smaller one"
    assert tail_width(interval, TAIL_RATES[-1] / 2, "above") is None
    assert tail_width({"below": 1.0, "above": 1.0}, 0.01, "above") is None


def test_too_few_rows_for_a_rate_give_the_largest_error():
    error = np.random.default_rng(3).normal(0, 1, 60)
    interval = fit_interval("regression", np.zeros(60), error, np.arange(60), 0.9)
    assert tail_width(interval, 0.001, "above") == error.max()


def test_conformal_quantiles_are_widened_or_narrowed():
    rng = np.random.default_rng(5)
    y = rng.normal(0, 1, 2000)
    narrow = np.tile([-0.5, 0.0, 0.5], (2000, 1))
    wide = np.tile([-5.0, 0.0, 5.0], (2000, 1))
    groups = np.arange(2000)
    assert fit_interval("quantile", narrow, y, groups, 0.9)["above"] == pytest.approx(1.145, abs=0.08)
    assert fit_interval("quantile", wide, y, groups, 0.9)["above"] < -3


@pytest.mark.slow
@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_no_threshold_is_expected_to_be_cheaper(seed):
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(60), 2)
    costs = Costs(
        false_positive=float(rng.integers(1, 5)), false_negative=float(rng.integers(1, 20)), true_positive=0.5
    )
    chosen = choose_threshold(p, np.zeros(60), costs)

    def expected_price(threshold):
        flagged = costs.true_positive * p + costs.false_positive * (1 - p)
        return np.where(p >= threshold, flagged, costs.false_negative * p).sum()

    cheapest = min(expected_price(threshold) for threshold in [*np.unique(p), 1.01])
    assert expected_price(chosen) == pytest.approx(cheapest, abs=1e-9)


@pytest.mark.slow
@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_threshold_without_costs_has_the_best_f1_of_its_neighbourhood(seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.01, 0.99, 60)
    y = (rng.random(60) < p).astype(float)
    y[0] = 1.0
    z = np.log(p / (1 - p))

    def about(at):
        near = at + 0.05 * np.arange(-10, 11)
        flagged = z >= near[:, None]
        return (2 * (flagged & (y == 1)).sum(axis=1) / (flagged.sum(axis=1) + y.sum())).mean()

    chosen = choose_threshold(p, y, None)
    best = max(about(at) for at in np.arange(z.min(), z.max(), 0.05))
    assert about(np.log(chosen / (1 - chosen))) == pytest.approx(best, abs=0.02)


def test_where_events_stand_apart_f1_is_perfect_and_the_threshold_in_the_gap():
    p = np.concatenate([np.linspace(0.001, 0.02, 900), np.linspace(0.9, 0.99, 30)])
    y = (p > 0.5).astype(float)
    chosen = choose_threshold(p, y, None)
    assert 0.1 < chosen < 0.7
    assert choose_threshold(p, np.zeros(930), None) == 1.0


def test_baselines_know_only_what_was_known():
    rng = np.random.default_rng(6)
    n = 200
    time = np.sort(rng.integers(0, 1000, n)).astype("datetime64[us]")
    known = time + rng.integers(1, 300, n).astype("timedelta64[us]")
    group = rng.integers(0, 8, n)
    y = rng.normal(0, 1, n)
    y[rng.random(n) < 0.1] = np.nan
    ask, train = np.arange(120, 200), np.flatnonzero(~np.isnan(y[:120]))
    found = naive_predictions(
        _spec("regression"),
        y,
        train,
        ask,
        group=group,
        has_group=True,
        time=time,
        known=known,
        column=None,
        n_classes=0,
    )
    has = ~np.isnan(y)
    for place, row in enumerate(ask):
        seen = has & (known < time[row])
        lot = seen & (group == group[row])
        expected = y[lot].mean() if lot.any() else y[seen].mean() if seen.any() else y[train].mean()
        assert found["lot_mean"][place] == pytest.approx(expected)
        if seen.any():
            newest = known[seen].max()
            assert found["last_value"][place] in y[seen & (known == newest)]
    np.testing.assert_allclose(found["prior"], y[train].mean())


def test_a_prediction_in_the_table_is_a_baseline_too():
    y = np.arange(10.0)
    column = np.where(np.arange(10) == 7, np.nan, 3.0)
    found = naive_predictions(
        _spec("regression"),
        y,
        np.arange(5),
        np.arange(5, 10),
        group=np.arange(10),
        has_group=False,
        time=None,
        known=None,
        column=column,
        n_classes=0,
    )
    assert found["table"].tolist() == [3.0, 3.0, 2.0, 3.0, 3.0]
    assert set(found) == {"prior", "table"}
