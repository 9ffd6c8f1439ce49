"""Capability: the table of ppm, intervals that cover, and no number where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.charts.capability import Capability, NotCapable, Specification, capability, expected_ppm
from pipelines.charts.limits import individuals

BOTH = Specification(lower=-4.0, upper=4.0)


@pytest.fixture(scope="module")
def within():
    return individuals(np.random.default_rng(0).normal(size=500))


def judged(values, specification, within, signals=0):
    found = capability(values, specification, within, signals, arl=370.4)
    assert isinstance(found, Capability)
    return found


@pytest.mark.parametrize(("index", "ppm"), [(0.67, 44_431), (1.0, 2699.8), (1.33, 66.07), (1.67, 0.544), (2.0, 0.002)])
def test_ppm_of_a_centred_process(index, ppm):
    assert expected_ppm(0.0, 1.0, Specification(-3 * index, 3 * index)) == pytest.approx(ppm, rel=2e-4, abs=5e-4)


def test_indices_by_hand(within):
    values = np.random.default_rng(1).normal(0.5, 1.2, 400)
    found = judged(values, BOTH, within)
    mean, overall = values.mean(), values.std(ddof=1)
    assert found.cp.value == pytest.approx(8 / (6 * within.sigma))
    assert found.cpk.value == pytest.approx((4 - mean) / (3 * within.sigma))
    assert found.pp.value == pytest.approx(8 / (6 * overall))
    assert found.ppk.value == pytest.approx((4 - mean) / (3 * overall))
    assert found.cpm.value == pytest.approx(8 / (6 * np.sqrt(overall**2 + mean**2)))
    assert found.expected_ppm == pytest.approx(expected_ppm(mean, overall, BOTH))
    assert found.observed_ppm == pytest.approx(1e6 * (np.abs(values) > 4).mean())
    assert found.rows == 400
    for index in (found.cp, found.cpk, found.pp, found.ppk, found.cpm):
        assert index.low < index.value < index.high


def test_a_cpk_is_no_surer_than_its_mean(within):
    values = np.random.default_rng(6).normal(3.9, 0.5, 60)
    found = judged(values, BOTH, replace(within, degrees_of_freedom=1e9))
    # Sigma is known, so all doubt is the mean's: 1.96 / sqrt(60) sigma, over 3 sigma.
    assert found.cpk.high - found.cpk.value == pytest.approx(1.96 / np.sqrt(60) / 3, rel=1e-3)


def test_of_a_single_limit_only_the_nearer_distance_is_told(within):
    values = np.random.default_rng(2).normal(size=300)
    burr = judged(values, Specification(upper=4.0), within)
    assert burr.cp is burr.pp is burr.cpm is None
    assert burr.cpk.value == pytest.approx((4 - values.mean()) / (3 * within.sigma))
    peel = judged(values, Specification(lower=-2.0, target=0.0), within)
    assert peel.cpk.value == pytest.approx((values.mean() + 2) / (3 * within.sigma))
    assert peel.expected_ppm == pytest.approx(
        expected_ppm(values.mean(), values.std(ddof=1), Specification(lower=-2.0))
    )


def test_intervals_cover_what_they_promise():
    rng = np.random.default_rng(3)
    truth = {"cp": 8 / 6, "pp": 8 / 6, "cpk": 3.5 / 3, "ppk": 3.5 / 3, "cpm": 8 / (6 * np.sqrt(1.25))}
    covered = dict.fromkeys(truth, 0)
    for _ in range(400):
        values = rng.normal(0.5, 1.0, 100)
        found = judged(values, BOTH, replace(individuals(values, rounds=0), is_stable=True))
        for name, value in truth.items():
            index = getattr(found, name)
            covered[name] += index.low <= value <= index.high
    for name, count in covered.items():
        assert 0.92 <= count / 400 <= 0.98, name


@pytest.mark.parametrize(
    ("rows", "signals", "change", "reason"),
    [
        (49, 0, {}, "49 values"),
        (1000, 12, {}, "12 signals among 1000 values, where chance gives 2.7"),
        (1000, 0, {"is_stable": False}, "phase I was not stable"),
        (1000, 0, {"sigma": 0.0}, "do not vary"),
    ],
)
def test_no_number_where_it_would_foretell_nothing(within, rows, signals, change, reason):
    values = np.random.default_rng(4).normal(size=rows)
    refused = capability(values, BOTH, replace(within, **change), signals, arl=370.4)
    assert isinstance(refused, NotCapable)
    assert reason in refused.reason


def test_the_signals_of_chance_are_no_instability(within):
    values = np.random.default_rng(5).normal(size=1000)
    values[::10] = np.nan
    assert judged(values, BOTH, within, signals=4).rows == 900


@pytest.mark.parametrize("limits", [{}, {"target": 1.0}, {"lower": 2.0, "upper": 2.0}, {"lower": 3.0, "upper": 2.0}])
def test_what_is_no_specification_is_refused(limits):
    with pytest.raises(ValueError, match=r"lower"):
        Specification(**limits)
