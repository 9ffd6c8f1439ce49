"""Meters by the quarter of an hour and the weather outside."""

from __future__ import annotations

import numpy as np

from pipelines.twin.clock import HOUR, Clock
from pipelines.twin.rng import Module, stream
from pipelines.twin.table import Floats, Table, concat
from pipelines.twin.world import World

INTERVAL_S = 900.0


def weather(world: World, clock: Clock, day: int) -> Table:
    """Hourly outdoor temperature, humidity and dew point: season, day, and the day's own mood."""
    rng = stream(world.seed, day, Module.WEATHER)
    begin, end = clock.bounds(day)
    hours = np.arange(begin, end, HOUR)
    season = 18 + 9 * np.sin(2 * np.pi * (clock.day_of_year(day) - 105) / 365)
    mood = 2.5 * rng.standard_normal()
    temp = (
        season
        + mood
        + 4 * np.sin(2 * np.pi * (clock.local_hour(hours) - 9) / 24)
        + 0.4 * rng.standard_normal(len(hours))
    )
    humidity = np.clip(78 - 1.6 * (temp - season) + 6 * rng.standard_normal(len(hours)), 25, 99)
    dew = temp - (100 - humidity) / 5
    return {"event_s": hours, "outdoor_temp_c": temp, "outdoor_rh_pct": humidity, "outdoor_dew_point_c": dew}


def meters(world: World, clock: Clock, day: int, stacked_s: Floats, outdoor: Table) -> Table:
    """Energy of each step: a fixed part, a part that follows the cells, and what the weather adds to dry rooms."""
    rng = stream(world.seed, day, Module.ENERGY)
    begin, end = clock.bounds(day)
    starts = np.arange(begin, end, INTERVAL_S)
    standard = world.site.standard
    usual = standard.cells_per_day * world.scale / len(starts)
    made = np.histogram(stacked_s, bins=np.append(starts, end))[0] / max(usual, 1e-9)
    smooth = np.convolve(np.pad(made, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    fixed, warm = world.p("energy.fixed_ratio"), world.p("energy.weather_ratio")
    dew = np.interp(starts, outdoor["event_s"], outdoor["outdoor_dew_point_c"])
    tables = []
    for step, rates in standard.steps.items():
        per_cell = rates.energy_kwh_per_kwh * world.site.product.nominal_energy_kwh
        level = fixed + (1 - fixed) * smooth
        if step in ("dry_room", "utilities"):
            level = level * (1 + warm * (dew - 15) / 10)
        noise = np.exp(0.03 * rng.standard_normal(len(starts)))
        energy = np.maximum(per_cell * usual * level * noise, 0.0)
        tables.append(
            {
                "meter_id": np.full(len(starts), f"meter_{step}"), "step_code": np.full(len(starts), step),
                "event_s": starts, "energy_kwh": energy, "interval_s": np.full(len(starts), INTERVAL_S),
            }
        )  # fmt: skip
    return concat(tables)
