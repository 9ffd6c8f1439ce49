"""Failures, repairs, planned maintenance and the health of machines by the hour; only a part of the failures warns."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import gamma

import numpy as np

from pipelines.control_plan.plan import Characteristic
from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.interventions import Interventions, Span
from pipelines.twin.rng import DAY_OFFSET, Module, hash_normal, hash_uniform, salt, stream
from pipelines.twin.table import Array, Bools, Floats, Table, concat
from pipelines.twin.world import World

FAILURE_MODES = ("bearing", "drive", "sensor", "seal", "control")
_MOST_LIVES = 400


@dataclass(frozen=True)
class Life:
    """Lives of one machine in plant seconds, one after the other.

    Attributes:
        due_s: when it would fail. ended_s: when it did, or when maintenance came first.
        until_s: end of the repair or maintenance, when the next life begins.
        is_failure: whether it failed. is_warned: whether its health tells beforehand. mode: what would fail.
    """

    due_s: Floats
    ended_s: Floats
    until_s: Floats
    is_failure: Bools
    is_warned: Bools
    mode: Array


class Equipment:
    """When machines fail follows from seed, machine and maintenance alone, so that days can be simulated one by one."""

    def __init__(self, world: World, interventions: Interventions, *, until_s: float) -> None:
        self._world = world
        self._machines = tuple(each.id for each in world.site.machines() if each.machine_class != "iqc_lab")
        self._lives = {
            machine: _lives(world, machine, interventions.services(machine), until_s) for machine in self._machines
        }
        self._interventions = interventions

    def stops(self, machine_id: str, begin: float, end: float) -> list[tuple[float, float, str, str]]:
        """Breakdowns, maintenance and planned stops that touch a span: from, until, state, reason."""
        life = self._lives[machine_id]
        touched = np.flatnonzero((life.ended_s < end) & (life.until_s > begin))
        found = [
            (float(life.ended_s[i]), float(life.until_s[i]))
            + (("Aborted", "breakdown") if life.is_failure[i] else ("Stopped", "maintenance"))
            for i in touched
        ]
        planned = [span for span in self._interventions.stops(machine_id) if span[0] < end and span[1] > begin]
        return [*found, *((start, until, "Stopped", "scheduled") for start, until in planned)]

    def breakdowns(self, machine_id: str, begin: float, end: float) -> list[tuple[float, float]]:
        """Breakdowns that begin within a span: when, and until when they are repaired."""
        life = self._lives.get(machine_id)
        if life is None:
            return []
        chosen = np.flatnonzero(life.is_failure & (life.ended_s >= begin) & (life.ended_s < end))
        return [(float(life.ended_s[i]), float(life.until_s[i])) for i in chosen]

    def health(self, first_day: int, last_day: int) -> Table:
        """Rows of the historian, one per machine and hour, for production days first to last inclusive."""
        clock = self._world.clock
        begin, end = clock.bounds(first_day)[0], clock.bounds(last_day)[1]
        return concat([self._machine_health(no, begin, end) for no in range(len(self._machines))])

    def _machine_health(self, no: int, begin: float, end: float) -> Table:
        world, p = self._world, self._world.p
        life = self._lives[self._machines[no]]
        hours = np.arange(begin, end, HOUR)
        now = np.searchsorted(life.ended_s, hours, side="right")
        since = np.where(now > 0, life.until_s[np.maximum(now - 1, 0)], begin_of_history(world))
        wear = np.clip((hours - since) / HOUR / p("equipment.life_mean_h"), 0, 2)
        nearness = 1 - (life.due_s[now] - hours) / HOUR / p("equipment.warning_h")
        warning = np.where(life.is_warned[now], np.clip(nearness, 0, 1) ** p("equipment.warning_power"), 0)
        rng = stream(world.seed, int(begin // DAY), Module.EQUIPMENT)
        noise = np.random.default_rng([world.seed, no, int(begin // DAY) + DAY_OFFSET])
        table: Table = {"machine_id": np.full(len(hours), self._machines[no]), "event_s": hours + HOUR}
        swing = p("weather.hall_swing_c") * np.sin(2 * np.pi * hours / DAY) + rng.standard_normal()
        for row in (each for each in world.site.plan.rows if each.feed == "historian__machine_hour"):
            by_wear, by_warning = world.graph.health_signs.get(row.name, (0.0, 0.0))
            own = p("equipment.machine_effect") * hash_normal(salt(world.seed, f"{row.code}@hour"), no)
            z = by_wear * (wear - 0.5) + by_warning * warning + own + noise.standard_normal(len(hours))
            value = (row.nominal or 0.0) + _hour_spread(row.nominal, row.usl) * z
            if row.name == "ambient_temp_c":
                value = value + swing
            if row.name == "run_time_s":
                value = np.where(hours < since, 0.0, np.clip(value, 0, HOUR))
            table[row.code] = np.clip(value, row.physical_min, row.physical_max)
        return table

    def orders(self, first_day: int, last_day: int) -> Table:
        """Work orders of the CMMS: one record when it opens, another when it is closed."""
        clock = self._world.clock
        begin, end = clock.bounds(first_day)[0], clock.bounds(last_day)[1]
        rows: list[Table] = []
        for machine_id in self._machines:
            life = self._lives[machine_id]
            for moments, is_closing in ((life.ended_s, False), (life.until_s, True)):
                chosen = np.flatnonzero((moments >= begin) & (moments < end))
                is_failure = life.is_failure[chosen]
                rows.append(
                    {
                        "work_order_id": np.array([f"WO-{machine_id}-{i:04d}" for i in chosen], dtype=object),
                        "machine_id": np.full(len(chosen), machine_id, dtype=object),
                        "type_code": np.where(is_failure, "breakdown", "preventive").astype(object),
                        "failure_mode_code": _only(life.mode[chosen], is_failure),
                        "opened_s": life.ended_s[chosen],
                        "closed_s": np.where(is_closing, life.until_s[chosen], np.nan),
                        "known_s": moments[chosen],
                    }
                )
        return concat(rows)

    def truth(self, first_day: int, last_day: int) -> Table:
        """Lives that ended in these days: what the plant could not see of them."""
        clock = self._world.clock
        begin, end = clock.bounds(first_day)[0], clock.bounds(last_day)[1]
        rows = []
        for machine_id in self._machines:
            life = self._lives[machine_id]
            chosen = np.flatnonzero((life.ended_s >= begin) & (life.ended_s < end))
            rows.append(
                {
                    "machine_id": np.full(len(chosen), machine_id, dtype=object),
                    "ended_at": clock.utc(life.ended_s[chosen]),
                    "would_fail_at": clock.utc(life.due_s[chosen]),
                    "is_failure": life.is_failure[chosen],
                    "is_warned": life.is_warned[chosen],
                    "failure_mode_code": life.mode[chosen].astype(object),
                }
            )
        return concat(rows)


def _only(values: Array, where: Bools) -> Array:
    kept: Array = values.astype(object)
    kept[~where] = None
    return kept


def health_z(row: Characteristic, values: Floats) -> Floats:
    """How far a machine's signs lie from their nominal, in standard deviations of an hour's value."""
    z: Floats = (values - (row.nominal or 0.0)) / _hour_spread(row.nominal, row.usl)
    return z


def _hour_spread(nominal: float | None, usl: float | None) -> float:
    return (usl - nominal) / 4 if usl is not None and nominal is not None else 0.06 * abs(nominal or 1.0)


def begin_of_history(world: World) -> float:
    """Plant seconds at which all machines began their first life."""
    return -(world.p("equipment.history_days") + world.p("equipment.run_in_days")) * DAY


def _lives(world: World, machine_id: str, services: list[Span], until_s: float) -> Life:
    """Lives from long before the first day until one that ends after `until_s`."""
    p, number = world.p, zlib.crc32(machine_id.encode())
    steps = np.arange(_MOST_LIVES)
    shape, mean = p("equipment.life_shape"), p("equipment.life_mean_h")
    uniform = hash_uniform(salt(world.seed, "life"), number, steps)
    lives = mean / gamma(1 + 1 / shape) * (-np.log(uniform)) ** (1 / shape) * HOUR
    repairs = p("equipment.repair_mean_h") * -np.log(hash_uniform(salt(world.seed, "repair"), number, steps)) * HOUR
    rows: list[tuple[float, float, float, bool]] = []
    now = begin_of_history(world)
    waiting = list(services)
    for length, repair in zip(lives.tolist(), repairs.tolist(), strict=True):
        due = now + length
        waiting = [span for span in waiting if span[0] >= now]  # one that comes during a repair is part of it
        service = next((span for span in waiting if span[0] < due), None)
        ended, now = (due, due + repair) if service is None else service
        rows.append((due, ended, now, service is None))
        if ended > until_s:
            break
    due_s, ended_s, until, is_failure = (np.array(column) for column in zip(*rows, strict=True))
    count = len(rows)
    warned = hash_uniform(salt(world.seed, "warned"), number, steps[:count]) < p("equipment.warned_ratio")
    kinds = (hash_uniform(salt(world.seed, "mode"), number, steps[:count]) * len(FAILURE_MODES)).astype(int)
    return Life(due_s, ended_s, until, is_failure, warned, np.array(FAILURE_MODES)[kinds])
