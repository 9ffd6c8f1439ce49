"""What a set-point search asks of promoted models: limits of the plan, intervals at other set-points, the cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError

from models.optimizer.fall_back import towards_recipe
from models.optimizer.reading import course_of, no_moves
from models.optimizer.setpoint_models import Asked, cost_of, limits_of
from models.optimizer.setpoint_search import as_of_now, moved_of, searched
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec
from models.scoring.boosters import LinearBooster
from models.scoring.runtime import FORMAT, Scorer
from orchestration.catalogue import find
from orchestration.environment import default_site, project_root
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.optimizers.run_to_run import HOUR_S
from pipelines.optimizers.setpoint_search import Advice, Knob

MOVED = ("oven_mid_temp_c", "air_velocity_m_s")


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(default_site())


@pytest.fixture(scope="module")
def kind() -> SetpointSearch:
    spec = find("electrode/dryer_optimizer")
    assert isinstance(spec, OptimizerSpec)
    assert isinstance(spec.optimizer, SetpointSearch)
    return spec.optimizer


def linear(coefficients: dict[str, float], level: float, half: float) -> Scorer:
    """A promoted model that is a straight line, with an interval of so much to either side."""
    names = list(coefficients)
    terms = {"column": list(range(len(names))), "code": [None] * len(names), "mean": [0.0] * len(names),
             "scale": [1.0] * len(names), "coefficients": [list(coefficients.values())], "intercept": [level],
             "link": "identity"}  # fmt: skip
    bundle: dict[str, Any] = {
        "format": FORMAT, "task": "regression", "quantiles": [], "classes": [],
        "features": [{"name": name, "kind": "number"} for name in names],
        "interval": {"below": half, "above": half}, "record": {"trained_until": "2026-03-01T00:00:00"},
    }  # fmt: skip
    return Scorer(bundle, [LinearBooster(terms)])


@pytest.fixture(scope="module")
def asked() -> Asked:
    return Asked(
        {
            "electrode/dryer_solvent": linear({"oven_mid_temp_c": -8.0, "web_speed_m_min": 1.0}, 1114.0, 50.0),
            "electrode/dryer_rate": linear({"oven_mid_temp_c": 0.01, "air_velocity_m_s": 0.02}, -0.42, 0.05),
        }
    )


def test_limits_are_the_plans_and_bounds_are_the_models_at_other_set_points(
    kind: SetpointSearch, site: Site, asked: Asked
) -> None:
    runs = pa.table({"oven_mid_temp_c": [118.0, 119.0], "web_speed_m_min": [80.0, 70.0], MOVED[1]: [12.0, 12.0]})
    upper, fast, slow = limits_of(kind, site, "cathode", asked, runs, "test")
    assert (upper.name, upper.at, upper.is_upper, upper.signs) == ("cathode_residual_solvent_ppm", 400, True, (-1, 0))
    assert (fast.at, fast.is_upper, slow.at, slow.is_upper) == (1.15, True, 0.85, False)
    assert fast.signs == (1, 1)
    assert upper.half_width == pytest.approx(50)
    points = np.array([[[118.0, 12.0], [119.0, 12.0]], [[116.0, 11.0], [117.0, 11.0]]])
    # 1114 - 8 * 118 + 80 + 50, then the slower web; two degrees less leave 16 ppm more, whatever the air does.
    assert upper.bound(points) == pytest.approx(np.array([[300.0, 282.0], [316.0, 298.0]]), rel=1e-5)
    assert slow.bound(points)[1] == pytest.approx([0.91, 0.92])


def test_a_quantity_without_a_limit_or_unknown_to_the_plan_is_refused(
    kind: SetpointSearch, site: Site, asked: Asked
) -> None:
    runs = pa.table({"oven_mid_temp_c": [118.0], "web_speed_m_min": [80.0], "air_velocity_m_s": [12.0]})
    lost = kind.keep[0].model_copy(update={"of": "happiness"})
    with pytest.raises(CellworksError, match="no 'cathode_happiness'"):
        limits_of(kind.model_copy(update={"keep": [lost]}), site, "cathode", asked, runs, "test")


def test_the_cost_is_one_with_the_recipe_and_follows_its_terms(kind: SetpointSearch) -> None:
    cost = cost_of(kind.cost, kind.move, np.array([118.0, 12.0]))
    found = cost(np.array([[118.0, 12.0], [118.0, 6.0], [71.5, 12.0]]))
    assert found[0] == pytest.approx(1.0)
    assert found[1] == pytest.approx(0.2 + 0.7 / 2 + 0.1 / 8)
    assert found[2] == pytest.approx(0.2 + 0.7 / 2 + 0.1)


def test_past_runs_are_shifted_to_the_set_points_in_force_now(site: Site) -> None:
    past = pa.table(
        {"target_id": ["coater_c1"] * 3, "code": ["cathode_oven_mid_temp_c"] * 3, "at_s": [100.0, 200.0, 300.0],
         "size": [-2.0, -2.0, -1.0], "proposed_value": [116.0, 114.0, 113.0],
         "state": ["approved", "rejected", "released"]}
    )  # fmt: skip
    heat, air = (moved_of(site, name, "cathode", "coater_c1", past, "test") for name in MOVED)
    assert (heat.setpoint, air.setpoint) == (113.0, 12.0)
    measured = np.array([[118.4, 12.1], [116.3, 11.9], [113.2, 12.0]])
    shifted = as_of_now(measured, np.array([50.0, 250.0, 350.0]), [heat, air])
    assert shifted == pytest.approx(np.array([[113.4, 12.1], [113.3, 11.9], [113.2, 12.0]]))
    assert course_of(no_moves(), "coater_c1", "x", 5.0).at(np.array([1.0])).tolist() == [5.0]


def test_only_what_all_models_had_learnt_counts_as_seen(asked: Asked) -> None:
    assert asked.trained_until == np.datetime64("2026-03-01T00:00:00")
    assert sorted(asked.columns) == ["air_velocity_m_s", "oven_mid_temp_c", "web_speed_m_min"]


def test_a_bound_of_a_rate_of_its_own_stands_further_out(kind: SetpointSearch, site: Site) -> None:
    solvent = linear({"oven_mid_temp_c": -8.0}, 1114.0, 50.0)
    solvent.bundle["interval"]["tails"] = {"rate": [0.05, 0.01], "below": [50.0, 90.0], "above": [60.0, 120.0]}
    runs = pa.table({"oven_mid_temp_c": [118.0], MOVED[1]: [12.0]})
    kept = kind.keep[0].model_copy(update={"rate": 0.01})
    (own,) = limits_of(
        kind.model_copy(update={"keep": [kept]}), site, "cathode", Asked({kept.solution: solvent}), runs, "test"
    )
    assert own.bound(np.array([[[118.0, 12.0]]]))[0, 0] == pytest.approx(1114 - 8 * 118 + 120, rel=1e-5)
    assert own.half_width == pytest.approx(120)


def test_the_way_back_to_the_recipe_is_one_allowed_step_and_ends_there() -> None:
    def step(setpoint: float, reach: float = 0.5) -> Advice | None:
        knob = Knob(setpoint, -60.0, -45.0, reach, 0.1)
        return towards_recipe(Advice("unsafe"), [knob], np.array([-52.0]), lambda points: 1 + (points[:, 0] + 52) / 100)

    far, near = step(-50.0), step(-51.8)
    assert far is not None
    assert near is not None
    assert (far.knob, far.proposed) == (0, -50.5)
    assert far.cost == pytest.approx(1.02)
    assert far.cost_after == pytest.approx(1.015)
    assert near.proposed == -52
    assert step(-52.0) is None
    assert step(-50.0, reach=0.0) is None


def dry_room(
    site: Site, champion: Scorer | None, setpoint: float, crowded_days_ago: int | None = None, **changed: Any
) -> tuple[str, float]:
    """What is told of a room whose supply stood at a set-point for 30 days, and the value that is proposed."""
    spec = find("energy/dry_room_optimizer")
    assert isinstance(spec, OptimizerSpec)
    assert isinstance(spec.optimizer, SetpointSearch)
    hours = np.arange(24 * 30) * HOUR_S
    people = np.full(len(hours), 6.0)
    if crowded_days_ago is not None:
        people[-24 * crowded_days_ago] = 30.0
    past = pa.table({"target_id": ["dry_room_1"], "code": ["supply_air_dew_point_c"], "at_s": [-1e6],
                     "size": [setpoint + 52], "proposed_value": [setpoint], "state": ["released"]})  # fmt: skip
    moved = [moved_of(site, "supply_air_dew_point_c", None, "dry_room_1", past, "test")]
    supply = setpoint + np.random.default_rng(2).normal(0, 1, len(hours))
    rows = pa.table({"variant": pa.array([None] * len(hours), pa.string()), "at_s": hours, "moved_0": supply,
                     "read_supply_air_dew_point_c": supply, "read_people_count": people})  # fmt: skip
    asked = Asked({} if champion is None else {"energy/dry_room_dew_point": champion})
    kind = spec.optimizer.model_copy(update=changed)
    _, advice, reason = searched(spec, kind, site, asked, rows, moved, float(hours[-1]))
    return reason, advice.proposed


def moist(level: float, per_person: float = 0.0) -> Scorer:
    """Half of the supply's dew point goes into the room's, at a level with the recipe's -52 C and six people."""
    coefficients = {"supply_air_dew_point_c": 0.5, "people_count": per_person}
    scorer = linear(coefficients, level + 26 - 6 * per_person, 1.0)
    scorer.bundle["interval"]["tails"] = {"rate": [0.001], "below": [1.0], "above": [1.0]}
    scorer.bundle["record"]["trained_until"] = None
    return scorer


