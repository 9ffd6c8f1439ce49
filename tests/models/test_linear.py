"""The linear learner: the right tool where a table is small and the law is a product of powers."""

from __future__ import annotations

import numpy as np
import pytest

from models.estimators.base import Fold, Problem
from models.estimators.linear import Linear
from models.scoring.boosters import LinearBooster


@pytest.fixture
def law() -> Fold:
    """y = 3 a^2 / b with 3 % noise, over two decades; c has both signs and says nothing."""
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.uniform(0, 4, 60)), np.exp(rng.uniform(0, 2, 60))
    x = np.column_stack([a, b, rng.normal(size=60)]).astype(np.float32)
    y = 3 * a**2 / b * np.exp(rng.normal(0, 0.03, 60))
    return Fold(x[:40], y[:40], x[40:], y[40:])


def test_a_power_law_is_learnt_in_logarithms(law):
    error = {
        shape: Linear().fit(Problem("regression"), law, {"strength": 0.01, "shape": shape}, 1).curve[0]
        for shape in ("plain", "log")
    }
    assert error["log"] < 0.2 * error["plain"]


def test_a_value_that_has_no_logarithm_counts_as_missing(law, tmp_path):
    booster = Linear().fit(Problem("regression"), law, {"strength": 0.01, "shape": "log"}, 1).booster
    booster.save(tmp_path, "b")
    loaded = LinearBooster.load(tmp_path / "b.json", 1)
    rows = np.asarray([[0.0, 1.0, 0.0], [-2.0, 1.0, 0.0], [np.nan, 1.0, 0.0]], dtype=np.float32)
    first, second, third = loaded.predict(rows)
    assert first == second == third > 0


def test_a_target_with_negative_values_keeps_its_own_scale(law):
    fold = Fold(law.x, law.y - 50.0, law.x_valid, law.y_valid)
    booster = Linear().fit(Problem("regression"), fold, {"strength": 0.01, "shape": "log"}, 1).booster
    assert booster.predict(law.x).min() < 0
