"""Drift figures: against scipy, zero for the same, large for the moved, patient with lots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.drift.monitor import KS_LIMIT, PSI_LIMIT, Drift, measured
from models.drift.reference import NEWEST, category_reference, ks, make_reference, number_reference, psi


@given(st.integers(0, 10_000), st.floats(-2, 2))
@settings(max_examples=30, deadline=None)
def test_ks_agrees_with_scipy(seed, shift):
    rng = np.random.default_rng(seed)
    training, now = rng.normal(size=4000), rng.normal(shift, 1, 500)
    exact = stats.ks_2samp(training, now).statistic
    assert ks(number_reference(training), now) == pytest.approx(exact, abs=0.015)


def test_nothing_moved_and_something_moved():
    rng = np.random.default_rng(0)
    reference = number_reference(rng.normal(size=5000))
    assert psi(reference, rng.normal(size=2000)) < 0.03
    assert psi(reference, rng.normal(1, 1, 2000)) > 0.5
    assert psi(reference, np.full(2000, np.nan)) > 1, "a gauge that went silent"
    names = category_reference(rng.integers(0, 3, 3000).astype(float), 3)
    assert ks(names, rng.integers(0, 3, 2000).astype(float)) < 0.05
    assert ks(names, np.zeros(2000)) == pytest.approx(2 / 3, abs=0.03)


@pytest.mark.parametrize("kind", ["number", "category"])
@pytest.mark.parametrize(("silent", "is_drifted"), [(0.0, False), (0.1, False), (0.6, True), (1.0, True)])
def test_an_input_that_goes_silent_is_drift(kind, silent, is_drifted):
    rng = np.random.default_rng(0)
    draw = rng.normal if kind == "number" else lambda size: rng.integers(0, 3, size).astype(float)
    training, now = draw(size=5000), draw(size=2000)
    reference = number_reference(training) if kind == "number" else category_reference(training, 3)
    now[: int(silent * len(now))] = np.nan
    drift = Drift("input", "a_mm", psi(reference, now), ks(reference, now), PSI_LIMIT, KS_LIMIT, len(now))
    assert drift.is_drifted is is_drifted


def test_few_values_and_none_at_all():
    flags = number_reference(np.repeat([0.0, 1.0], [900, 100]))
    assert psi(flags, np.repeat([0.0, 1.0], [450, 50])) < 0.01
    assert ks(flags, np.repeat([0.0, 1.0], [450, 50])) < 0.02
    assert psi(flags, np.repeat([0.0, 1.0], [250, 250])) > 0.5
    empty = number_reference(np.full(50, np.nan))
    assert ks(empty, np.full(10, np.nan)) == 0
    assert ks(empty, np.ones(10)) == 1, "a gauge that was silent speaks"
    assert psi(empty, np.full(100, np.nan)) == pytest.approx(0, abs=1e-9)


def test_lots_that_always_differed_widen_the_limit():
    rng = np.random.default_rng(1)
    lot_level = np.repeat(rng.normal(size=20), 200)[:, None]
    steady = rng.normal(size=(4000, 1))
    x = np.hstack([lot_level, steady]).astype(np.float32)
    features = [{"name": name, "kind": "number"} for name in ("lot", "steady")]
    made = make_reference(features, x, steady[:, 0], {"lot": 0.6, "steady": 0.4}, in_order=True)
    assert made["inputs"]["lot"]["noise"]["psi"] > 1
    assert made["inputs"]["steady"]["noise"]["psi"] < 0.1
    assert list(made["inputs"]) == ["lot", "steady"]


def test_the_newest_rolls_are_held_against_as_few_rolls_of_training():
    rng = np.random.default_rng(2)
    rolls = rng.normal(size=(520, 1)).repeat(100, axis=0)
    features, shares = [{"name": "knife_km", "kind": "number"}], {"knife_km": 1.0}
    training, later = rolls[:40_000], rolls[40_000:, 0]
    reference = make_reference(features, training, training[:, 0], shares, in_order=True)["inputs"]["knife_km"]
    told = [
        measured("input", "knife_km", reference, later[place : place + NEWEST]).is_drifted
        for place in range(0, len(later), NEWEST)
    ]
    assert told == [False] * 6, "20 rolls differ from 400 without any drift"
    assert measured("input", "knife_km", reference, later[:NEWEST] + 6).is_drifted