def test_what_cannot_be_shown_to_be_safe_goes_back_to_the_recipe_and_not_beyond(site: Site) -> None:
    # 1 C of the bound and about 1.5 C of the wettest hour: a room at -44 C keeps -40 C, one at -41 C does not.
    assert dry_room(site, moist(-44), -52.0) == ("move", -51.5)
    assert dry_room(site, moist(-41), -50.0) == ("fall_back", -50.5)
    assert dry_room(site, None, -50.0) == ("fall_back", -50.5)
    assert dry_room(site, moist(-41), -52.0)[0] == "unsafe", "the recipe is as far as it goes"
    assert dry_room(site, None, -52.0)[0] == "no_model"
    assert dry_room(site, None, -50.0, otherwise="hold")[0] == "no_model"
    assert dry_room(site, moist(-41), -52.0, otherwise="hold") == ("restore", -52.5)


def test_the_wettest_hour_of_all_the_days_that_were_learnt_from_may_come_again(site: Site) -> None:
    # 24 people more make the room wetter by 4.8 C, for an hour 25 days ago.
    room = moist(-44, per_person=0.2)
    assert dry_room(site, room, -52.0) == ("move", -51.5)
    assert dry_room(site, room, -52.0, crowded_days_ago=25)[0] == "unsafe"
    assert dry_room(site, room, -50.0, crowded_days_ago=25) == ("fall_back", -50.5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"move": ["oven_mid_temp_c", "oven_mid_temp_c"]}, "once"),
        ({"move": ["oven_mid_temp_c"]}, "the cost names"),
        ({"keep": []}, "at least 1"),
        ({"share": 0.2}, "greater than 0.5"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], said: str) -> None:
    file = project_root() / "orchestration/defs/electrode/dryer_optimizer/defs.yaml"
    attributes = yaml.safe_load(file.read_text(encoding="utf-8"))["attributes"]
    attributes["optimizer"] |= changed
    with pytest.raises(ValidationError, match=said):
        OptimizerSpec.model_validate({"stage": "a", "slug": "b", **attributes})
