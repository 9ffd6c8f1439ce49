"""Across the web: a roll is as uneven as its record says, a bolt bends its lip and the pump shares out the rest."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.control_plan.site import Site
from pipelines.twin.course import Course, Move
from pipelines.twin.decisions import SetPoint, findings
from pipelines.twin.upstream import Upstream
from pipelines.twin.web_profile import WebProfile
from pipelines.twin.world import World

ROLLS = 600
FIRST = np.arange(ROLLS) * 108


@pytest.fixture(scope="module")
def world(site: Site) -> World:
    return World(site, 3, "baseline", 1.0)


@pytest.fixture(scope="module")
def die(world: World) -> WebProfile:
    return WebProfile(world, "cathode")


def test_lips_are_even_about_the_rolls_mean_and_range_as_its_record_says(world: World, die: WebProfile) -> None:
    uneven = die.recipe_pct(FIRST)
    assert np.abs(uneven.mean(axis=1)).max() < 1e-9
    row = world.site.plan.by_code["cathode_cross_web_range_pct"]
    assert np.allclose(np.ptp(uneven, axis=1), world.value(row, world.z(row.code, FIRST, {})))


def test_a_bolt_bends_its_lip_most_its_neighbours_alike_and_the_dose_stays(die: WebProfile) -> None:
    response = die.response_pct_um
    assert np.allclose(response.sum(axis=0), 0)
    assert (response.argmax(axis=0) == np.arange(die.lip_count)).all()
    near = np.diag(response, 1) / np.diag(response)[1:]
    assert (near > 0.3).all() and (near < 0.95).all()
    far = np.diag(response, 8)
    assert (far < 0).all()
    bolt = np.zeros(die.lip_count)
    bolt[5] = 10.0
    assert np.allclose(die.true_pct(FIRST, bolt) - die.recipe_pct(FIRST), 10 * response[:, 5])


def test_the_shape_lasts_from_roll_to_roll_and_drifts_over_days(die: WebProfile) -> None:
    uneven = die.recipe_pct(FIRST)
    lags = (1, 10, 60)
    like = [float(np.mean([np.corrcoef(uneven[no], uneven[no + lag])[0, 1] for no in range(300)])) for lag in lags]
    assert like == sorted(like, reverse=True)
    assert like[0] > 0.98
    assert 0.2 < like[2] < 0.96


def test_slurry_dries_on_a_lip_until_the_die_is_cleaned(world: World, die: WebProfile) -> None:
    span = int(world.p("web_profile.cleaned_after_rolls"))
    uneven = die.recipe_pct(FIRST)
    changed = np.ptp(np.diff(uneven / np.ptp(uneven, axis=1, keepdims=True), axis=0), axis=1)
    is_cleaned = np.arange(1, ROLLS) % span == 0
    assert changed[is_cleaned].mean() > 2 * changed[~is_cleaned].mean()


def test_the_record_of_a_roll_tells_each_lip_and_its_mean_is_the_rolls(world: World) -> None:
    records = Upstream(world, np.arange(2000), np.arange(2000) * 25.0 + 1e6).records()
    web, rolls = records["mes__web_profile"], records["mes__mother_roll"]
    lips = web["lip_no"].reshape(-1, 24)
    assert (lips == np.arange(1, 25)).all()
    assert (web["mother_roll_id"].reshape(-1, 24)[:, 0] == rolls["mother_roll_id"]).all()
    assert (web["known_s"].reshape(-1, 24)[:, 0] == rolls["known_s"]).all()
    mean = web["lip_weight_g_m2"].reshape(-1, 24).mean(axis=1)
    assert np.abs(mean / rolls["areal_weight_g_m2"] - 1).max() < 0.01
    assert np.abs(web["die_bolt_um"]).max() <= 2


def test_a_bolt_that_is_set_bends_the_rolls_from_then_on_and_moves_alone(site: Site) -> None:
    world = World(site, 3, "baseline", 1.0)
    code, from_cell = "cathode_die_bolt_um", 108 * 8
    world.course = Course(moves={code: (Move(from_cell, -10.0, position=9), Move(from_cell * 2, -12.0, position=9))})
    bolts = WebProfile(world, "cathode").bolts_um(FIRST[:20])
    assert bolts[:, 8].tolist() == [0.0] * 8 + [-10.0] * 8 + [-12.0] * 4
    assert not np.delete(bolts, 8, axis=1).any()
    usual = World(site, 3, "baseline", 1.0)
    webs = [Upstream(each, np.arange(2000), np.arange(2000) * 25.0 + 1e6).records() for each in (usual, world)]
    weight, stood = (
        [each["mes__web_profile"][name].reshape(-1, 24) for each in webs] for name in ("lip_weight_g_m2", "die_bolt_um")
    )
    is_cathode = webs[0]["mes__web_profile"]["electrode_code"].reshape(-1, 24)[:, 0] == "cathode"
    changed = (weight[1] - weight[0])[is_cathode]
    assert (changed[:8] == 0).all()
    assert (changed[8:, 8] < -0.2).all()
    assert not (weight[1] - weight[0])[~is_cathode].any()
    assert (stood[1] - stood[0])[is_cathode][-1, 8] < -8


@pytest.mark.parametrize(
    ("code", "position_no", "said"),
    [
        ("cathode_die_bolt_um", 24, None),
        ("cathode_die_bolt_um", 25, "1 to 24"),
        ("cathode_die_bolt_um", 0, "1 to 24"),
        ("cathode_pump_speed_ratio_pct", 1, "no positions"),
    ],
)
def test_a_position_that_the_machine_lacks_is_refused(
    site: Site, code: str, position_no: int, said: str | None
) -> None:
    value = 100.0 if "pump" in code else -4.0
    decision = SetPoint(kind="setpoint", day=site.start_day, code=code, value=value, position_no=position_no)
    found = list(findings(decision, site))
    assert [field for field, _ in found] == ([] if said is None else ["position_no"])
    assert said is None or said in found[0][1]
