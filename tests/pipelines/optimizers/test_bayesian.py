"""Trials in a learnt order: oracles of the expected improvement, limits that are never crossed, and a known optimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from pipelines.optimizers.bayesian import (
    Kept,
    Setting,
    best_so_far,
    expected_improvement,
    least_trials,
    next_trials,
    recommended,
    settable,
    spread_out,
    unit,
)
from pipelines.optimizers.runs import Floats

VARIED = (Setting(0.0, 10.0, 0.5), Setting(-1.0, 1.0, 0.1))


def result(at: Floats) -> Floats:
    """Best at (7, 0.2), where it is 5."""
    found: Floats = 5 - 0.2 * (at[:, 0] - 7) ** 2 - 6 * (at[:, 1] - 0.2) ** 2
    return found


def limited(at: Floats) -> Floats:
    """Kept (at most 6) only up to the first setting 6: the best that is left is (6, 0.2) with 4.8."""
    found: Floats = at[:, 0].copy()
    return found


@given(mean=st.floats(-3, 3), spread=st.floats(0.05, 3), best=st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_the_expected_improvement_is_that_of_a_normal_prediction(mean: float, spread: float, best: float) -> None:
    by_hand, _ = integrate.quad(
        lambda value: max(value - best, 0.0) * stats.norm.pdf(value, mean, spread),
        mean - 9 * spread,
        mean + 9 * spread,
        points=[best] if abs(best - mean) < 9 * spread else None,
    )
    found = expected_improvement(np.array([mean]), np.array([spread]), best)[0]
    assert found == pytest.approx(by_hand, abs=1e-6)


def test_what_is_sure_improves_by_what_it_is_better() -> None:
    found = expected_improvement(np.array([1.0, 3.0]), np.zeros(2), 2.0)
    assert found.tolist() == [0.0, 1.0]


@given(count=st.integers(1, 20), seed=st.integers(0, 99), skip=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_settings_are_inside_and_on_their_steps(count: int, seed: int, skip: int) -> None:
    found = spread_out(VARIED, count, seed, skip)
    assert found.shape == (count, 2)
    assert (found == spread_out(VARIED, skip + count, seed)[skip:]).all()
    for place, each in enumerate(VARIED):
        assert ((found[:, place] >= each.low) & (found[:, place] <= each.high)).all()
        steps = (found[:, place] - each.low) / each.step
        assert np.abs(steps - np.round(steps)).max() < 1e-9
    assert settable(VARIED, unit(VARIED, found)) == pytest.approx(found)


def test_too_few_trials_are_filled_up_first() -> None:
    done = spread_out(VARIED, 3, 0)
    found = next_trials(VARIED, done, result(done), [], is_higher_better=True, count=2, seed=0)
    assert np.isnan(found.improvement).all()
    assert (found.settings == spread_out(VARIED, 5, 0)[3:]).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_best_is_found_within_its_limits_whichever_way_is_better(sign: float) -> None:
    rng = np.random.default_rng(4)
    done = spread_out(VARIED, least_trials(2), 3)
    for _ in range(3):
        keep = [Kept(limited(done), high=6.2)]
        noisy = sign * result(done) + rng.normal(0, 0.02, len(done))
        found = next_trials(VARIED, done, noisy, keep, is_higher_better=sign > 0, count=3, seed=1)
        assert len(np.unique(np.vstack([done, found.settings]), axis=0)) == len(done) + 3
        done = np.vstack([done, found.settings])
    noisy = sign * result(done) + rng.normal(0, 0.02, len(done))
    keep = [Kept(limited(done), high=6.2)]
    chosen = done[recommended(VARIED, done, noisy, keep, is_higher_better=sign > 0)]
    assert limited(chosen[None])[0] <= 6.2
    assert result(chosen[None])[0] > 4.6


def test_a_trial_that_breaks_a_limit_is_never_the_best() -> None:
    values = np.array([1.0, 3.0, 2.0])
    assert best_so_far(values, [Kept(np.array([0.0, 9.0, 0.0]), high=5.0)], is_higher_better=True) == 2
    assert best_so_far(values, [Kept(np.array([9.0, 9.0, 9.0]), high=5.0)], is_higher_better=True) == -1
    assert best_so_far(values, [], is_higher_better=False) == 0


def test_one_lucky_measurement_is_not_recommended() -> None:
    done = np.vstack([spread_out(VARIED, 40, 5), [[5.0, -0.2]]])
    measured = result(done) + np.random.default_rng(0).normal(0, 0.3, len(done))
    lucky = len(done) - 1
    measured[lucky] = 5.6  # truly 3.24
    assert best_so_far(measured, [], is_higher_better=True) == lucky
    place = recommended(VARIED, done, measured, [], is_higher_better=True)
    assert result(done[place : place + 1])[0] > 4


def test_only_what_keeps_its_limits_is_recommended_and_is_to_be_beaten() -> None:
    done = spread_out(VARIED, 30, 5)
    measured = result(done)
    keep = [Kept(limited(done), high=3.0)]
    place = recommended(VARIED, done, measured, keep, is_higher_better=True)
    assert limited(done[place : place + 1])[0] <= 3.0
    found = next_trials(VARIED, done, measured, keep, is_higher_better=True, count=1, seed=2)
    # Best within the limit is 1.8 at (3, 0.2), far below what lies beyond it: that is what is left to be gained.
    best = measured[best_so_far(measured, keep, is_higher_better=True)]
    assert found.improvement[0] == pytest.approx(result(found.settings)[0] - best, abs=0.3)
    assert found.improvement[0] > 0.1
