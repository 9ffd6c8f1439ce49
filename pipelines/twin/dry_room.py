"""Dry rooms by the hour: supply air dried to a set-point, water that people, doors and walls bring in, and the energy.

The room's air is the supply air with the load in it. The supply dew point follows its set-point with a lag and hunts
about it. Over-drying costs energy, on the dehumidifier's own meter and on that of all dry rooms. Numbers are hashed or
drawn from a stream of their own, so that the same hours meet the same chance whatever the set-points are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.rng import Module, hash_normal, stream
from pipelines.twin.table import Floats, Table, concat
from pipelines.twin.world import World

SETPOINT = "supply_air_dew_point_c"
FEED = "ems__dry_room_hour"
Setpoints = Mapping[str, Sequence[tuple[float, float]]]
"""By dry room: moves as (plant seconds, new set-point in C), in their order."""

_ROOM = "zone_dew_point_max_c"
_MEMORY_H = 48  # hours after which hunting is forgotten
_PRESSURE_HPA, _G_KG = 1013.25, 622.0


def rooms(world: World) -> list[str]:
    """Ids of the dry rooms."""
    return [each.id for each in world.site.machines("dry_room")]


def hours(world: World, day: int, outdoor: Table, setpoints: Setpoints) -> Table:
    """Records of all dry rooms of a day, one for each hour.

    Args:
        world: the plant.
        day: production day.
        outdoor: hourly weather of the day, see `energy.weather`.
        setpoints: moves carried out so far.
    """
    p, rng = world.p, stream(world.seed, day, Module.DRY_ROOM)
    at_s = outdoor["event_s"]
    supply_row, room_row = (world.site.plan.by_code[code] for code in (SETPOINT, _ROOM))
    outside = water_g_kg(outdoor["outdoor_dew_point_c"]) / water_g_kg(p("weather.dew_point_mean_c"))
    weather = 1 + p("energy.weather_ratio") * (
        (outdoor["outdoor_dew_point_c"] - p("weather.dew_point_mean_c")) / p("energy.weather_span_c")
    )
    standard = world.site.standard
    used = standard.steps["dry_room"].energy_kwh_per_kwh * world.site.product.nominal_energy_kwh
    usual = p("dry_room.dehumidifier_ratio") * used * standard.cells_per_day * world.scale / 24 / len(rooms(world))
    usual_g_h = (p("dry_room.crew") + p("dry_room.visitors")) * p("dry_room.person_g_h")
    usual_g_h += p("dry_room.doors_per_h") * p("dry_room.door_g") + p("dry_room.leak_g_h")
    tables = []
    for no, room in enumerate(rooms(world)):
        supply = _follows(world, setpoints.get(room, ()), at_s) + _hunting(world, no, at_s)
        busy = np.exp(p("dry_room.shift_sd") * hash_normal(world.salt("dry_room.shift"), no, at_s // (8 * HOUR)))
        # A crew stays for its shift; others come and go.
        people = np.rint(p("dry_room.crew") * busy) + rng.poisson(p("dry_room.visitors"), len(at_s))
        doors = rng.poisson(p("dry_room.doors_per_h") * busy)
        load_g_h = people * p("dry_room.person_g_h") + doors * p("dry_room.door_g") + p("dry_room.leak_g_h") * outside
        peak = np.exp(p("dry_room.peak_sd") * np.abs(rng.standard_normal(len(at_s))))
        room_g_kg = (water_g_kg(supply) + load_g_h / p("dry_room.air_kg_h")) * peak
        energy = usual * weather * over_drying(world, supply) * np.exp(p("energy.noise_ratio") * _noise(rng, at_s))
        energy = energy * (1 + p("dry_room.load_ratio") * (load_g_h / usual_g_h - 1))
        tables.append(
            {
                "machine_id": np.full(len(at_s), room), "event_s": at_s,
                SETPOINT: np.round(supply + supply_row.gauge_sd * _noise(rng, at_s), 2),
                _ROOM: np.round(dew_point_c(room_g_kg) + room_row.gauge_sd * _noise(rng, at_s), 2),
                "people_count": people.astype(np.int32), "door_opening_count": doors.astype(np.int32),
                "dehumidifier_kwh": energy, "known_s": at_s + HOUR + 60.0,
            }
        )  # fmt: skip
    return concat(tables)


def metered(world: World, at_s: Floats, setpoints: Setpoints) -> Floats:
    """What moved set-points make of the energy of all dry rooms, 1 with the recipe's, at each of some moments."""
    each = [over_drying(world, _follows(world, setpoints.get(room, ()), at_s)) for room in rooms(world)]
    found: Floats = 1 + world.p("dry_room.dehumidifier_ratio") * (np.mean(each, axis=0) - 1)
    return found


def over_drying(world: World, supply_c: Floats) -> Floats:
    """Energy of a dehumidifier beside that at the recipe's set-point: 5 to 10 % more for 10 C of dew point."""
    nominal = world.site.plan.by_code[SETPOINT].nominal or 0.0
    found: Floats = (1 + world.p("dry_room.energy_ratio_per_10_c")) ** ((nominal - supply_c) / 10)
    return found


def water_g_kg(dew_point_c: Floats | float) -> Floats:
    """Water in air of a dew point, g/kg dry air at sea level (Magnus, over water: -40 C is 0.12)."""
    dew = np.asarray(dew_point_c, dtype=np.float64)
    found: Floats = _G_KG / _PRESSURE_HPA * 6.112 * np.exp(17.62 * dew / (243.12 + dew))
    return found


def dew_point_c(water: Floats) -> Floats:
    """Dew point of air with so much water, C; the inverse of `water_g_kg`."""
    log = np.log(np.asarray(water, dtype=np.float64) * _PRESSURE_HPA / _G_KG / 6.112)
    found: Floats = 243.12 * log / (17.62 - log)
    return found


def _follows(world: World, moves: Sequence[tuple[float, float]], at_s: Floats) -> Floats:
    """Supply dew point without hunting: each move is approached with the lag of rotor and ducts."""
    before = world.site.plan.by_code[SETPOINT].nominal or 0.0
    found: Floats = np.full(len(at_s), before)
    for moved_s, value in moves:
        since_h = np.maximum(at_s - moved_s, 0.0) / HOUR
        found = found + (value - before) * (1 - np.exp(-since_h / world.p("dry_room.lag_h")))
        before = value
    return found


def _hunting(world: World, room: int, at_s: Floats) -> Floats:
    """The rotor's own way about the set-point, correlated over hours, C."""
    hour = np.rint((at_s + DAY * 1000) / HOUR).astype(np.int64)
    kept = np.exp(-1 / world.p("dry_room.hunting_h"))
    back = np.arange(_MEMORY_H)
    drawn = hash_normal(world.salt("dry_room.hunting"), room, hour[:, None] - back)
    found: Floats = world.p("dry_room.hunting_sd_c") * np.sqrt(1 - kept**2) * (drawn @ kept**back)
    return found


def _noise(rng: np.random.Generator, at_s: Floats) -> Floats:
    return rng.standard_normal(len(at_s))
