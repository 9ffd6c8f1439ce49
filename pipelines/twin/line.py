"""The line's day: machine states (PackML), and the moments at which cells leave the stackers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from pipelines.control_plan.plan import Machine
from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.equipment import Equipment
from pipelines.twin.rng import DAY_OFFSET, Module, stream
from pipelines.twin.table import Array, Floats, Ints, Table, concat
from pipelines.twin.world import World

_STOP_REASONS = ("minor_stop", "jam", "changeover", "starved")
Stop = tuple[float, float, str, str]


@dataclass
class LineDay:
    """Machine states of a day, and the cells it began: plant seconds in order, with the number of the stacker."""

    states: Table
    stacked_s: Floats
    stackers: Ints


def run_day(world: World, equipment: Equipment, day: int) -> LineDay:
    """States of all machines that count into the OEE, and the cells that the stackers finished.

    The states are those of the whole line at any scale; of the cells, the scale's share is followed. Stackers, and
    the machines before them, count speed times time; the counts of those after them follow from the cells: see
    `counts.with_cells`.
    """
    begin, end = world.clock.bounds(day)
    rng = stream(world.seed, day, Module.STATES)
    performance = world.p("line.performance_ratio") + world.p("line.performance_sd") * rng.standard_normal()
    tables: list[Table] = []
    times, stackers = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for machine in (each for each in world.site.machines() if each.is_in_oee):
        # A stream of its own: what is decided about one machine changes no draw of another.
        own = np.random.default_rng([world.seed, day + DAY_OFFSET, int(Module.STATES), zlib.crc32(machine.id.encode())])
        stops = equipment.stops(machine.id, begin, end)
        table = _states(world, own, machine, performance, _intervals(world, own, stops, begin, end))
        tables.append(table)
        if machine.machine_class == "stacker":
            moments = _finished(world, own, table)
            times.append(moments)
            stackers.append(np.full(len(moments), world.site.machines("stacker").index(machine)))
    stacked, who = np.concatenate(times), np.concatenate(stackers)
    order = np.argsort(stacked, kind="stable")
    return LineDay(concat(tables), stacked[order], who[order])


def _states(
    world: World, rng: np.random.Generator, machine: Machine, performance: float, intervals: list[Stop]
) -> Table:
    """State records of a machine with what it produced: speed times time where it does not follow from the cells."""
    starts, ends = np.array([each[0] for each in intervals]), np.array([each[1] for each in intervals])
    states, reasons = np.array([each[2] for each in intervals]), np.array([each[3] for each in intervals])
    speed = performance + world.p("line.machine_speed_sd") * rng.standard_normal()
    speed = float(np.clip(speed, world.p("line.speed_min_ratio"), 1.0))
    is_counted = (states == "Execute") & (machine.rate_unit != "cell" or machine.machine_class == "stacker")
    counts = np.where(is_counted, np.floor((ends - starts) / HOUR * (machine.ideal_rate_per_h or 0.0) * speed), 0.0)
    return {
        "machine_id": np.full(len(starts), machine.id), "state_code": states, "start_s": starts,
        "end_s": ends, "produced_count": counts, "good_count": counts, "reason_code": reasons,
    }  # fmt: skip


def _finished(world: World, rng: np.random.Generator, states: Table) -> Floats:
    """Moments at which a stacker finished the cells that are followed."""
    earliest, latest = world.p("line.finish_earliest_ratio"), world.p("line.finish_latest_ratio")
    moments: list[Floats] = [np.zeros(0)]
    for start, stop, count in zip(
        states["start_s"], states["end_s"], states["produced_count"].astype(int), strict=True
    ):
        within = rng.uniform(earliest, latest, count)
        moments.append(start + (np.arange(count) + within) * (stop - start) / max(count, 1))
    every = np.concatenate(moments)
    share = np.floor(np.arange(len(every) + 1) * world.scale)
    followed: Floats = every[np.diff(share) > 0]
    return followed


def _intervals(world: World, rng: np.random.Generator, stops: list[Stop], begin: float, end: float) -> list[Stop]:
    """Consecutive states over a day; a stop that overlaps an earlier one is part of it as long as that lasts."""
    stops = [(max(start, begin), min(until, end), state, reason) for start, until, state, reason in stops]
    count = rng.poisson(world.p("line.stops_per_day") * (end - begin) / DAY)
    lengths_s = rng.exponential(world.p("line.stop_mean_min"), count) * 60
    reasons: Array = rng.integers(len(_STOP_REASONS), size=count)
    for start, length_s, no in zip(rng.uniform(begin, end, count), lengths_s, reasons, strict=True):
        reason = _STOP_REASONS[no]
        state = "Suspended" if reason == "starved" else "Held"
        stops.append((float(start), min(float(start) + length_s, end), state, reason))
    setup_s = world.p("line.setup_h_per_day") * HOUR
    setup = float(rng.uniform(begin, end - 2 * setup_s))
    stops.append((setup, setup + setup_s, "Stopped", "setup"))
    rows: list[Stop] = []
    now = begin
    for start, until, state, reason in sorted(stops):
        if until <= now:
            continue
        if start > now:
            rows.append((now, start, "Execute", ""))
        rows.append((max(start, now), until, state, reason))
        now = until
    return [*rows, (now, end, "Execute", "")] if now < end else rows
