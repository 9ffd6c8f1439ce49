"""Minute values of all charted control points, as the historian keeps them: what is in work, and what stands."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from scipy.signal import lfilter

from pipelines.control_plan.derive import chart_limits
from pipelines.control_plan.plan import Characteristic, ControlPoint
from pipelines.twin.line import LineDay
from pipelines.twin.rng import Module, hash_normal, stream
from pipelines.twin.table import Bools, Floats
from pipelines.twin.telemetry_causes import FEED, cause_of
from pipelines.twin.workplace import Minutes, Stacked, Workplace, workplace_of
from pipelines.twin.world import World

_RUNS = "Execute"
Shown = dict[Workplace, dict[str, list[tuple[int, float, int]]]]


@dataclass(frozen=True)
class Gauges:
    """All charted points by their number, and what is lasting of them.

    Attributes:
        points: the points of the historian that this plant charts.
        centre: of each point, in its unit. sigma: what the plan's capability implies. low, high: what physics allows.
        lasting: offset of machine and position, in standard deviations.
        own: share of the spread that is neither lasting nor caused.
        rest: what it shows of its centre while the machine stands; 1 for what a stop leaves as it is.
        causes: by workplace and node: index of each point that it shows in, effect, and the point's slot there.
    """

    points: tuple[ControlPoint, ...]
    centre: Floats
    sigma: Floats
    low: Floats
    high: Floats
    lasting: Floats
    own: Floats
    rest: Floats
    causes: Shown


class Telemetry:
    """The historian's minutes of a plant.

    Args:
        world: the plant's causes.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def of_day(self, day: int, line: LineDay, stacked: Stacked) -> pa.Table:
        """A day of telemetry, sorted by control point and time.

        A value is the set-point, what machine and position always add, what was done to the entity in work in that
        minute, and an AR(1) process of its own; together about as wide as the plan's capability implies.

        Args:
            day: production day.
            line: states of the machines: one that doesn't run shows what a standing machine shows.
            stacked: when the cells under way were stacked.

        Returns:
            Table with control_point_no, value (float32), event_at, known_at; points x 1,440 rows.
        """
        gauges, clock = self._gauges, self._world.clock
        begin, end = clock.bounds(day)
        minutes = np.arange(begin, end, 60.0)
        values = self._noise(day, len(minutes))
        values *= gauges.own[:, None].astype(np.float32)
        values += gauges.lasting[:, None].astype(np.float32)
        for place, by_code in gauges.causes.items():
            work = place.on_day(self._world, stacked, day)
            for code, shown in by_code.items():
                in_work = work.minutes_of(code)
                for number, effect, slot in shown:
                    values[number] += np.float32(effect) * in_work[slot]
        values *= gauges.sigma[:, None].astype(np.float32)
        values += gauges.centre[:, None].astype(np.float32)
        self._rest(values, line, minutes)
        np.clip(values, gauges.low[:, None].astype(np.float32), gauges.high[:, None].astype(np.float32), out=values)
        stamps = np.tile(clock.utc(minutes), len(gauges.points))
        numbers = np.repeat(np.array([each.no for each in gauges.points], dtype=np.int32), len(minutes))
        times = pa.array(stamps, pa.timestamp("us"))
        return pa.table({"control_point_no": numbers, "value": values.ravel(), "event_at": times, "known_at": times})

    def _noise(self, day: int, count: int) -> Minutes:
        """Autocorrelated standard normal series, one per point."""
        rho = self._world.p("telemetry.autocorrelation")
        rng = stream(self._world.seed, day, Module.TELEMETRY)
        shocks = rng.standard_normal((len(self._gauges.points), count), dtype=np.float32)
        shocks[:, 1:] *= np.float32(np.sqrt(1 - rho**2))
        series: Minutes = lfilter([np.float32(1)], np.array([1.0, -rho], dtype=np.float32), shocks, axis=1)
        return series

    def _rest(self, values: Minutes, line: LineDay, minutes: Floats) -> None:
        """Points of machines that don't run: their rest level, and a little of what they would have shown."""
        gauges, calm = self._gauges, self._world.p("telemetry.rest_noise_ratio")
        stands = standing(line, minutes)
        for number, point in enumerate(gauges.points):
            share = gauges.rest[number]
            if share == 1 or point.machine is None or point.machine.id not in stands:
                continue
            still, centre = stands[point.machine.id], gauges.centre[number]
            values[number, still] = share * centre + calm * (values[number, still] - centre)

    @cached_property
    def _gauges(self) -> Gauges:
        world, p = self._world, self._world.p
        every = max(1, round(1 / world.scale))  # a small plant charts fewer points
        points = tuple(
            each
            for each in sorted(world.site.plan.points, key=lambda point: point.no)
            if each.characteristic.feed == FEED and each.no % every == 0
        )
        rows = [each.characteristic for each in points]
        levels = np.array([self._level(row) for row in rows]).reshape(-1, 2)
        numbers = np.array([each.no for each in points])
        machines = np.array([zlib.crc32(f"{each.machine and each.machine.id}.{row.code}".encode())
                             for each, row in zip(points, rows, strict=True)])  # fmt: skip
        of_machine, of_position = p("telemetry.machine_effect"), p("telemetry.position_effect")
        lasting = of_machine * hash_normal(world.salt("telemetry@machine"), machines)
        lasting += of_position * hash_normal(world.salt("telemetry@position"), numbers)
        causes: Shown = {}
        taken = np.full(len(points), of_machine**2 + of_position**2)
        for number, point in enumerate(points):
            for place, code, effect, slot in self._causes(point):
                causes.setdefault(place, {}).setdefault(code, []).append((number, effect, slot))
                taken[number] += effect**2
        return Gauges(
            points,
            levels[:, 0],
            levels[:, 1],
            np.array([row.physical_min for row in rows]),
            np.array([row.physical_max for row in rows]),
            lasting,
            np.maximum(np.sqrt(np.maximum(1 - taken, 0.0)), p("telemetry.own_least")),
            np.array([world.graph.telemetry.rest_of(row) for row in rows]),
            causes,
        )

    def _level(self, row: Characteristic) -> tuple[float, float]:
        """Centre and standard deviation of a point."""
        limits = chart_limits(row)
        if limits is not None:
            return limits.centre, limits.sigma
        centre = row.nominal or (row.physical_min + row.physical_max) / 2
        return centre, self._world.p("telemetry.sigma_ratio") * abs(centre) or self._world.p("telemetry.sigma_least")

    def _causes(self, point: ControlPoint) -> Iterator[tuple[Workplace, str, float, int]]:
        """Workplace, node, effect and number of the machine (and tray) in the workplace, of what shows in a point."""
        world, row, machine = self._world, point.characteristic, point.machine
        for name, effect in world.graph.telemetry.causes.get(row.name, {}).items():
            code = cause_of(world.site, row, machine, name)
            place = workplace_of(world, row, machine, code)
            yield place, code, effect, place.slot(machine, tray_of(point))


def tray_of(point: ControlPoint) -> int:
    """Number of a point's tray within its machine, from 0; 0 for what isn't placed by trays."""
    positions = point.characteristic.positions
    if not positions or positions[0][0] != "tray":
        return 0
    return (point.position_no - 1) // (point.characteristic.position_count // positions[0][1])


def standing(line: LineDay, minutes: Floats) -> dict[str, Bools]:
    """For each machine whose states are recorded: in which minutes it doesn't run."""
    found: dict[str, Bools] = {}
    machines, starts = line.states["machine_id"], line.states["start_s"]
    is_still = line.states["state_code"] != _RUNS
    for machine in np.unique(machines):
        own = np.flatnonzero(machines == machine)
        at = np.maximum(np.searchsorted(starts[own], minutes, side="right") - 1, 0)
        found[str(machine)] = is_still[own][at]
    return found
