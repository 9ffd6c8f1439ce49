"""The laboratory that cycles small cells of trial designs until they are worn out, and what it tells of them.

A build is a design made into some cells, which begin together. What is told of a cell: its first hundred cycles as soon
as they are over, and months later how many it lived.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

import numpy as np

from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.cycling import Aged, Cells, aged, discharged, rated
from pipelines.twin.rng import hash_normal, hash_uniform
from pipelines.twin.table import Array, Floats, Ints, Table, codes, take
from pipelines.twin.world import World

Some = TypeVar("Some", Cells, Aged)
EARLY, LATE = 10, 100
_FIRST = 2


def cycling_records(world: World, day: int) -> dict[str, Table]:
    """Records of a production day by feed; the first day brings all that the laboratory has had before."""
    begin, end = world.clock.bounds(day)
    since = -world.p("cycling.history_days") * DAY if day == 0 else begin
    cells = _under_test(world, since, end)
    build = cells // int(world.p("cycling.cells_of_build"))
    own = _drawn(world, cells, build)
    states, life = aged(world.p, own, (_FIRST, EARLY, LATE))
    most = world.p("cycling.most_cycles")
    lived = np.floor(np.minimum(life, most))
    cycle_s = (1 / own.rate_c + 1 / world.p("cycling.discharge_c") + world.p("cycling.rest_h")) * HOUR
    begun_s = _begun_s(world, build)
    early_s, ended_s = begun_s + LATE * cycle_s, begun_s + lived * cycle_s
    head: Table = {"pilot_cell_id": codes("P", cells, 6).astype(object)}
    early = head | {
        "build_id": codes("B", build, 5).astype(object),
        "begun_s": begun_s,
        **_told(world, cells, own, states),
        **_moment(world, early_s),
    }
    over = head | {"cycle_life": lived.astype(np.int64), "is_worn_out": life <= most, **_moment(world, ended_s)}
    # A cell that fails within its first hundred cycles is no test of them.
    is_early = (lived > LATE) & (early_s >= since) & (early_s < end)
    is_over = (lived > LATE) & (ended_s >= since) & (ended_s < end)
    curves = _curves(world, cells[is_early], _of(own, is_early), {n: _of(states[n], is_early) for n in (EARLY, LATE)})
    points = len(curves["voltage_mv"]) // max(int(is_early.sum()), 1)
    curves |= {name: np.repeat(early[name][is_early], points) for name in ("pilot_cell_id", "event_s", "known_s")}
    return {
        "tester__cycling": take(early, is_early),
        "tester__cycling_curve": curves,
        "tester__cycling_end": take(over, is_over),
    }


def _under_test(world: World, since: float, until: float) -> Ints:
    """Numbers of the cells that may have been cycled between two moments."""
    every_s, size = world.p("cycling.build_every_d") * DAY, int(world.p("cycling.cells_of_build"))
    opened_s = -world.p("cycling.history_days") * DAY
    longest_s = world.p("cycling.longest_d") * DAY
    first = max(0, int((since - longest_s - opened_s) // every_s))
    last = int((until - opened_s) // every_s)
    return np.arange(first * size, (last + 1) * size, dtype=np.int64)


def _begun_s(world: World, build: Ints) -> Floats:
    day = build.astype(np.float64) * world.p("cycling.build_every_d") - world.p("cycling.history_days")
    begun: Floats = day * DAY + world.p("cycling.begin_h") * HOUR
    return begun


def _drawn(world: World, cells: Ints, build: Ints) -> Cells:
    """True values of cells: the design is the build's, and each cell comes out a little differently."""
    p = world.p

    def chosen(name: str, step: float) -> Floats:
        low, high = p(f"cycling.design.{name}.low"), p(f"cycling.design.{name}.high")
        values: Floats = low + np.round((high - low) * _uniform(world, name, build) / step) * step
        return values

    def own(name: str) -> Floats:
        factor: Floats = np.exp(p(f"cycling.{name}.own") * _normal(world, f"{name}_own", cells))
        return factor

    moisture = p("cycling.moisture_ppm") * np.exp(
        p("cycling.moisture_sd") * _normal(world, "moisture_build", build)
        + p("cycling.moisture_cell_sd") * _normal(world, "moisture_cell", cells)
    )
    efficiency = (
        p("cycling.efficiency_pct")
        + p("cycling.efficiency_per_100ppm") * (moisture - p("cycling.moisture_ppm")) / 100
        + p("cycling.efficiency_sd") * _normal(world, "efficiency_build", build)
        + p("cycling.efficiency_cell_sd") * _normal(world, "efficiency_cell", cells)
    )
    return Cells(
        ratio=chosen("ratio", 0.005) + p("cycling.ratio_sd") * _normal(world, "ratio_cell", cells),
        rate_c=chosen("rate_c", 0.5),
        temp_c=chosen("temp_c", 5.0),
        moisture_ppm=moisture,
        additive_pct=chosen("additive_pct", 0.1),
        efficiency_pct=efficiency,
        sei=own("sei"),
        graphite=own("graphite"),
        plating=own("plating"),
        resistance=own("resistance"),
    )


