"""Features that the family builds: found where the cause lies in two columns at once, and carried by the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.drift.monitor import monitor
from models.estimators.base import Fold, Problem
from models.estimators.choose import bins
from models.estimators.lightgbm import LightGBM
from models.features.built import choose_built
from models.gates.judge import judge
from models.registry.aliases import promote
from models.scoring.runtime import Scorer
from models.scoring.score import score
from models.train import train

pytestmark = pytest.mark.slow


def _machines(rows: int = 3000) -> dict[str, object]:
    """Failures where the power, torque by speed, leaves its range."""
    rng = np.random.default_rng(1)
    torque, speed, wear = rng.normal(40, 10, rows), rng.normal(1500, 180, rows), rng.uniform(0, 250, rows)
    power = torque * speed
    seen = power + rng.normal(0, 0.3 * power.std(), rows)  # no law without noise: the gate would suspect a leak
    return {
        "cell_id": np.asarray([f"M{number:06d}" for number in range(rows)]),
        "torque_n_m": torque,
        "speed_rpm": speed,
        "wear_min": wear,
        "temperature_c": rng.normal(25, 2, rows),
        "is_premium": np.abs(seen - power.mean()) < 1.5 * power.std(),
    }


def _spec(solution, file: str, *, build: bool):
    return solution(
        file,
        "binary",
        features={"build": build},
        target={"column": "is_premium", "positive": False},
        split={"folds": 3},
        search={"trials": 3, "refit_trials": 1, "max_rounds": 80, "early_stopping_rounds": 10},
    )


def test_a_cause_in_a_product_is_found_and_travels_with_the_model(ctx, table_file, solution, tmp_path):
    file = table_file(_machines())
    plain = train(_spec(solution, file, build=False), ctx)
    spec = _spec(solution, file, build=True)
    trained = train(spec, ctx)
    built = [each for each in trained.fitted.scorer.bundle["features"] if each["kind"] == "built"]
    assert ("x", {"torque_n_m", "speed_rpm"}) in [(each["op"], set(each["of"])) for each in built]
    assert trained.metrics["average_precision"].value > plain.metrics["average_precision"].value

    trained.fitted.save(tmp_path / "bundle")
    loaded = Scorer.load(tmp_path / "bundle")
    table = pq.read_table(file)
    np.testing.assert_allclose(loaded.predict(table)["value"], trained.fitted.scorer.predict(table)["value"])

    verdict = judge(spec, ctx, trained)
    assert promote(spec, ctx, verdict).alias == "champion"
    assert score(spec, ctx).rows == 3000
    assert monitor(spec, replace(ctx, mode="refit")) is not None


def _folds(x, y):
    rows = np.arange(len(y)) % 3
    return [Fold(x[rows != part], y[rows != part], x[rows == part], y[rows == part]) for part in range(3)]


def test_a_limit_on_a_product_is_found_and_nothing_that_ranks_as_a_plain_column_does():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.uniform(1, 70, 2400), rng.uniform(1, 250, 2400), rng.normal(3e4, 1e3, 2400)])
    x = x.astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 11_000).astype(float)
    names = ["torque_n_m", "wear_min", "speed_rph"]
    features = [{"name": name, "kind": "number"} for name in names]
    built = choose_built(Problem("binary", 2), features, _folds(x, y))
    assert (built[0]["op"], set(built[0]["of"])) == ("x", {"torque_n_m", "wear_min"})
    for each in built:
        a, b = (x[:, names.index(name)].astype(float) for name in each["of"])
        ranks = np.argsort(np.argsort({"x": a * b, "/": a / b, "-": a - b}[each["op"]]))
        assert max(abs(np.corrcoef(ranks, np.argsort(np.argsort(column)))[0, 1]) for column in x.T) < 0.98


def test_a_limit_among_the_outermost_values_is_placed_within_a_few_rows():
    x = np.random.default_rng(0).uniform(size=(8000, 1)).astype(np.float32)
    y = (x[:, 0] > 0.97).astype(float)
    params = {"learning_rate": 0.1, "num_leaves": 4, "min_data_in_leaf": 5}

    def wrong(max_bin):
        booster = LightGBM().fit(Problem("binary", 2, max_bin=max_bin), Fold(x, y), params, 40).booster
        return int(((booster.predict(x) > 0.5) != y).sum())

    assert wrong(bins(8000, 1)) <= 1 < 3 < wrong(255)
    assert bins(8000, 49) == bins(8000, 500) == 255, "a wide table's fits must not become slower"
    assert bins(50_000, 3) < 255


def test_a_ratio_without_value_counts_as_missing(ctx, table_file, solution):
    columns = _machines(1000)
    columns["speed_rpm"] = np.where(np.arange(1000) % 10 == 0, 0.0, columns["speed_rpm"])
    file = table_file(columns)
    scorer = train(_spec(solution, file, build=True), ctx).fitted.scorer
    assert not np.isinf(scorer.matrix(pq.read_table(file))).any()
    assert np.isfinite(scorer.predict(pq.read_table(file))["value"]).all()
