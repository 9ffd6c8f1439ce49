"""The soak finds what grows, and neither a saw tooth nor noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.installation import cron
from tests.soak.slopes import FEWEST, slope

DAYS = np.arange(40.0)


def _noise(seed: int, level: float) -> np.ndarray:
    return level * np.random.default_rng(seed).normal(size=DAYS.size)


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_is_found_below_noise_and_told_with_its_size(seed: int) -> None:
    found = slope(DAYS, 300 + 0.5 * DAYS + _noise(seed, 2.0), lags=3)
    assert found is not None
    assert found.grows
    assert found.low < 0.5 < found.high


def test_a_saw_tooth_of_maintenance_and_a_shrinking_figure_do_not_grow() -> None:
    for values in (100 + DAYS % 3, 100 - 0.1 * DAYS, np.full(DAYS.size, 0.1 + 0.2)):
        found = slope(DAYS, values, lags=3)
        assert found is not None
        assert not found.grows


def test_noise_is_seldom_taken_for_growth() -> None:
    grown = [found.grows for seed in range(200) if (found := slope(DAYS, 50 + _noise(seed, 1.0), lags=3))]
    assert np.mean(grown) < 0.1  # 2.5 % in the limit; Newey and West are known to be bold with few days


def test_few_days_are_not_judged_and_gaps_are_left_out() -> None:
    assert slope(DAYS[: FEWEST - 1], DAYS[: FEWEST - 1], lags=3) is None
    holed = np.where(DAYS % 2 == 0, np.nan, 7 + 2 * DAYS)
    found = slope(DAYS, holed, lags=3)
    assert found is not None
    assert (found.days, round(found.per_day, 6)) == (20, 2)


@given(scale=st.floats(1e-3, 1e6), shift=st.floats(-1e3, 1e3))
def test_a_slope_follows_its_unit(scale: float, shift: float) -> None:
    values = 3 + 0.2 * DAYS + _noise(1, 0.3)
    bare, scaled = slope(DAYS, values, lags=3), slope(DAYS, scale * (values + shift), lags=3)
    assert bare is not None
    assert scaled is not None
    assert scaled.per_day == pytest.approx(scale * bare.per_day, rel=1e-3)


def test_nights_follow_the_pace_in_whole_minutes() -> None:
    assert [cron(10, 60), cron(10, 20), cron(1, 20)] == ["*/10 * * * *", "*/3 * * * *", "*/1 * * * *"]
