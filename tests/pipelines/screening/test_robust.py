"""Extreme-value limits hold the rate that they promise, for few values and for many."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import median_abs_deviation

from pipelines.screening.robust import MAD_TO_SD, Side, extreme_limit


@pytest.mark.parametrize("side", ["above", "below", "both"])
@pytest.mark.parametrize(("n", "chance"), [(6, 0.05), (12, 0.01), (80, 0.02), (700, 0.05)])
def test_good_groups_pass_the_limit_as_often_as_said(n: int, chance: float, side: Side) -> None:
    values = np.random.default_rng(99).normal(3.0, 0.2, (20_000 if n < 100 else 2_000, n))
    away = (values - np.median(values, axis=1, keepdims=True)) / median_abs_deviation(
        values, axis=1, scale="normal"
    ).reshape(-1, 1)
    farthest = {"above": away.max(axis=1), "below": -away.min(axis=1), "both": np.abs(away).max(axis=1)}[side]
    found = float(np.mean(farthest > extreme_limit(n, chance, side)))
    error = 4 * np.sqrt(chance / len(values)) + 4 * np.sqrt(chance / 50_000)
    # Above 500 values the limit takes the MAD as known, which it is to some percent.
    assert found == pytest.approx(chance, abs=error + (0.4 * chance if n > 500 else 0))


def test_the_constant_is_that_of_the_normal_distribution() -> None:
    assert pytest.approx(1 / 0.6744897501960817, abs=1e-4) == MAD_TO_SD


def test_few_values_need_a_wider_limit_and_rarer_alarms_too() -> None:
    limits = [extreme_limit(n, 0.01) for n in (6, 8, 12, 20, 50)]
    assert limits == sorted(limits, reverse=True)
    assert extreme_limit(12, 0.001) > extreme_limit(12, 0.01) > extreme_limit(12, 0.1)
    assert extreme_limit(1000, 0.01) == pytest.approx(4.264, abs=0.01)


@pytest.mark.parametrize(
    ("n", "factor", "found"),
    [(12, 10, 0.81), (12, 4, 0.32), (12, 2, 0.05), (100, 10, 1.0), (100, 4, 0.67), (100, 2, 0.05)],
)
def test_what_a_screen_finds_of_a_cell_that_leaks_so_many_times_as_much(n: int, factor: float, found: float) -> None:
    values = np.random.default_rng(7).normal(0.0, 0.3, (8_000, n))
    values[:, 0] += np.log(factor)
    away = values[:, 0] - np.median(values, axis=1)
    share = np.mean(away / median_abs_deviation(values, axis=1, scale="normal") > extreme_limit(n, 0.01))
    assert share == pytest.approx(found, abs=0.02)
