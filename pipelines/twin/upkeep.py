"""What upkeep leaves behind: spare parts used and in stock, and calibrations of gauges with the error as found."""

from __future__ import annotations

import zlib

import numpy as np

from pipelines.control_plan.plan import Characteristic, Machine
from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.equipment import FAILURE_MODES, Equipment
from pipelines.twin.rng import DAY_OFFSET, hash_normal, hash_uniform
from pipelines.twin.table import Array, Floats, Ints, Table, concat, take
from pipelines.twin.world import World, spread

_KIT = "service_kit"
_WEEK = 7


def spare_part_uses(world: World, equipment: Equipment, first_day: int, last_day: int) -> Table:
    """Parts that work orders closed on these days, inclusive, took: one for what had failed, or a kit for a service."""
    orders = equipment.orders(first_day, last_day)
    orders = take(orders, np.isfinite(orders["closed_s"]))
    classes = {machine.id: machine.machine_class for machine in world.site.machines()}
    parts = [
        f"{classes[machine]}-{mode or _KIT}"
        for machine, mode in zip(orders["machine_id"], orders["failure_mode_code"], strict=True)
    ]
    number = np.array([zlib.crc32(each.encode()) for each in orders["work_order_id"]], dtype=np.int64)
    is_double = hash_uniform(world.salt("spare_double"), number) < world.p("spare.double_ratio")
    return {
        "work_order_id": orders["work_order_id"],
        "part_code": np.array(parts, dtype=object),
        "machine_id": orders["machine_id"],
        "used_s": orders["closed_s"],
        "quantity": 1 + is_double.astype(np.int64),
        "event_s": orders["closed_s"],
        "known_s": orders["closed_s"] + world.p("spare.booked_after_h") * HOUR,
    }


def spare_part_counts(world: World, equipment: Equipment, first_day: int, last_day: int) -> Table:
    """Stock of each part, counted at the end of every week among these days, inclusive.

    What is used is ordered again at once and comes after the part's lead time (a base stock), so that what is lacking
    is what was used within that time.
    """
    days = [day for day in range(first_day, last_day + 1) if (day + DAY_OFFSET) % _WEEK == 0]
    if not days:
        return {}
    classes = sorted({each.machine_class for each in world.site.machines() if each.machine_class != "iqc_lab"})
    parts = np.array([f"{each}-{mode}" for each in classes for mode in (*FAILURE_MODES, _KIT)], dtype=object)
    of_class = np.repeat(np.array(classes, dtype=object), len(FAILURE_MODES) + 1)
    number = np.array([zlib.crc32(each.encode()) for each in parts], dtype=np.int64)
    lead_d = np.round(_between(world, "spare.lead_least_d", "spare.lead_most_d", "spare_lead", number))
    price = np.round(_between(world, "spare.price_least_usd", "spare.price_most_usd", "spare_price", number))
    reach = int(world.p("spare.lead_most_d")) + 1
    uses = spare_part_uses(world, equipment, first_day - reach, last_day)
    used = np.searchsorted(np.sort(parts), uses["part_code"])
    used = np.argsort(parts)[used]  # position of each use's part
    tables = []
    for day in days:
        counted_s = world.clock.bounds(day)[1] - 60.0
        is_away = (uses["used_s"] <= counted_s) & (uses["used_s"] > counted_s - lead_d[used] * DAY)
        away = np.bincount(used[is_away], weights=uses["quantity"][is_away], minlength=len(parts))
        tables.append(
            {
                "part_code": parts,
                "machine_class": of_class,
                "stock_qty": np.maximum(world.p("spare.base_stock") - away, 0.0).astype(np.int64),
                "unit_price_usd": price,
                "lead_time_d": lead_d,
                "counted_s": np.full(len(parts), counted_s),
                "event_s": np.full(len(parts), counted_s),
                "known_s": np.full(len(parts), counted_s + 30.0),
            }
        )
    return concat(tables)


def _between(world: World, least: str, most: str, name: str, number: Ints) -> Floats:
    """A lasting number of each part between two parameters, small ones more often: evenly on a scale of ratios."""
    low, high = world.p(least), world.p(most)
    values: Floats = low * (high / low) ** hash_uniform(world.salt(name), number)
    return values


def calibrations(world: World, first_day: int, last_day: int) -> Table:
    """Calibrations on these days, inclusive, of the gauges that twin.yaml gives an interval.

    A gauge's error grows at its own lasting rate since it was last adjusted; what a scenario does to it comes on top.
    """
    tables = [
        _of_gauge(world, world.site.plan.by_code[code], machine, interval_d, first_day, last_day)
        for code, interval_d in world.p.under("calibration.interval_d").items()
        for machine in world.site.machines(world.site.plan.by_code[code].machine_class)
    ]
    return concat(tables)


def _of_gauge(
    world: World, row: Characteristic, machine: Machine, interval_d: float, first_day: int, last_day: int
) -> Table:
    p, gauge = world.p, zlib.crc32(f"{row.code}@{machine.id}".encode())
    # Counted from long before the plant's history, so that each gauge has its own turn.
    turn_d = float(hash_uniform(world.salt("calibration_turn"), gauge)) * interval_d - DAY_OFFSET
    first, last = (int(np.floor((day - turn_d) / interval_d)) - 1 for day in (first_day, last_day + 1))
    numbers = np.arange(first, last + 2)
    due_d = turn_d + numbers * interval_d
    late_d = p("calibration.late_most_d") * hash_uniform(world.salt("calibration_late"), gauge, numbers)
    done_d = np.floor(due_d + late_d) + (p("calibration.hour") / 24)
    since_d = np.diff(done_d, prepend=done_d[0] - interval_d)
    rate = p("calibration.drift_gauge_sd_per_30d") * float(hash_normal(world.salt("calibration_drift"), gauge))
    noise = p("calibration.noise_gauge_sd") * hash_normal(world.salt("calibration_noise"), gauge, numbers)
    error = row.gauge_sd * (rate * since_d / 30 + noise) + _bias(world, row, machine, done_d)
    done_s = done_d * DAY
    rows = np.flatnonzero((numbers > first) & (done_d >= first_day) & (done_d < last_day + 1))
    table: dict[str, Array] = {
        "gauge_id": np.full(len(numbers), machine.id, dtype=object),
        "characteristic_code": np.full(len(numbers), row.code, dtype=object),
        "calibrated_s": done_s,
        "due_s": done_s + interval_d * DAY,
        "as_found_error": error,
        "tolerance": np.full(len(numbers), p("calibration.tolerance_gauge_sd") * row.gauge_sd),
        "event_s": done_s,
        "known_s": done_s + p("calibration.booked_after_h") * HOUR,
    }
    return take(table, rows)


def _bias(world: World, row: Characteristic, machine: Machine, days: Floats) -> Floats:
    """What the scenario adds to what a gauge shows, in the characteristic's unit."""
    scenario = world.scenario
    bias, ramp = scenario.bias.get(row.code, 0.0), scenario.bias_ramp.get(row.code, 0.0)
    day = np.floor(days)
    until = np.inf if scenario.until_day is None else scenario.until_day
    is_on = (day >= scenario.from_day) & (day < until) & (scenario.machine_id in ("", machine.id))
    own = world.node(row.code).spread
    shown: Floats = np.where(is_on, bias + ramp * (day - scenario.from_day + 1), 0.0) * (
        spread(row) if own is None else own
    )
    return shown
