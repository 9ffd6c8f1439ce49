"""Several good trials that answer together: their mean, in predictions, in reasons and out of fold."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.context import ModelContext
from models.estimators.base import Fold, Problem
from models.estimators.choose import candidates
from models.estimators.linear import Linear
from models.fitting import fit
from models.prepare import prepare
from models.scoring.runtime import Scorer
from models.spec import Search
from models.tuning.search import out_of_fold, search
from pipelines.lake.home import Home


def _folds() -> list[Fold]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 3)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + rng.normal(0, 0.5, 900) > 0.3).astype(float)
    return [Fold(x[:600], y[:600], x[600:], y[600:]), Fold(x[300:], y[300:], x[:300], y[:300])]


def test_the_best_trials_of_different_parameters_stay_and_their_mean_is_what_is_seen_out_of_fold():
    problem, folds = Problem("binary", 2), _folds()
    learners = candidates(["lightgbm", "linear"], problem, 600, 3)
    start = {"library": "linear", "linear_strength": 10.0, "linear_shape": "plain"}
    again = [start, start, start | {"linear_strength": 20.0}]
    budget = Search(members=4, max_rounds=30, early_stopping_rounds=10)
    found = search(learners, problem, folds, budget, trials=10, first=again)
    done = sorted({trial.value for trial in found.trials if trial.state == "COMPLETE"})
    assert [member.value for member in found.members] == done[:4]
    seen = out_of_fold(found, folds, [np.arange(600, 900), np.arange(300)], 900)
    each = [member.fits[1].booster.predict(folds[1].x_valid) for member in found.members]
    np.testing.assert_allclose(seen[:300], np.mean(each, axis=0))
    assert np.isnan(seen[300:600]).all()


@pytest.mark.parametrize("task", ["binary", "regression", "quantile", "multiclass"])
def test_predictions_and_reasons_are_the_members_mean_after_loading_too(task, table_file, cells, solution, tmp_path):
    ctx = ModelContext(Home(tmp_path), n_threads=1)
    spec = solution(table_file(cells(600)), task, search={"trials": 6, "members": 3, "max_rounds": 20})
    fitted = fit(spec, ctx, prepare(spec, ctx))
    fitted.save(tmp_path / "bundle")
    bundle = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    per_member = 3 if task == "quantile" else 1
    assert len(bundle["boosters"]) == 3 * per_member
    assert set(bundle["libraries"]) == {member.estimator.library for member in fitted.found.members}
    alone = []
    for place in range(0, 3 * per_member, per_member):
        one = bundle | {"boosters": bundle["boosters"][place : place + per_member]}
        (tmp_path / "bundle" / "bundle.json").write_text(json.dumps(one))
        alone.append(Scorer.load(tmp_path / "bundle"))
    (tmp_path / "bundle" / "bundle.json").write_text(json.dumps(bundle))
    loaded = Scorer.load(tmp_path / "bundle")
    x = loaded.matrix(pq.read_table(spec.table))
    mean = np.mean([each.raw(x) for each in alone], axis=0)
    np.testing.assert_allclose(loaded.raw(x), mean, rtol=1e-6)
    np.testing.assert_allclose(fitted.scorer.raw(x), mean, rtol=1e-6)
    assert np.ptp([each.raw(x) for each in alone], axis=0).max() > 0, "the members differ"
    if task != "multiclass":  # there each explains the class that it decides for itself
        parts = np.mean([each.contributions(x[:50]) for each in alone], axis=0)
        np.testing.assert_allclose(loaded.contributions(x[:50]), parts, rtol=1e-5, atol=1e-8)
    assert len(json.loads(loaded.reasons(x[:1], 3)[0])) == 3


def test_reasons_of_a_model_in_logarithms_add_up_in_the_targets_unit():
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal(size=(60, 2))).astype(np.float32)
    problem, fold = Problem("regression"), Fold(x, 100 * x[:, 0] ** 2 / x[:, 1])
    booster = Linear().fit(problem, fold, {"strength": 0.1, "shape": "log"}, 1).booster
    rest = booster.predict(x) - booster.contributions(x).sum(axis=1)
    assert np.ptp(rest) < 1e-6 * rest.mean()
    shown = booster.contributions(x)
    assert np.abs(shown.sum(axis=1)).max() > 50


def test_costs_set_the_threshold_unless_the_metric_is_f1(table_file, cells, solution, tmp_path):
    ctx = ModelContext(Home(tmp_path), n_threads=1)
    file = table_file(cells(600))
    costs = {"false_positive": 1.0, "false_negative": 30.0}

    def threshold(**changes):
        spec = solution(file, "binary", search={"trials": 1, "max_rounds": 20}, **changes)
        return fit(spec, ctx, prepare(spec, ctx)).scorer.bundle["threshold"]

    plain = threshold()
    assert threshold(costs=costs) < plain
    assert threshold(costs=costs, metric="f1") == plain
