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


def test_a_tool_that_wears_out_within_more_rows_than_are_compared_is_no_drift() -> None:
    """Stretches of the reference are as long as what is held against them, however long the reference is."""
    wear = (np.arange(80_000) % 6_000 / 6_000)[:, None].astype(np.float32)
    made = make_reference([{"name": "wear", "kind": "number"}], wear, wear[:, 0], {"wear": 1.0}, in_order=True)
    told = measured("input", "wear", made["inputs"]["wear"], wear[:NEWEST, 0].astype(np.float64))
    assert told.psi > PSI_LIMIT
    assert not told.is_drifted
    gone = measured("input", "wear", made["inputs"]["wear"], np.full(NEWEST, 3.0))
    assert gone.is_drifted
