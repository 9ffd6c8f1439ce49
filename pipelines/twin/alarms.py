"""The alarm log (ISA-18.2): trips and what follows them, short stops, signs of wear, excursions, chattering sensors."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np

from pipelines.control_plan.derive import characteristics, column_of
from pipelines.control_plan.plan import Characteristic, Machine
from pipelines.twin.clock import HOUR
from pipelines.twin.equipment import Equipment, health_z
from pipelines.twin.rng import DAY_OFFSET, Module, hash_uniform, stream
from pipelines.twin.table import Array, Bools, Floats, Table, concat, length, take
from pipelines.twin.world import World

_FOLLOWING = ("drive_not_ready", "guard_interlock", "position_lost", "vacuum_low", "cooling_flow_low", "bus_fault")
_SENSORS = ("level_switch", "door_contact", "flow_switch", "pressure_switch")
_HEALTH = ("vibration_mm_s", "motor_current_a", "bearing_temp_c")
_STOPS = {"minor_stop": "short_stop", "jam": "jam_detected", "starved": "infeed_starved"}
# Records whose values are watched, with the column of the machine that they were made on.
_WATCHED = {
    "mes__mother_roll": "machine_id", "mes__calendering": "machine_id", "mes__filling": "filler_id",
    "tester__formation": "machine_id",
}  # fmt: skip
_PRIORITY = {"CC": "high", "SC": "medium"}
_LOAD_S = 600.0


class Alarms:
    """Alarms of a production day, of the whole line; those of records are of the cells that are followed.

    Args:
        world: the plant.
        equipment: when machines fail.
        day: the production day.
    """

    def __init__(self, world: World, equipment: Equipment, day: int) -> None:
        self._world, self._equipment, self._day = world, equipment, day
        self._begin, self._end = world.clock.bounds(day)
        self._rng = stream(world.seed, day, Module.ALARMS)

    def records(self, states: Table, health: Table, records: Mapping[str, Table]) -> Table:
        """Records of the log: one when an alarm is raised, another when it has returned and was acknowledged.

        Args:
            states: of machines, of the day.
            health: of machines by the hour; other days may be among it.
            records: of what was made, by feed.
        """
        parts = [*self._trips(), self._short_stops(states), *self._of_health(health), *self._excursions(records)]
        alarms = concat([*parts, *self._chatter()])
        inside = (alarms["raised_s"] >= self._begin) & (alarms["raised_s"] < self._end)
        alarms = take(alarms, np.flatnonzero(inside)[np.argsort(alarms["raised_s"][inside], kind="stable")])
        count = length(alarms)
        stamp = f"{self._world.clock.date_of(self._day):%y%m%d}"
        alarms["alarm_id"] = np.array([f"AL-{stamp}-{no:05d}" for no in range(1, count + 1)], dtype=object)
        alarms["acknowledged_s"] = alarms["raised_s"] + self._until_acknowledged_s(alarms)
        closed_s = np.maximum(alarms["acknowledged_s"], alarms["returned_s"])
        unknown = np.full(count, np.nan)
        raised = alarms | {"acknowledged_s": unknown, "returned_s": unknown, "known_s": alarms["raised_s"] + 2.0}
        return concat([each | {"event_s": each["raised_s"]} for each in (raised, alarms | {"known_s": closed_s + 2.0})])

    def _until_acknowledged_s(self, alarms: Table) -> Floats:
        """The more alarms came in the ten minutes before, the longer one waits."""
        p, raised_s = self._world.p, alarms["raised_s"]
        load = np.arange(len(raised_s)) - np.searchsorted(raised_s, raised_s - _LOAD_S)
        means = p.under("alarm.ack_mean_min")
        mean_s = 60 * np.array([means[each] for each in alarms["priority_code"]])
        waiting: Floats = mean_s * (1 + load / p("alarm.ack_load_count")) * self._rng.exponential(1.0, len(raised_s))
        return waiting

    def _trips(self) -> Iterator[Table]:
        """A machine that breaks down: its trip first, then its own consequences, then its neighbours'."""
        p, rng = self._world.p, self._rng
        for machine in self._world.site.machines():
            for start, until in self._equipment.breakdowns(machine.id, self._begin, self._end):
                yield self._alarms(machine.id, "machine_trip", "high", np.array([start]), np.array([until]))
                count = rng.poisson(p("alarm.follow_mean"))
                codes = np.array(_FOLLOWING, dtype=object)[rng.integers(len(_FOLLOWING), size=count)]
                after_s = 1.0 + rng.exponential(p("alarm.follow_delay_s"), count)
                yield self._following(np.full(count, machine.id, dtype=object), codes, start + after_s, until)
                yield self._of_neighbours(machine, start, until)

    def _of_neighbours(self, machine: Machine, start: float, until: float) -> Table:
        """Machines of the steps after a tripped one are starved, those before it blocked; few if it is one of many."""
        p, rng = self._world.p, self._rng
        steps = self._line_steps
        found: list[tuple[str, str, float]] = []
        for other in self._world.site.machines() if machine.step in steps else ():
            distance = steps.index(other.step) - steps.index(machine.step) if other.step in steps else 0
            is_near = 0 < abs(distance) <= p("alarm.neighbour_steps") and other.is_in_oee
            if not is_near or {machine.variant, other.variant} == {"cathode", "anode"}:
                continue
            if rng.uniform() < p("alarm.neighbour_ratio") / len(self._world.site.machines(machine.machine_class)):
                delay_s = 5.0 + abs(distance) * rng.exponential(p("alarm.neighbour_delay_s"))
                found.append((other.id, "infeed_starved" if distance > 0 else "outfeed_blocked", start + delay_s))
        ids, codes = (np.array([each[column] for each in found], dtype=object) for column in (0, 1))
        return self._following(ids, codes, np.array([each[2] for each in found], dtype=np.float64), until)

    @cached_property
    def _line_steps(self) -> list[str]:
        """Steps whose machines hand on what they make, in the order of the line."""
        counted = {machine.step for machine in self._world.site.machines() if machine.is_in_oee}
        return [step.code for step in self._world.site.plan.steps if step.code in counted]

    def _following(self, machines: Array, codes: Array, raised_s: Floats, until: float) -> Table:
        returned_s = np.maximum(raised_s, until) + self._rng.exponential(self._world.p("alarm.spread_s"), len(raised_s))
        priority = np.where(codes == "bus_fault", "medium", "low").astype(object)
        return {
            "machine_id": machines, "alarm_code": codes, "priority_code": priority,
            "raised_s": raised_s, "returned_s": returned_s,
        }  # fmt: skip

    def _short_stops(self, states: Table) -> Table:
        stopped = np.isin(states["reason_code"].astype(str), list(_STOPS))
        rows = np.flatnonzero(stopped & (self._rng.uniform(size=len(stopped)) < self._world.p("alarm.held_ratio")))
        codes = np.array([_STOPS[each] for each in states["reason_code"][rows]], dtype=object)
        return {
            "machine_id": states["machine_id"][rows].astype(object),
            "alarm_code": codes,
            "priority_code": np.full(len(rows), "low", dtype=object),
            "raised_s": states["start_s"][rows],
            "returned_s": states["end_s"][rows],
        }

    def _of_health(self, health: Table) -> Iterator[Table]:
        """Hours in which a sign of a coming failure is beyond its alarm limit."""
        ended_s = health["event_s"]
        today = take(health, (ended_s > self._begin) & (ended_s <= self._end))
        for row in (each for each in self._world.site.plan.rows if each.feed == "historian__machine_hour"):
            if row.name in _HEALTH:
                rows = np.flatnonzero(health_z(row, today[row.code]) > self._world.p("alarm.health_sd"))
                ids, raised_s = today["machine_id"][rows].astype(object), today["event_s"][rows] - HOUR
                yield self._alarms(ids, f"{row.name}_high", "medium", raised_s, raised_s + HOUR)

    def _excursions(self, records: Mapping[str, Table]) -> Iterator[Table]:
        """Values beyond the specification on what was just made."""
        for feed, machine in _WATCHED.items():
            table = records.get(feed)
            if not table or not length(table):
                continue
            for row in characteristics(self._world.site, feed):
                values = table[column_of(self._world.site, row)]
                own = (
                    table["electrode_code"] == row.variant if "electrode_code" in table else np.full(len(values), True)
                )
                for side, is_beyond in _beyond(row, values):
                    rows = np.flatnonzero(own & is_beyond)
                    back_s = self._rng.exponential(self._world.p("alarm.excursion_return_min"), len(rows)) * 60
                    raised_s, priority = table["event_s"][rows], _PRIORITY.get(row.special_class, "low")
                    yield self._alarms(
                        table[machine][rows], f"{row.name}_{side}", priority, raised_s, raised_s + back_s
                    )

    def _chatter(self) -> Iterator[Table]:
        """Some machines have a sensor that switches to and fro for days: three alarms and more in a minute."""
        p, rng = self._world.p, self._rng
        block = (self._day + DAY_OFFSET) // int(p("alarm.chatter_block_d"))
        for machine in self._world.site.machines():
            keys = zlib.crc32(machine.id.encode()), block
            if float(hash_uniform(self._world.salt("chatter"), *keys)) >= p("alarm.chatter_ratio"):
                continue
            sensor = _SENSORS[int(hash_uniform(self._world.salt("chatter_sensor"), *keys) * len(_SENSORS))]
            for start in rng.uniform(self._begin, self._end, rng.poisson(p("alarm.chatter_bursts_per_day"))):
                gaps = rng.uniform(
                    p("alarm.chatter_on_s") + 1, p("alarm.chatter_gap_s"), 3 + rng.poisson(p("alarm.chatter_mean"))
                )
                raised_s = start + np.cumsum(gaps)
                yield self._alarms(machine.id, sensor, "low", raised_s, raised_s + p("alarm.chatter_on_s"))

    def _alarms(self, machine: Array | str, code: str, priority: str, raised_s: Floats, returned_s: Floats) -> Table:
        count = len(raised_s)
        return {
            "machine_id": np.full(count, machine, dtype=object),
            "alarm_code": np.full(count, code, dtype=object),
            "priority_code": np.full(count, priority, dtype=object),
            "raised_s": raised_s,
            "returned_s": returned_s,
        }


def _beyond(row: Characteristic, values: Floats) -> Iterator[tuple[str, Bools]]:
    if row.usl is not None:
        yield "high", values > row.usl
    if row.lsl is not None:
        yield "low", values < row.lsl
