"""Features that the family builds: found where the cause lies in two columns at once, and carried by the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.drift.monitor import monitor
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


def test_a_ratio_without_value_counts_as_missing(ctx, table_file, solution):
    columns = _machines(1000)
    columns["speed_rpm"] = np.where(np.arange(1000) % 10 == 0, 0.0, columns["speed_rpm"])
    file = table_file(columns)
    scorer = train(_spec(solution, file, build=True), ctx).fitted.scorer
    assert not np.isinf(scorer.matrix(pq.read_table(file))).any()
    assert np.isfinite(scorer.predict(pq.read_table(file))["value"]).all()
