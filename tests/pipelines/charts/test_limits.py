"""Phase I: limits by hand, cleaning that takes what is planted and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.charts.limits import individuals, means_and_deviations, means_and_ranges
from pipelines.control_plan.errors import CellworksError

CHARTS = {"I-MR": individuals, "X-bar/R": means_and_ranges, "X-bar/S": means_and_deviations}


def reference(seed, points=200, size=5):
    return np.random.default_rng(seed).normal(210.0, 0.6, (points, size))


def test_single_values_by_hand():
    values = np.tile([10.0, 12.0, 11.0, 13.0], 6)  # moving ranges 2, 1, 2, 3, 2, ...
    limits = individuals(values)
    mean_range = np.abs(np.diff(values)).mean()
    assert limits.centre == pytest.approx(11.5)
    assert limits.spread_centre == pytest.approx(mean_range)
    assert limits.upper - limits.centre == pytest.approx(2.66 * mean_range, rel=1e-3)
    assert (limits.spread_lower, limits.spread_upper) == pytest.approx((0, 3.267 * mean_range), rel=1e-3)
    assert (limits.size, limits.n, limits.removed, limits.is_stable) == (1, 24, (), True)


def test_subgroups_by_hand():
    values = reference(0)
    by_range, by_deviation = means_and_ranges(values, rounds=0), means_and_deviations(values, rounds=0)
    mean_range = np.ptp(values, axis=1).mean()
    mean_deviation = values.std(axis=1, ddof=1).mean()
    assert by_range.upper - by_range.centre == pytest.approx(0.577 * mean_range, rel=1e-3)
    assert by_range.spread_upper == pytest.approx(2.114 * mean_range, rel=1e-3)
    assert by_deviation.upper - by_deviation.centre == pytest.approx(1.427 * mean_deviation, rel=1e-3)
    assert by_deviation.spread_upper == pytest.approx(2.089 * mean_deviation, rel=1e-3)
    assert by_range.centre == by_deviation.centre == pytest.approx(values.mean())


def test_sigma_within_is_right_and_its_degrees_of_freedom_too():
    rng = np.random.default_rng(1)
    draws = {
        "I-MR": [individuals(rng.normal(size=100), rounds=0) for _ in range(400)],
        "X-bar/R": [means_and_ranges(rng.normal(size=(30, 5)), rounds=0) for _ in range(400)],
        "X-bar/S": [means_and_deviations(rng.normal(size=(30, 5)), rounds=0) for _ in range(400)],
    }
    for name, limits in draws.items():
        sigma = np.asarray([each.sigma for each in limits])
        assert sigma.mean() == pytest.approx(1.0, abs=0.02), name
        # A chi-square's root over f degrees of freedom has a variance of about 1 / 2f.
        assert 1 / (2 * sigma.var()) == pytest.approx(limits[0].degrees_of_freedom, rel=0.25), name


def test_sigma_within_does_not_see_a_centre_that_wanders():
    values = np.random.default_rng(2).normal(size=500) + np.repeat([0.0, 6.0], 250)
    assert values.std() > 3
    assert individuals(values, rounds=0).sigma == pytest.approx(1.0, abs=0.15)


def test_planted_outliers_are_left_out_and_nothing_else():
    values = reference(3)
    values[[20, 90]] += 8.0
    values[150, 0] -= 12.0
    for name in ("X-bar/R", "X-bar/S"):
        limits = CHARTS[name](values)
        assert (limits.removed, limits.n, limits.is_stable) == ((20, 90, 150), 197, True), name
    single = individuals(values[:, 1])
    assert (single.removed, single.is_stable) == ((20, 90), True)
    assert single.sigma == pytest.approx(0.6, rel=0.15)


def test_a_long_good_reference_loses_nothing():
    values = np.random.default_rng(4).normal(size=20_000)
    limits = individuals(values)
    assert (np.abs(values - limits.centre) > 3 * limits.sigma).sum() > 20
    assert (limits.removed, limits.is_stable) == ((), True)


def test_a_reference_that_would_lose_too_much_is_kept_whole_and_called_unstable():
    values = reference(5)
    values[::5] += 3.0
    limits = means_and_ranges(values)
    assert (limits.removed, limits.n, limits.is_stable) == ((), 200, False)


def test_rounds_are_bounded():
    values = np.random.default_rng(6).normal(size=300)
    values[[50, 100, 150]] = [1e6, 1e3, 20.0]
    assert individuals(values, rounds=1).removed == (50,)
    assert not individuals(values, rounds=1).is_stable
    assert individuals(values).removed == (50, 100, 150)


def test_no_moving_range_reaches_over_a_stop_or_a_gap():
    values = np.where(np.arange(60) < 30, 0.0, 1000.0) + np.tile([0.0, 1.0], 30)
    begins = np.arange(60) == 30
    assert individuals(values, begins, rounds=0).spread_centre == pytest.approx(1.0)
    values[30] = np.nan
    assert individuals(values, rounds=0).spread_centre == pytest.approx(1.0)
    assert individuals(values, rounds=0).n == 59


def test_a_subgroup_with_a_missing_value_is_passed_over():
    values = reference(7)
    values[10, 3] = np.nan
    assert means_and_ranges(values).n == 199
    assert means_and_ranges(values).sigma == means_and_ranges(np.delete(values, 10, axis=0)).sigma


@given(
    seed=st.integers(0, 99), offset=st.floats(-1e3, 1e3), factor=st.floats(0.1, 100), name=st.sampled_from(list(CHARTS))
)
def test_limits_move_with_the_unit(seed, offset, factor, name):
    values = np.random.default_rng(seed).normal(size=(40, 4))
    values[7] += 9.0
    values = values[:, 0] if name == "I-MR" else values
    one, other = CHARTS[name](values), CHARTS[name](factor * values + offset)
    assert one.removed == other.removed
    assert other.centre == pytest.approx(factor * one.centre + offset, rel=1e-9, abs=1e-9)
    assert other.sigma == pytest.approx(factor * one.sigma)
    assert other.upper == pytest.approx(factor * one.upper + offset, rel=1e-9, abs=1e-9)
    assert other.degrees_of_freedom == pytest.approx(one.degrees_of_freedom)


def test_too_few_points_are_refused():
    with pytest.raises(CellworksError, match="too few points"):
        individuals(np.arange(19.0))
    with pytest.raises(CellworksError, match="too few points"):
        means_and_ranges(np.full((30, 3), np.nan))
    assert individuals(np.arange(20.0)).n == 20
