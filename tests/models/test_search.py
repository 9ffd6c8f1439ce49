"""The search: both libraries are tried, hopeless trials end early, fits stop early, threads and signs are kept."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.estimators.base import Fold, Problem, loss
from models.estimators.choose import candidates, estimator
from models.registry.client import open_client
from models.spec import Search
from models.train import train
from models.tuning.search import search

NATIVE = ("lightgbm", "xgboost")

# Blocks pandas before any library of learning looks for it; from DuckDB's Arrow to a fitted model without it.
WITHOUT_PANDAS = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "pandas":
            raise ImportError("there is no pandas here")
sys.meta_path.insert(0, Blocked())
import duckdb, numpy as np
from models.estimators.base import Fold, Problem
from models.estimators.choose import candidates
from models.scoring.runtime import matrix
from models.spec import Search
from models.tuning.search import search
table = duckdb.sql(
    "SELECT CAST(random() AS FLOAT) AS a, CAST(random() AS FLOAT) AS b, chr(65 + CAST(i % 3 AS INTEGER)) AS c "
    "FROM range(400) t(i)"
).to_arrow_table()
features = [{"name": "a", "kind": "number"}, {"name": "b", "kind": "number"},
            {"name": "c", "kind": "category", "book": ["A", "B", "C"]}]
x = matrix(table, features)
y = (x[:, 0] > 0.5).astype(float)
problem = Problem("binary", 2, categories=(2,))
fold = Fold(x[:300], y[:300], x[300:], y[300:])
learners = candidates(["lightgbm", "xgboost"], problem, 400, 3)
found = search(learners, problem, [fold], Search(max_rounds=20, early_stopping_rounds=5), trials=2)
print(sorted({trial.library for trial in found.trials}), "pandas" in sys.modules)
"""


def _fold(rows: int = 600, noise: float = 0.5, seed: int = 0) -> Fold:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2 * rows, 4)).astype(np.float32)
    y = ((x[:, 0] + x[:, 1] * (x[:, 2] > 0) + rng.normal(0, noise, 2 * rows)) > 0.7).astype(float)
    return Fold(x[:rows], y[:rows], x[rows:], y[rows:])


@pytest.mark.slow
def test_both_libraries_are_tried_and_the_table_says_which_won(ctx, table_file, cells, solution):
    trained = train(solution(table_file(cells(800)), "binary", search={"trials": 4, "max_rounds": 40}), ctx)
    file = Path(open_client(ctx).download_artifacts(trained.run_id, "trials.json"))
    logged = json.loads(file.read_text())
    rows = [dict(zip(logged["columns"], row, strict=True)) for row in logged["data"]]
    assert len(rows) == trained.trials == 4
    assert set(NATIVE) <= {row["library"] for row in rows}
    best = min((row for row in rows if row["state"] == "COMPLETE"), key=lambda row: row["value"])
    assert best["library"] == trained.library
    assert open_client(ctx).get_run(trained.run_id).data.params["library"] == trained.library


@pytest.mark.slow
def test_each_trial_is_told_whether_pruned_or_not(ctx, table_file, cells, solution):
    told = []
    listening = replace(ctx, tell=lambda *heard: told.append(heard))
    trained = train(solution(table_file(cells(800)), "binary", search={"trials": 6, "max_rounds": 40}), listening)
    assert told == [("trials", done, trained.trials) for done in range(trained.trials + 1)]
    assert listening == ctx, "who listens makes no other context"


def test_hopeless_trials_are_pruned():
    problem, folds = Problem("binary", 2), [_fold(), _fold(seed=1)]
    learners = candidates(["lightgbm", "xgboost"], problem, 600, 4)
    found = search(learners, problem, folds, Search(max_rounds=80, early_stopping_rounds=80), trials=16)
    pruned = [trial for trial in found.trials if trial.state == "PRUNED"]
    assert pruned
    assert all(sum(trial.fold_rounds) < 160 for trial in pruned), "a pruned trial is spared some of its rounds"
    assert found.best.value == min(trial.value for trial in found.trials if trial.state == "COMPLETE")


