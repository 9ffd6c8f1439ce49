"""The line's day: machine states (PackML), and the moments at which cells leave the stackers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.twin.clock import DAY, HOUR, Clock
from pipelines.twin.equipment import Failures
from pipelines.twin.rng import Module, stream
from pipelines.twin.table import Floats, Table, concat
from pipelines.twin.world import World

_STOP_REASONS = ("minor_stop", "jam", "changeover", "starved")


@dataclass
class LineDay:
    """Machine states of a day and what it started: `stacked_s` are plant seconds in order."""

    states: Table
    stacked_s: Floats
    stacker_no: np.ndarray[tuple[int], np.dtype[np.int64]]


def run_day(world: World, clock: Clock, failures: Failures, day: int) -> LineDay:
    """States of all machines that count into the OEE, and the cells that the stackers finished."""
    rng = stream(world.seed, day, Module.STATES)
    begin, end = clock.bounds(day)
    tables: list[Table] = []
    times: list[Floats] = []
    stackers: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    performance = world.p("line.performance_ratio") + world.p("line.performance_sd") * rng.standard_normal()
    for machine in (each for each in world.site.machines() if each.is_in_oee):
        starts, ends, states, reasons = _intervals(world, rng, failures.of(machine.id, begin, end), begin, end)
        rate = (machine.ideal_rate_per_h or 0.0) * (world.scale if machine.rate_unit == "cell" else 1.0)
        speed = float(np.clip(performance + 0.01 * rng.standard_normal(), 0.5, 1.0))
        running = states == "Execute"
        counts = np.where(running, np.floor((ends - starts) / HOUR * rate * speed), 0.0)
        good = counts - rng.binomial(counts.astype(int), 0.008)
        tables.append(
            {
                "machine_id": np.full(len(starts), machine.id), "state_code": states, "start_s": starts,
                "end_s": ends, "produced_count": counts, "good_count": good, "reason_code": reasons,
            }
        )  # fmt: skip
        if machine.machine_class == "stacker":
            for start, stop, count in zip(starts[running], ends[running], counts[running].astype(int), strict=True):
                moments = start + (np.arange(count) + rng.uniform(0.2, 0.8, count)) * (stop - start) / max(count, 1)
                times.append(moments)
                stackers.append(np.full(count, int(machine.id.rsplit("_", 1)[1]) - 1))
    stacked, who = np.concatenate(times), np.concatenate(stackers)
    order = np.argsort(stacked, kind="stable")
    return LineDay(concat(tables), stacked[order], who[order])


def _intervals(
    world: World, rng: np.random.Generator, broken: list[tuple[float, float]], begin: float, end: float
) -> tuple[Floats, Floats, np.ndarray[tuple[int], np.dtype[np.str_]], np.ndarray[tuple[int], np.dtype[np.str_]]]:
    """Consecutive states over a day; stops that overlap a breakdown are part of it."""
    stops = [(max(a, begin), min(b, end), "Aborted", "breakdown") for a, b in broken]
    count = rng.poisson(world.p("line.stops_per_day") * (end - begin) / DAY)
    for start in np.sort(rng.uniform(begin, end, count)):
        length = rng.exponential(world.p("line.stop_mean_min")) * 60
        reason = _STOP_REASONS[rng.integers(len(_STOP_REASONS))]
        state = "Suspended" if reason == "starved" else "Held"
        stops.append((float(start), min(float(start) + length, end), state, reason))
    setup = rng.uniform(begin, end - 2 * HOUR)
    stops.append((setup, setup + world.p("line.setup_h_per_day") * HOUR, "Stopped", "setup"))
    rows: list[tuple[float, float, str, str]] = []
    now = begin
    for start, stop, state, reason in sorted(stops):
        if stop <= now:
            continue
        if start > now:
            rows.append((now, start, "Execute", ""))
        rows.append((max(start, now), stop, state, reason))
        now = stop
    if now < end:
        rows.append((now, end, "Execute", ""))
    starts, ends, states, reasons = zip(*rows, strict=True)
    return np.array(starts), np.array(ends), np.array(states), np.array(reasons)
