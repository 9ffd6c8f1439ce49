"""Sensors: each with a cursor, idempotent, and a tick far below two seconds."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from models.solution import SolutionSpec
from orchestration.sensors.champion import champion_sensor
from orchestration.sensors.failure import failure_sensor
from orchestration.sensors.new_data import new_data_sensor
from orchestration.sensors.skill import skill_sensor
from pipelines.control_plan.site import Site


def platform_sensors(site: Site, specs: Sequence[SolutionSpec]) -> list[dg.SensorDefinition]:
    """Return every sensor of the platform."""
    every_s = site.sensor_interval_s
    return [
        new_data_sensor(every_s, specs),
        champion_sensor(every_s, specs),
        skill_sensor(every_s, specs),
        failure_sensor(every_s),
    ]
