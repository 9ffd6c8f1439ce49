"""Values with a memory: batches and residuals that a chart's run lengths hold for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from pipelines.charts.autocorrelation import (
    autocovariances,
    batch_means,
    choose_batch,
    fit_memory,
    lag_1,
    residuals,
)
from pipelines.charts.kernel import Charts, signals
from pipelines.charts.limits import individuals
from pipelines.charts.rules import mask_of
from pipelines.control_plan.errors import CellworksError

RULE_1 = mask_of(["beyond_limit"])


def remembering(n, coefficients, seed=0):
    """An autoregression that has forgotten its beginning, with shocks of 1, around 50."""
    shocks = np.random.default_rng(seed).normal(size=n + 2000)
    return 50 + lfilter([1.0], [1.0, *(-each for each in coefficients)], shocks)[2000:]


def alarm_rate(values):
    """Share beyond three sigma, of an I-MR chart learnt from the first half, in the second."""
    half = len(values) // 2
    limits = individuals(values[:half], rounds=0)
    found = signals(values[half:], np.asarray([0, len(values) - half]), Charts(limits.centre, limits.sigma, RULE_1))
    return len(found.point) / (len(values) - half)


def test_autocovariances_are_those_of_theory():
    covariance = autocovariances(remembering(100_000, [0.6]), 3)
    assert covariance == pytest.approx(0.6 ** np.arange(4) / (1 - 0.36), rel=0.05)
    assert lag_1(np.tile([1.0, 2.0], 50)) == pytest.approx(-0.99)
    assert lag_1(np.ones(10)) == 0.0


def test_no_pair_reaches_over_a_stop():
    values = np.repeat([0.0, 5.0, 0.0, 5.0], 3) + np.tile([0.1, -0.1, 0.1], 4)
    begins = np.arange(12) % 3 == 0
    whole = lag_1(values)
    pairs = [(place, place + 1) for place in range(11) if not begins[place + 1]]
    deviation = values - values.mean()
    by_hand = sum(deviation[one] * deviation[other] for one, other in pairs) / (deviation**2).sum()
    assert lag_1(values, begins) == pytest.approx(by_hand)
    assert lag_1(values, begins) > whole


def test_batch_means_by_hand():
    values = np.asarray([1.0, 3.0, 5.0, np.nan, np.nan, np.nan, 7.0, 9.0, 100.0])
    means, place = batch_means(values, 2)
    assert means.tolist() == pytest.approx([2.0, 5.0, np.nan, 8.0], nan_ok=True)
    assert place.tolist() == [0, 2, 4, 6]
    begins = np.arange(9) == 3
    means, place = batch_means(values, 2, begins)
    assert place.tolist() == [0, 3, 5, 7]
    assert means.tolist() == pytest.approx([2.0, np.nan, 7.0, 54.5], nan_ok=True)


def test_a_batch_is_as_large_as_theory_says():
    # Lag 1 of means of b values with memory a: a (1 - a^b)^2 / (b (1 - a^2) - 2 a (1 - a^b)).
    a = 0.9
    chosen = choose_batch(remembering(200_000, [a]))
    of_means = {
        b: a * (1 - a**b) ** 2 / (b * (1 - a**2) - 2 * a * (1 - a**b)) for b in (chosen.size // 2, chosen.size * 2)
    }
    assert of_means[chosen.size * 2] < 0.1 < of_means[chosen.size // 2]
    assert chosen.lag_1 <= 0.1
    assert choose_batch(np.random.default_rng(1).normal(size=1000)).size == 1


def test_batches_hold_their_alarm_rate_where_raw_values_cry_wolf():
    values = remembering(120_000, [0.8])
    raw = alarm_rate(values)
    batched = alarm_rate(batch_means(values, choose_batch(values).size)[0])
    assert raw > 0.1
    assert batched < 0.01


def test_a_memory_is_learnt_and_its_residuals_are_independent():
    values = remembering(20_000, [0.5, 0.3])
    memory = fit_memory(values)
    assert memory.coefficients == pytest.approx((0.5, 0.3), abs=0.03)
    assert (memory.mean, memory.sigma) == pytest.approx((50, 1.0), abs=0.15)
    left = residuals(values, memory)
    assert np.isnan(left[:2]).all()
    assert np.abs(autocovariances(left, 5)[1:]).max() < 0.03
    assert alarm_rate(left[2:]) == pytest.approx(0.0027, abs=0.0016)


def test_values_without_memory_are_left_as_they_are():
    values = np.random.default_rng(3).normal(size=2000)
    memory = fit_memory(values)
    assert memory.coefficients == ()
    assert residuals(values, memory) == pytest.approx(values - memory.mean)


def test_residuals_know_no_more_than_their_run():
    values = remembering(500, [0.7])
    memory = fit_memory(values, max_order=1)
    begins = np.zeros(500, dtype=np.bool_)
    begins[100] = True
    values[200] = np.nan
    assert np.flatnonzero(np.isnan(residuals(values, memory, begins))).tolist() == [0, 100, 200, 201]


def test_what_cannot_be_learnt_is_refused():
    with pytest.raises(CellworksError, match="cannot be learnt") as refused:
        fit_memory(np.arange(100.0))
    assert "100 values" in refused.value.found
    with pytest.raises(CellworksError, match="cannot be learnt") as refused:
        fit_memory(np.ones(500))
    assert "all the same" in refused.value.found
    with pytest.raises(CellworksError, match="too long") as refused:
        choose_batch(np.cumsum(np.random.default_rng(0).normal(size=2000)))
    assert "residuals" in refused.value.mend