def _told(world: World, cells: Ints, own: Cells, states: dict[int, Aged]) -> Table:
    """What is measured of the first hundred cycles, beside what the design says."""
    p = world.p
    design_ratio = own.ratio - p("cycling.ratio_sd") * _normal(world, "ratio_cell", cells)
    told: Table = {
        "negative_to_positive": np.round(design_ratio, 3),
        "charge_rate_c": own.rate_c,
        "chamber_temp_c": own.temp_c,
        "vinylene_carbonate_pct": own.additive_pct,
        "cathode_moisture_ppm": np.round(own.moisture_ppm * (1 + _error(world, "moisture", cells, 0))),
        "first_cycle_efficiency_pct": np.round(own.efficiency_pct + _error(world, "efficiency", cells, 0), 2),
    }
    for cycle, state in states.items():
        full = p("cycling.nominal_ah") * rated(p, own) * state.lithium * _read(world, cells, cycle)
        told[f"capacity_c{cycle}_ah"] = np.round(full, 4)
        if cycle == _FIRST:
            continue
        fresh_mohm = 1000 * p("cycling.resistance_ohm") * state.resistance
        # The more lithium the first charge took, the less is left where low states of charge are steep (Weng 2022).
        more_pct = own.efficiency_pct - p("cycling.efficiency_pct")
        steep = p("cycling.low_soc.ratio") + p("cycling.low_soc.per_pct") * more_pct
        low_soc = fresh_mohm * steep * (1 + _error(world, "low_soc", cells, cycle))
        told[f"low_soc_resistance_c{cycle}_mohm"] = np.round(low_soc, 2)
        held_s = p("cycling.hold_s") * state.resistance
        time_s = (HOUR / own.rate_c * state.lithium + held_s) * (1 + _error(world, "charge_time", cells, cycle))
        told[f"charge_time_c{cycle}_s"] = np.round(time_s)
    warmer_c = p("cycling.self_heating_c") * (own.rate_c / p("cycling.rate_c")) ** 2 * states[LATE].resistance
    told["cell_temp_mean_c"] = np.round(own.temp_c + warmer_c + _error(world, "temp", cells, 0), 2)
    return told


def _curves(world: World, cells: Ints, own: Cells, states: dict[int, Aged]) -> Table:
    """Charge given until each voltage of a fixed grid, in the two cycles that are compared."""
    p = world.p
    grid_mv = np.arange(p("cycling.curve.from_mv"), p("cycling.curve.to_mv") + 1, p("cycling.curve.step_mv"))
    columns: Table = {"voltage_mv": np.tile(grid_mv.astype(np.int64), len(cells))}
    for cycle, state in states.items():
        true = discharged(p, own, state, grid_mv / 1000) * _read(world, cells, cycle)[:, None]
        noise = p("cycling.error.curve_ah") * hash_normal(
            world.salt("cycling_curve"), cells[:, None], np.arange(len(grid_mv)), cycle
        )
        columns[f"discharged_c{cycle}_ah"] = np.round(true + noise, 5).ravel()
    return columns


def _read(world: World, cells: Ints, cycle: int) -> Floats:
    """By what a measured charge is wrong: the channel's own current, and the chamber's mood in that cycle."""
    p = world.p
    channel = p("cycling.error.channel") * _normal(world, "channel", cells)
    mood_c = p("cycling.error.chamber_c") * _normal(world, "chamber", cells, cycle)
    factor: Floats = 1 + channel + p("cycling.capacity_per_c") * mood_c
    return factor


def _error(world: World, name: str, cells: Ints, cycle: int) -> Floats:
    error: Floats = world.p(f"cycling.error.{name}") * _normal(world, f"{name}_error", cells, cycle)
    return error


def _normal(world: World, name: str, *keys: Ints | int) -> Floats:
    return hash_normal(world.salt(f"cycling_{name}"), *keys)


def _uniform(world: World, name: str, *keys: Ints | int) -> Floats:
    return hash_uniform(world.salt(f"cycling_{name}"), *keys)


def _moment(world: World, at_s: Floats) -> Table:
    return {"event_s": at_s, "known_s": at_s + world.p("cycling.booked_after_h") * HOUR}


def _of(whole: Some, rows: Array) -> Some:
    """The same of some rows."""
    return type(whole)(**{each.name: getattr(whole, each.name)[rows] for each in fields(whole)})
