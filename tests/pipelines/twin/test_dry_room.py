"""Dry rooms: drier air costs energy, moister air is told by the zone, and the recipe keeps its limit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.site import Site
from pipelines.twin import dry_room
from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.course import Course, Move
from pipelines.twin.energy import meters, weather
from pipelines.twin.table import concat
from pipelines.twin.world import World

DAYS = 30
ZONE, ENERGY, LIMIT_C = "zone_dew_point_max_c", "dehumidifier_kwh", -40.0


@pytest.fixture(scope="module")
def world(site: Site) -> World:
    return World(site, 3, "baseline", 1.0)


def ran(world: World, **moves: list[tuple[float, float]]) -> pd.DataFrame:
    return pd.DataFrame(concat([dry_room.hours(world, day, weather(world, day), moves) for day in range(DAYS)]))


@pytest.fixture(scope="module")
def usual(world: World) -> pd.DataFrame:
    return ran(world)


def test_air_of_a_dew_point_holds_as_much_water_as_tables_say() -> None:
    # Domain 1.16: -40 C is about 0.12 g of water in a kilogram of air.
    assert dry_room.water_g_kg(-40.0) == pytest.approx(0.12, abs=0.005)
    dew = np.array([-60.0, -45.0, 0.0, 20.0])
    assert dry_room.dew_point_c(dry_room.water_g_kg(dew)) == pytest.approx(dew, abs=1e-9)


def test_the_recipe_runs_at_minus_45_and_keeps_minus_40(usual: pd.DataFrame) -> None:
    assert -46 < usual[ZONE].mean() < -43.5
    assert (usual[ZONE] > LIMIT_C).mean() < 0.001
    assert set(usual["machine_id"]) == {"dry_room_1", "dry_room_2", "dry_room_3"}
    assert (usual.groupby("machine_id").size() == DAYS * 24).all()


def test_people_and_doors_and_humid_weather_bring_water_in(world: World, usual: pd.DataFrame) -> None:
    outside = concat([weather(world, day) for day in range(DAYS)])["outdoor_dew_point_c"]
    own = usual[usual["machine_id"] == "dry_room_1"].assign(outside=outside)
    by = own[["people_count", "door_opening_count", "outside", dry_room.SETPOINT]].corrwith(own[ZONE])
    assert (by > 0.1).all()


def test_a_moved_room_alone_follows_with_a_lag_and_the_same_chance(world: World, usual: pd.DataFrame) -> None:
    from_s, to_c = 10 * DAY, -49.0
    moved = ran(world, dry_room_2=[(from_s, to_c)])
    others = usual["machine_id"] != "dry_room_2"
    before = usual["event_s"] <= from_s
    pd.testing.assert_frame_equal(moved[others | before], usual[others | before])
    same = ["people_count", "door_opening_count"]
    pd.testing.assert_frame_equal(moved[same], usual[same])
    rise = (moved[dry_room.SETPOINT] - usual[dry_room.SETPOINT])[~others].to_numpy()
    late = usual.loc[~others, "event_s"].to_numpy() - from_s
    assert 0.5 < rise[late == HOUR][0] < 2.0
    assert rise[late > DAY] == pytest.approx(3.0, abs=0.011)
    assert ((moved[ZONE] - usual[ZONE])[~others & (usual["event_s"] > from_s + DAY)] > 0.5).all()


def test_over_drying_by_ten_degrees_costs_five_to_ten_percent(world: World, usual: pd.DataFrame) -> None:
    drier = ran(world, **{room: [(-DAY * 30, -62.0)] for room in dry_room.rooms(world)})
    assert 0.05 < drier[ENERGY].sum() / usual[ENERGY].sum() - 1 < 0.10
    # The meter of all dry rooms follows in the dehumidifiers' share; that of any other step does not.
    setpoints = {room: [(-DAY * 30, -62.0)] for room in dry_room.rooms(world)}
    recipe, moved = (pd.DataFrame(meters(world, 0, np.zeros(0), weather(world, 0), each)) for each in ({}, setpoints))
    ratio = (moved["energy_kwh"] / recipe["energy_kwh"]).groupby(recipe["step_code"]).mean()
    assert ratio.drop("dry_room").to_numpy() == pytest.approx(1.0, abs=0)
    assert ratio["dry_room"] == pytest.approx(1 + world.p("dry_room.dehumidifier_ratio") * 0.075)


def test_moister_air_leaves_more_water_in_cells_and_no_move_leaves_them_as_they_were(site: Site) -> None:
    plain, moved = World(site, 3, "baseline", 1.0), World(site, 3, "baseline", 1.0)
    moved.course = Course(moves={dry_room.SETPOINT: (Move(500, -49.0, 1),)})
    cells = np.arange(1000)
    for code in ("bake_cathode_moisture_ppm", "bake_anode_moisture_ppm", "fill_dew_point_c"):
        row = site.plan.by_code[code]
        rise = moved.value(row, moved.z(code, cells, {})) - plain.value(row, plain.z(code, cells, {}))
        acts = (cells >= 500) & (cells % 3 == 1)
        assert (rise[acts] > 0).all()
        assert (rise[~acts] == 0).all()
