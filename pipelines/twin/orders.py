"""What customers order, and the tariff of electricity: both known before the line has to follow them."""

from __future__ import annotations

import numpy as np

from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.rng import DAY_OFFSET, Module, hash_normal, stream
from pipelines.twin.table import Floats, Table, concat
from pipelines.twin.world import World

_SATURDAY = 5
_DAYS_OF_YEAR = 365.0


def customer_orders(world: World, first_day: int, last_day: int) -> Table:
    """Orders of the whole line's customers, at any scale, of production days first to last inclusive.

    Their number follows the week, the season and a trend; each is for whole modules of cells, promised after a lead.
    """
    return concat([_orders_of(world, day) for day in range(first_day, last_day + 1)])


def expected_orders(world: World, day: int) -> float:
    """Mean number of orders of a production day; over a year without trend it is `orders.per_day`."""
    p, date = world.p, world.clock.date_of(day)
    weekend = p("orders.weekend_ratio")
    of_week = (weekend if date.weekday() >= _SATURDAY else 1.0) * 7 / (5 + 2 * weekend)
    phase = 2 * np.pi * (world.clock.day_of_year(day) - p("orders.season_peak_day")) / _DAYS_OF_YEAR
    of_season = 1 + p("orders.season_swing") * np.cos(phase)
    trend = (1 + p("orders.trend_per_year")) ** (day / _DAYS_OF_YEAR)
    return float(p("orders.per_day") * of_week * of_season * trend)


def _orders_of(world: World, day: int) -> Table:
    rng, p = stream(world.seed, day, Module.ORDERS), world.p
    product = world.site.product
    count = int(rng.poisson(expected_orders(world, day)))
    opens, closes = (
        world.clock.bounds(day)[0] + p(f"orders.{each}_h") * HOUR for each in ("open_after", "close_after")
    )
    ordered_s = np.sort(rng.uniform(opens, closes, count))
    lead_d = np.maximum(p("orders.lead_mean_d") + p("orders.lead_sd_d") * rng.standard_normal(count), 1.0)
    mean = p("orders.load_ratio") * world.site.standard.cells_per_day / p("orders.per_day")
    sd = p("orders.size_sd")
    cells = mean * np.exp(sd * rng.standard_normal(count) - sd**2 / 2)
    modules = np.maximum(np.round(cells / product.cells_per_module), 1.0)
    quantity = modules * product.cells_per_module
    stamp = f"{world.clock.date_of(day):%y%m%d}"
    return {
        "order_id": np.array([f"CO-{stamp}-{no:02d}" for no in range(1, count + 1)], dtype=object),
        "product_code": np.full(count, product.code, dtype=object),
        "ordered_s": ordered_s,
        "due_s": ordered_s + np.ceil(lead_d) * DAY,
        "quantity_cells": quantity.astype(np.int64),
        "quantity_kwh": quantity * product.nominal_energy_kwh,
        "event_s": ordered_s,
        "known_s": ordered_s + p("orders.entry_h") * HOUR,
    }


def tariff_hours(world: World, day: int) -> Table:
    """Hours of the tariff that are published on a production day: the day after tomorrow's, at first today's too."""
    ahead = int(world.p("tariff.days_ahead"))
    days = range(ahead + 1) if day == 0 else (day + ahead,)
    return concat([_tariff_of(world, each, each - ahead) for each in days])


def _tariff_of(world: World, day: int, published_on: int) -> Table:
    clock, tariff = world.clock, world.site.tariff
    starts = np.arange(*clock.bounds(day), HOUR)
    local = clock.local_hour(starts)
    since = np.array([period.from_hour for period in tariff.periods])
    period = np.searchsorted(since, np.floor(local + 1e-9), side="right") - 1
    price = np.array([each.usd_per_kwh for each in tariff.periods])[period]
    published_s = np.full(len(starts), clock.bounds(published_on)[0] + world.p("tariff.published_after_h") * HOUR)
    return {
        "starts_s": starts,
        "ends_s": starts + HOUR,
        "price_usd_per_kwh": price,
        "demand_charge_usd_per_kw": np.full(len(starts), tariff.demand_usd_per_kw_month),
        "period_code": np.array([each.code for each in tariff.periods], dtype=object)[period],
        "carbon_kg_per_kwh": _carbon(world, day, local),
        "event_s": published_s,
        "known_s": published_s + 60.0,
    }


def _carbon(world: World, day: int, local_hour: Floats) -> Floats:
    """Emissions of the grid in kg/kWh, on the mean the site's: lower while the sun shines; each day has its mood."""
    p = world.p
    sun = np.maximum(np.sin(np.pi * (local_hour - 6) / 12), 0.0) - 1 / np.pi
    of_day = p("tariff.carbon_day_sd") * hash_normal(world.salt("grid_carbon"), day + DAY_OFFSET)
    carbon: Floats = np.round(world.site.tariff.grid_kg_co2e_per_kwh * (1 + of_day - p("tariff.sun_swing") * sun), 4)
    return carbon
