"""Profile control: what is learnt of a response, and moves that keep every limit whatever the profile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.optimizers.profile import MIN_RUNS, Bounds, Law, Prior, Rows, advise, learn

COUNT = 12
PRIOR = Prior(gain=0.03, width=1.2, uncertainty=0.5)


def bounds(**other: float) -> Bounds:
    usual = {"low": -60.0, "high": 60.0, "reach": np.full(COUNT, 6.0), "apart": 12.0, "total": 12.0, "most": 2,
             "resolution": 1.0}  # fmt: skip
    return Bounds(**(usual | other))  # type: ignore[arg-type]


def law(level: np.ndarray, **other: float) -> Law:
    return Law(PRIOR.response(COUNT), level, sigma=0.02, weight=0.1, **{"surprise": 0.0, **other})


def ask(found: Law, setpoint: np.ndarray, limits: Bounds):
    return advise(found, setpoint, limits, min_gain=0.02, outlier_sigma=5.0)


def test_a_response_sums_to_nothing_and_is_largest_at_the_actuator() -> None:
    response = PRIOR.response(COUNT)
    assert np.allclose(response.sum(axis=0), 0)
    assert (response.argmax(axis=0) == np.arange(COUNT)).all()


def test_the_bolt_that_made_the_bump_is_moved_back() -> None:
    advice = ask(law(4 * PRIOR.response(COUNT)[:, 7]), np.zeros(COUNT), bounds())
    assert advice.reason == "move"
    # Four um back is what undoes it; a whole step less only where the ridge holds it.
    assert advice.proposed[7] in (-4.0, -3.0)
    assert np.count_nonzero(advice.proposed) <= 2
    assert advice.spread[1] < 0.3 * advice.spread[0]


@given(
    st.lists(st.floats(-0.5, 0.5), min_size=COUNT, max_size=COUNT),
    st.lists(st.integers(-12, 12), min_size=COUNT, max_size=COUNT),
    st.integers(1, 4),
    st.floats(1, 20),
    st.lists(st.floats(0, 6), min_size=COUNT, max_size=COUNT),
)
@settings(max_examples=60, deadline=None)
def test_no_limit_is_crossed_and_no_advice_makes_it_worse(
    level: list[float], stood: list[int], most: int, total: float, reach: list[float]
) -> None:
    setpoint = np.array(stood, dtype=float)
    limits = bounds(most=most, total=total, reach=np.array(reach), low=-12.0, high=12.0)
    advice = ask(law(np.array(level)), setpoint, limits)
    size = np.abs(advice.proposed - setpoint)
    assert (size <= limits.reach + 1e-9).all()
    assert np.count_nonzero(size) <= most
    assert size.sum() <= total + 1e-9
    assert np.abs(advice.proposed).max() <= 12.0
    assert (np.abs(np.diff(advice.proposed)) <= np.maximum(12.0, np.abs(np.diff(setpoint))) + 1e-9).all()
    assert (advice.reason == "move") == bool(size.any())
    assert advice.spread[1] <= advice.spread[0] + 1e-12


def test_two_bolts_together_are_the_best_of_their_grid() -> None:
    level = np.r_[np.zeros(4), 0.3, 0.2, np.zeros(COUNT - 6)]
    advice = ask(
        law(level), np.zeros(COUNT), bounds(resolution=0.0, total=100.0, apart=100.0, reach=np.full(COUNT, 50))
    )
    one, other = np.flatnonzero(advice.proposed)
    steps = np.linspace(-20, 20, 161)
    moves = np.zeros((161, 161, COUNT))
    moves[:, :, one], moves[:, :, other] = steps[:, None], steps
    left = (level - level.mean()) + moves @ PRIOR.response(COUNT).T
    assert advice.spread[1] <= left.std(axis=2).min() * 1.001


@pytest.mark.parametrize(
    ("found", "limits", "reason"),
    [
        (None, bounds(), "too_few"),
        (law(np.zeros(COUNT)), bounds(), "on_target"),
        (law(4 * PRIOR.response(COUNT)[:, 7]), bounds(reach=np.zeros(COUNT)), "wait"),
        (law(4 * PRIOR.response(COUNT)[:, 7]), bounds(total=0.5), "at_limit"),
        (law(4 * PRIOR.response(COUNT)[:, 7], surprise=6.0), bounds(), "unstable"),
    ],
)
def test_where_nothing_is_moved_it_says_why(found: Law | None, limits: Bounds, reason: str) -> None:
    advice = ask(found, np.zeros(COUNT), limits)  # type: ignore[arg-type]
    assert advice.reason == reason
    assert not advice.proposed.any()


def test_moves_teach_the_response_where_the_sheet_was_wrong() -> None:
    rng = np.random.default_rng(3)
    true = 1.6 * PRIOR.response(COUNT)
    setpoint = np.repeat(rng.integers(-8, 9, (80, COUNT)).astype(float), 6, axis=0)
    profile = setpoint @ true.T + 0.05 * rng.normal(size=setpoint.shape)
    found = learn(Rows(profile, setpoint), PRIOR, 2)
    assert found is not None
    assert np.allclose(found.response.sum(axis=0), 0)
    assert np.linalg.norm(found.response - true) < 0.3 * np.linalg.norm(PRIOR.response(COUNT) - true)


def test_without_moves_the_sheet_stands_and_a_level_is_followed() -> None:
    rng = np.random.default_rng(4)
    level = np.linspace(-0.2, 0.2, COUNT)
    profile = level + 0.02 * rng.normal(size=(60, COUNT))
    found = learn(Rows(profile, np.zeros_like(profile)), PRIOR, 2)
    assert found is not None
    assert np.array_equal(found.response, PRIOR.response(COUNT))
    assert np.abs(found.level - level).max() < 0.02
    assert found.sigma == pytest.approx(0.02, rel=0.15)
    assert found.surprise < 2
    jumped = learn(Rows(np.vstack([profile, level[::-1]]), np.zeros((61, COUNT))), PRIOR, 2)
    assert jumped is not None
    assert jumped.surprise > 5


def test_too_few_runs_teach_nothing() -> None:
    rows = Rows(np.zeros((MIN_RUNS - 1, COUNT)), np.zeros((MIN_RUNS - 1, COUNT)))
    assert learn(rows, PRIOR, 2) is None
