"""New data starts ingestion, curation and scoring."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from orchestration.jobs import NEW_DATA
from orchestration.plant import Plant, plant
from orchestration.sensors.marks import busy, mark_of

_SQLITE = "sqlite:///"


def delivered(here: Plant) -> str:
    """A mark that changes when something can be taken in; empty while nothing was ever delivered.

    It is made of name, size and time of every file that ingestion would look at, so a file that is renamed
    into its place, grows, or is replaced under its name counts, and one that is still named `.part` does not.
    Databases are looked at where they are SQLite files; the nightly asks the others.
    """
    parts = [
        f"{name}:{stat.st_size}:{stat.st_mtime_ns}"
        for name, file in _deliveries(here)
        if (stat := _stat(file)) is not None
    ]
    return mark_of(parts) if parts else ""


def _stat(file: Path) -> os.stat_result | None:
    """None for a file that is not there, or was taken away since its folder was listed."""
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def _deliveries(here: Plant) -> Iterator[tuple[str, Path]]:
    from pipelines.ingest.drop_folder import files_of

    for source in here.site.sources:
        if source.kind == "drop_folder":
            folder = Path(source.folder.replace("${home}", str(here.home.root)))
            yield from ((f"{feed}/{path.name}", path) for feed, path, _ in files_of(here.site, folder))
        elif source.url.startswith(_SQLITE):
            file = source.url.removeprefix(_SQLITE).replace("${home}", str(here.home.root))
            # A database in WAL mode leaves its main file alone until a checkpoint.
            yield from ((f"{source.name}{end}", Path(file + end)) for end in ("", "-wal"))


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
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"new data {mark}")], cursor=mark)

    return sense
