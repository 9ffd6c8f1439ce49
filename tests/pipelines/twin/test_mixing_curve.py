"""While a batch is mixed: agglomerates break, power falls to its plateau, and the batch ends as its record says."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.control_plan.site import Site
from pipelines.twin.mixing_curve import MixingCurve
from pipelines.twin.upstream import Upstream
from pipelines.twin.world import World

BATCHES = 500
FIRST = np.arange(BATCHES) * 324


@pytest.fixture(scope="module")
def world(site: Site) -> World:
    return World(site, 3, "baseline", 1.0)


@pytest.fixture(scope="module", params=["cathode", "anode"])
def curve(world: World, request: pytest.FixtureRequest) -> MixingCurve:
    return MixingCurve(world, request.param, FIRST)


def test_fineness_falls_and_ends_as_the_batchs_own_record_tells(world: World, curve: MixingCurve) -> None:
    fineness = curve.fineness_um
    assert (np.diff(fineness, axis=1) < 0).all()
    row = world.site.plan.by_code[f"{curve._electrode}_fineness_um"]
    assert curve.minutes[-1] == 240
    assert np.allclose(fineness[:, -1], world.value(row, world.z(row.code, FIRST, {})))


def test_it_follows_first_order_kinetics(curve: MixingCurve) -> None:
    left, hours = curve.left, curve.minutes / 60
    rate = -np.diff(np.log(left), axis=1) / np.diff(hours)
    assert np.allclose(rate, curve.rate_per_h[:, None])
    fineness = curve.fineness_um
    assert np.corrcoef((fineness[:, 0] - fineness[:, -1]), left[:, 0] - left[:, -1])[0, 1] > 0.5


def test_the_rate_has_the_causes_of_the_domain(world: World) -> None:
    signs = {
        "lfp_bet_m2_g": -1,
        "cathode_solids_pct": 1,
        "cathode_disperser_speed_rpm": 1,
        "cathode_slurry_temp_c": 1,
    }
    causes = np.column_stack([np.ones(BATCHES), *(world.z(cause, FIRST, {}) for cause in signs)])
    effects = np.linalg.lstsq(causes, np.log(MixingCurve(world, "cathode", FIRST).rate_per_h))[0][1:]
    assert dict(zip(signs, np.sign(effects), strict=True)) == signs
    assert np.abs(effects).min() > 0.03


def test_power_tells_of_agglomerates_and_not_all(curve: MixingCurve) -> None:
    shown, left = curve.shown(), curve.left
    assert (np.diff(shown["mixing_power_kw"].mean(axis=0)) < 0).all()
    at = list(curve.minutes).index(180)
    told = np.corrcoef(shown["power_trend_pct"][:, at], left[:, at])[0, 1]
    assert -0.95 < told < -0.4


def test_some_batches_are_done_an_hour_before_the_recipe_and_some_are_not(curve: MixingCurve, world: World) -> None:
    limit = world.site.plan.by_code[f"{curve._electrode}_sample_fineness_um"].usl
    is_done = (curve.fineness_um <= limit).mean(axis=0)
    at = dict(zip(curve.minutes.tolist(), is_done.tolist(), strict=True))
    assert at[100] < 0.05
    assert 0.2 < at[180] < 0.9
    assert at[240] > 0.97


def test_the_laboratory_tells_two_to_eight_hours_after_the_moment(world: World) -> None:
    records = Upstream(world, np.arange(3000), np.arange(3000) * 25.0 + 1e6).records()
    moments, samples = records["mes__mixing_moment"], records["lims__mixing_sample"]
    assert (moments["slurry_batch_id"] == samples["slurry_batch_id"]).all()
    assert (moments["event_s"] == moments["started_s"] + 60.0 * moments["minute_no"]).all()
    assert (moments["known_s"] - moments["event_s"] == 60.0).all()
    late_h = (samples["known_s"] - samples["event_s"]) / 3600
    assert 2 <= late_h.min() < 3 < 7 < late_h.max() <= 8
    assert set(moments["slurry_batch_id"]) == set(records["mes__slurry_batch"]["slurry_batch_id"])
    assert "sample_fineness_um" not in moments
