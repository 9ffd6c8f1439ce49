"""Failures, repairs and the health of machines by the hour; only a part of the failures gives warning."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from math import gamma

import numpy as np

from pipelines.twin.clock import DAY, HOUR, Clock
from pipelines.twin.rng import Module, hash_normal, hash_uniform, salt, stream
from pipelines.twin.table import Array, Floats, Table, concat
from pipelines.twin.world import World

_MODES = ("bearing", "drive", "sensor", "seal", "control")
# How strongly wear and a coming failure show in a feature, in standard deviations.
_SIGNS = {
    "vibration_mm_s": (0.7, 2.4), "motor_current_a": (0.5, 1.6), "bearing_temp_c": (0.5, 1.8),
    "sound_level_db": (0.4, 1.2), "lubricant_particle_ppm": (0.8, 1.4), "pressure_ripple_kpa": (0.4, 1.2),
    "cycle_time_deviation_pct": (0.3, 0.9), "alarm_count_h": (0.3, 1.0), "minor_stop_count_h": (0.3, 0.8),
}  # fmt: skip


@dataclass(frozen=True)
class Life:
    """Failures of one machine in plant seconds: when, until when, with warning or without."""

    failed_s: Floats
    repaired_s: Floats
    is_warned: Array
    mode: Array


class Failures:
    """When machines fail follows from seed and machine alone, so that days can be simulated one by one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._machines = tuple(each.id for each in world.site.machines() if each.machine_class != "iqc_lab")

    @property
    def machines(self) -> tuple[str, ...]:
        """Machines with an hourly health record."""
        return self._machines

    def of(self, machine_id: str, begin: float, end: float) -> list[tuple[float, float]]:
        """Breakdowns (from, until) that touch a span of plant seconds."""
        life = _life(self._world, machine_id)
        touched = (life.failed_s < end) & (life.repaired_s > begin)
        return list(zip(life.failed_s[touched].tolist(), life.repaired_s[touched].tolist(), strict=True))

    def health(self, clock: Clock, first_day: int, last_day: int) -> Table:
        """Rows of the historian, one per machine and hour, for production days first to last inclusive."""
        begin, end = clock.bounds(first_day)[0], clock.bounds(last_day)[1]
        return concat([self._machine_health(no, begin, end) for no in range(len(self._machines))])

    def _machine_health(self, no: int, begin: float, end: float) -> Table:
        world, machine_id = self._world, self._machines[no]
        life = _life(world, machine_id)
        hours = np.arange(begin, end, HOUR)
        following = np.searchsorted(life.failed_s, hours, side="right")
        last = np.where(following > 0, life.repaired_s[np.maximum(following - 1, 0)], -400 * DAY)
        wear = np.clip((hours - last) / HOUR / world.p("equipment.life_mean_h"), 0, 2)
        nearness = 1 - (life.failed_s[following] - hours) / HOUR / world.p("equipment.warning_h")
        warning = np.where(life.is_warned[following], np.clip(nearness, 0, 1) ** 1.5, 0)
        down = hours < last
        rng = stream(world.seed, int(begin // DAY), Module.EQUIPMENT)
        noise = np.random.default_rng([world.seed, no, int(begin // DAY) + 1000])
        table: Table = {"machine_id": np.full(len(hours), machine_id), "event_s": hours + HOUR}
        weather = 4 * np.sin(2 * np.pi * hours / DAY) + rng.standard_normal()
        for row in (each for each in world.site.plan.rows if each.feed == "historian__machine_hour"):
            by_wear, by_warning = _SIGNS.get(row.name, (0.0, 0.0))
            own = hash_normal(salt(world.seed, f"{row.code}@hour"), no)
            z = by_wear * (wear - 0.5) + by_warning * warning + 0.8 * own + noise.standard_normal(len(hours))
            value = (row.nominal or 0.0) + _hour_spread(row.nominal, row.usl) * z
            if row.name == "ambient_temp_c":
                value = value + weather
            if row.name == "run_time_s":
                value = np.where(down, 0.0, np.clip(value, 0, 3600))
            table[row.code] = np.clip(value, row.physical_min, row.physical_max)
        return table

    def orders(self, clock: Clock, first_day: int, last_day: int) -> Table:
        """Work orders of the CMMS: one record when a breakdown opens, another when it is closed."""
        begin, end = clock.bounds(first_day)[0], clock.bounds(last_day)[1]
        rows: list[Table] = []
        for machine_id in self._machines:
            life = _life(self._world, machine_id)
            for moments, is_closing in ((life.failed_s, False), (life.repaired_s, True)):
                chosen = np.flatnonzero((moments >= begin) & (moments < end))
                rows.append(
                    {
                        "work_order_id": np.array([f"WO-{machine_id}-{i:04d}" for i in chosen], dtype=object),
                        "machine_id": np.full(len(chosen), machine_id, dtype=object),
                        "failure_mode_code": life.mode[chosen].astype(object),
                        "opened_s": life.failed_s[chosen],
                        "closed_s": np.where(is_closing, life.repaired_s[chosen], np.nan),
                        "known_s": moments[chosen],
                    }
                )
        return concat(rows)


def _hour_spread(nominal: float | None, usl: float | None) -> float:
    return (usl - nominal) / 4 if usl is not None and nominal is not None else 0.06 * abs(nominal or 1.0)


@cache
def _life(world: World, machine_id: str) -> Life:
    number = zlib.crc32(machine_id.encode())
    shape, mean = world.p("equipment.life_shape"), world.p("equipment.life_mean_h")
    steps = np.arange(60)
    uniform = hash_uniform(salt(world.seed, "life"), number, steps)
    lives = mean / gamma(1 + 1 / shape) * (-np.log(uniform)) ** (1 / shape) * HOUR
    repairs = (
        world.p("equipment.repair_mean_h") * -np.log(hash_uniform(salt(world.seed, "repair"), number, steps)) * HOUR
    )
    start = -(world.p("equipment.history_days") + 20) * DAY
    failed = start + np.cumsum(lives) + np.concatenate([[0.0], np.cumsum(repairs)[:-1]])
    warned = hash_uniform(salt(world.seed, "warned"), number, steps) < world.p("equipment.warned_ratio")
    kinds = (hash_uniform(salt(world.seed, "mode"), number, steps) * len(_MODES)).astype(int)
    return Life(failed, failed + repairs, warned, np.array(_MODES)[kinds])
