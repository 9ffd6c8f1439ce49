"""Meters by the quarter of an hour and the weather outside."""

from __future__ import annotations

import numpy as np

from pipelines.twin import dry_room
from pipelines.twin.clock import HOUR, season
from pipelines.twin.rng import Module, stream
from pipelines.twin.table import Floats, Table, concat
from pipelines.twin.world import World

INTERVAL_S = 900.0


def weather(world: World, day: int) -> Table:
    """Hourly outdoor temperature, humidity and dew point: the day as a whole, the hour, and noise."""
    rng, p, clock = stream(world.seed, day, Module.WEATHER), world.p, world.clock
    begin, end = clock.bounds(day)
    hours = np.arange(begin, end, HOUR)
    mean = season(world.seed, clock, day, p)
    of_hour_c = p("weather.hour_swing_c") * np.sin(2 * np.pi * (clock.local_hour(hours) - 9) / 24)
    of_hour_c = of_hour_c + p("weather.hour_sd_c") * rng.standard_normal(len(hours))
    per_c = p("weather.humidity_pct_per_dew_c")
    humidity = 100 - per_c * (mean.temp_c - mean.dew_point_c) - p("weather.humidity_pct_per_c") * of_hour_c
    humidity = humidity + p("weather.humidity_sd_pct") * rng.standard_normal(len(hours))
    humidity = np.clip(humidity, p("weather.humidity_min_pct"), p("weather.humidity_max_pct"))
    temp = mean.temp_c + of_hour_c
    return {
        "event_s": hours, "outdoor_temp_c": temp, "outdoor_rh_pct": humidity,
        "outdoor_dew_point_c": temp - (100 - humidity) / per_c,
    }  # fmt: skip


def meters(world: World, day: int, stacked_s: Floats, outdoor: Table, setpoints: dry_room.Setpoints) -> Table:
    """Energy of each step: a fixed part, one that follows the cells; weather and set-point add in dry rooms."""
    rng = stream(world.seed, day, Module.ENERGY)
    begin, end = world.clock.bounds(day)
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
            level = level * (1 + warm * (dew - world.p("weather.dew_point_mean_c")) / world.p("energy.weather_span_c"))
        if step == "dry_room":
            level = level * dry_room.metered(world, starts, setpoints)
        noise = np.exp(world.p("energy.noise_ratio") * rng.standard_normal(len(starts)))
        energy = np.maximum(per_cell * usual * level * noise, 0.0)
        tables.append(
            {
                "meter_id": np.full(len(starts), f"meter_{step}"), "step_code": np.full(len(starts), step),
                "event_s": starts, "energy_kwh": energy, "interval_s": np.full(len(starts), INTERVAL_S),
            }
        )  # fmt: skip
    return concat(tables)