def test_a_slow_learner_is_not_hopeless():
    problem, folds = Problem("binary", 2), [_fold(noise=1.0), _fold(noise=1.0, seed=1)]
    others = {"num_leaves": 8, "min_data_in_leaf": 20, "feature_fraction": 1.0, "bagging_fraction": 1.0, "lambda_l2": 1}
    rates = [0.2, 0.21, 0.22, 0.23, 0.03]
    first = [
        {"library": "lightgbm", "lgb_learning_rate": rate} | {f"lgb_{name}": value for name, value in others.items()}
        for rate in rates
    ]
    budget = Search(max_rounds=400, early_stopping_rounds=30)
    found = search(candidates(["lightgbm"], problem, 600, 4), problem, folds, budget, trials=5, first=first)
    assert [trial.params["lgb_learning_rate"] for trial in found.trials] == rates
    assert found.trials[-1].state == "COMPLETE"


def test_a_refit_on_other_rows_tries_another_point_and_the_same_rows_the_same():
    problem, folds = Problem("binary", 2), [_fold(noise=1.0)]
    learners, budget = candidates(["lightgbm"], problem, 600, 4), Search(max_rounds=10, early_stopping_rounds=5)
    known = search(learners, problem, folds, budget, trials=2).study_params

    def last(draw: int) -> dict[str, float | int]:
        return search(learners, problem, folds, budget, trials=2, first=[known], draw=draw).trials[-1].params

    assert last(600) == last(600) != last(601)


@pytest.mark.parametrize("library", NATIVE)
def test_a_fit_stops_early_and_keeps_its_best_round(library):
    fold, learner = _fold(noise=2.0), estimator(library)
    params = {"learning_rate": 0.3}
    fit = learner.fit(Problem("binary", 2), fold, params, 300, 15)
    assert fit.rounds + 15 == len(fit.curve) < 300
    reached = loss("binary", fold.y_valid, fit.booster.predict(fold.x_valid))
    assert reached == pytest.approx(min(fit.curve), rel=1e-5)
    assert fit.curve[-1] > min(fit.curve)


@pytest.mark.parametrize("library", NATIVE)
def test_threads_are_bounded(library):
    native = estimator(library).fit(Problem("binary", 2, n_threads=1), _fold(), {}, 5).booster.native
    said = native.params["num_threads"] if library == "lightgbm" else json.loads(native.save_config())
    if library == "xgboost":
        said = said["learner"]["generic_param"]["nthread"]
    assert int(said) == 1


@pytest.mark.parametrize("library", NATIVE)
@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_sign_of_the_plan_holds_everywhere(library, task):
    fold = _fold(noise=1.5)
    grid = np.tile(fold.x[:40], (30, 1))
    grid[:, 0] = np.repeat(np.linspace(-3, 3, 30), 40)

    def steps(monotone: tuple[int, ...]) -> np.ndarray:
        problem = Problem(task, 2, monotone=monotone)
        values = estimator(library).fit(problem, fold, {}, 60).booster.predict(grid)
        return np.diff(values.reshape(30, 40), axis=0)

    assert steps((1, 0, 0, 0)).min() >= -1e-7
    assert steps((-1, 0, 0, 0)).max() <= 1e-7
    assert steps(()).min() < -1e-3, "without the sign the noise shows"


@pytest.mark.parametrize("library", NATIVE)
def test_contributions_add_up_to_the_margin(library):
    fold = _fold()
    booster = estimator(library).fit(Problem("binary", 2), fold, {}, 30).booster
    p = booster.predict(fold.x_valid).astype(float)
    rest = np.log(p / (1 - p)) - booster.contributions(fold.x_valid).sum(axis=1)
    assert np.ptp(rest) < 1e-3, "what is left is the same for every row: the expected margin"


@pytest.mark.slow
def test_arrow_reaches_both_libraries_without_pandas():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PANDAS], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("['lightgbm', 'xgboost'] False")
