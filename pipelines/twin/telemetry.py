"""Minute values of all charted control points: autocorrelated around their set-points."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.signal import lfilter

from pipelines.control_plan.derive import chart_limits
from pipelines.twin.rng import Module, stream
from pipelines.twin.world import World


def minute_values(world: World, day: int) -> pa.Table:
    """A day of telemetry, sorted by control point and time.

    Values follow an AR(1) process whose marginal spread is what the plan's capability implies.

    Returns:
        Table with control_point_no, value (float32), event_at, known_at; points x 1,440 rows.
    """
    points = _points(world)
    rho = world.p("telemetry.autocorrelation")
    rng = stream(world.seed, day, Module.TELEMETRY)
    begin, end = world.clock.bounds(day)
    minutes = np.arange(begin, end, 60.0)
    shocks = rng.standard_normal((len(points), len(minutes)), dtype=np.float32)
    shocks[:, 1:] *= np.float32(np.sqrt(1 - rho**2))
    series = lfilter([1.0], np.array([1.0, -rho], dtype=np.float32), shocks, axis=1).astype(np.float32)
    centre = np.array([p[1] for p in points], dtype=np.float32)[:, None]
    sigma = np.array([p[2] for p in points], dtype=np.float32)[:, None]
    low = np.array([p[3] for p in points], dtype=np.float32)[:, None]
    high = np.array([p[4] for p in points], dtype=np.float32)[:, None]
    values = np.clip(centre + sigma * series, low, high)
    stamps = np.tile(world.clock.utc(minutes), len(points))
    numbers = np.repeat(np.array([p[0] for p in points], dtype=np.int32), len(minutes))
    times = pa.array(stamps, pa.timestamp("us"))
    return pa.table({"control_point_no": numbers, "value": values.ravel(), "event_at": times, "known_at": times})


def _points(world: World) -> list[tuple[int, float, float, float, float]]:
    """(number, centre, sigma, low, high) of the charted points; a small plant charts fewer of them."""
    expanded = world.site.plan.control_points()
    every = max(1, round(1 / world.scale))
    found = []
    sigma_ratio, sigma_least = world.p("telemetry.sigma_ratio"), world.p("telemetry.sigma_least")
    columns = ("control_point_no", "characteristic_code", "feed")
    for number, code, feed in zip(*(expanded[name].to_pylist() for name in columns), strict=True):
        if feed != "historian__telemetry" or number % every:
            continue
        row = world.site.plan.by_code[code]
        limits = chart_limits(row)
        centre = limits.centre if limits else (row.nominal or (row.physical_min + row.physical_max) / 2)
        sigma = limits.sigma if limits else sigma_ratio * abs(centre) or sigma_least
        found.append((number, centre, sigma, row.physical_min, row.physical_max))
    return found
