"""New data starts ingestion, curation and scoring."""

from __future__ import annotations

import dagster as dg

from orchestration.assets.keys import table_key
from orchestration.deliveries import DELIVERED, delivered
from orchestration.jobs import NEW_DATA
from orchestration.plant import Plant, plant
from orchestration.sensors.marks import busy


def new_data_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor.

    Args:
        interval_s: Seconds between ticks.
    """

    @dg.sensor(
        name="new_data",
        job_name=NEW_DATA,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A file or row was delivered: take it in, curate, check and score.",
    )
    def sense(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        here = plant()
        if (reason := busy(here.home)) is not None:
            return reason
        mark = delivered(here)
        if mark in ("", context.cursor):
            return dg.SkipReason("nothing new was delivered")
        if mark == _taken_in(context.instance, here):
            return dg.SensorResult(skip_reason="a night has taken in what was delivered", cursor=mark)
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"new data {mark}")], cursor=mark)

    return sense


def _taken_in(instance: dg.DagsterInstance, here: Plant) -> str | None:
    """The mark of what the last run found that takes in, curates and scores; None before the first."""
    key = table_key("raw", next(iter(here.site.feeds)))
    event = instance.get_latest_materialization_event(key)
    taken = event.asset_materialization if event else None
    return str(taken.metadata[DELIVERED].value) if taken and DELIVERED in taken.metadata else None
