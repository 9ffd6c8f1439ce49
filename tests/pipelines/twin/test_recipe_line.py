"""The line under another recipe answers as the domain's formulas say, and each seed is a line of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.site import Site
from pipelines.twin.recipe_line import OUTCOMES, RECIPE, SETTINGS, RecipeLine, recipe_records
from pipelines.twin.world import World

SEED = 3


def _line(site: Site, seed: int) -> RecipeLine:
    return RecipeLine(World(site, seed, "baseline", 1.0))


@pytest.fixture(scope="module")
def line(site: Site) -> RecipeLine:
    return _line(site, SEED)


def _run(line: RecipeLine, **changes: float) -> dict[str, float]:
    told = line.today | changes
    recipe = np.array([[told[name] for name in RECIPE]])
    speed, load = (np.array([told[name]]) for name in SETTINGS)
    return dict(zip(OUTCOMES, line.true(recipe, speed, load)[0].tolist(), strict=True))


def test_today_s_recipe_comes_out_near_the_plan_s_values(site: Site, line: RecipeLine) -> None:
    for name, value in _run(line).items():
        nominal = site.plan.by_code[f"cathode_{name}"].nominal
        assert value == pytest.approx(nominal, rel=0.2), name
    assert _run(_line(site, SEED + 1)) != _run(line)


@pytest.mark.parametrize(
    ("change", "outcome", "sign"),
    [
        ({"web_speed_m_min": 85.0}, "residual_solvent_ppm", 1),
        ({"solids_pct": 57.0}, "residual_solvent_ppm", 1),
        ({"areal_weight_g_m2": 240.0}, "residual_solvent_ppm", 1),
        ({"areal_weight_g_m2": 240.0}, "exhaust_lel_pct", 1),
        ({"web_speed_m_min": 85.0}, "peel_strength_n_m", -1),
        ({"viscosity_mpa_s": 11000.0}, "defect_count_m2", 1),
        ({"line_load_n_mm": 1800.0}, "density_g_cm3", 1),
    ],
)
def test_causes_have_the_signs_of_the_domain(
    line: RecipeLine, change: dict[str, float], outcome: str, sign: int
) -> None:
    assert sign * (_run(line, **change)[outcome] - _run(line)[outcome]) > 0


def test_twenty_per_cent_faster_drying_holds_ten_per_cent_less(site: Site) -> None:
    peels = [
        _run(line, web_speed_m_min=96.0)["peel_strength_n_m"] / _run(line)["peel_strength_n_m"]
        for line in (_line(site, seed) for seed in range(8))
    ]
    assert np.mean(peels) == pytest.approx(0.9, abs=0.03)


def test_trials_were_there_before_and_requests_come_day_by_day(site: Site) -> None:
    world = World(site, SEED, "baseline", 1.0)
    days = [{feed: pd.DataFrame(table) for feed, table in recipe_records(world, day).items()} for day in range(9)]
    trials = pd.concat([day["mes__recipe_trial"] for day in days])
    asked = pd.concat([day["erp__recipe_request"] for day in days])
    assert len(days[0]["mes__recipe_trial"]) >= 60
    assert len(trials) > len(days[0]["mes__recipe_trial"])
    assert trials["recipe_trial_id"].is_unique
    assert asked["recipe_id"].is_unique
    assert all(len(day["erp__recipe_request"]) == 1 for day in days[1:])
    # What is asked for was not tried: the two are drawn apart.
    names = ["solids_pct", "viscosity_mpa_s", "areal_weight_g_m2"]
    assert trials.merge(asked, on=names).empty
