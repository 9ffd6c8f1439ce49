"""New data starts ingestion, curation and scoring; a person's own table that changed, its solutions' scoring alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from models.spec import PredictiveSpec
from orchestration.assets.keys import solution_key
from orchestration.jobs import NEW_DATA, SOLUTION_TAG
from orchestration.plant import Plant, plant
from orchestration.sensors.marks import busy, mark_of, read_cursor, write_cursor
from orchestration.solving import MONITORING, PREDICTIONS
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.files import file_suffix, resolve_file

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


def own_tables(specs: Sequence[PredictiveSpec]) -> dict[str, str]:
    """A mark of each solution's own files that changes with their size or time.

    A solution of which a file is missing is left out: there is nothing to score, and the night tells of it.
    """
    marks = {}
    for spec in specs:
        stats = [_own_stat(name) for name in spec.files]
        if None not in stats:
            marks[spec.solution] = mark_of(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats if stat is not None)
    return marks


def _own_stat(name: str) -> os.stat_result | None:
    try:
        return _stat(resolve_file(name, None))
    except CellworksError:
        return None


def new_data_sensor(interval_s: int, specs: Sequence[PredictiveSpec]) -> dg.SensorDefinition:
    """Return the sensor.

    Its cursor holds a mark of the deliveries and one for each solution over a person's own files. A delivery starts
    the whole job, which scores those too; when only such files changed, only their solutions are scored.

    Args:
        interval_s: Seconds between ticks.
        specs: All predictive solutions.
    """
    over_files = [spec for spec in specs if file_suffix(spec.table) and spec.trigger.on_new_data]

    @dg.sensor(
        name="new_data",
        job_name=NEW_DATA,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A file or row was delivered: take it in, curate, check and score. "
        "A person's own table file changed: score its solution.",
    )
    def sense(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        here = plant()
        if (reason := busy(here.home)) is not None:
            return reason
        cursor = read_cursor(context.cursor)
        known, mark, files = cursor.get("own_tables", {}), delivered(here), own_tables(over_files)
        changed = [spec for spec in over_files if files.get(spec.solution, "") not in ("", known.get(spec.solution))]
        is_delivered = mark not in ("", cursor.get("delivered", ""))
        if not is_delivered and not changed:
            return dg.SkipReason("nothing new was delivered")
        # A file that is away keeps its mark: when it comes back as it was, there is nothing new.
        after = {"delivered": mark, "own_tables": known | files, "looks": int(cursor.get("looks", 0)) + 1}
        request = dg.RunRequest(run_key=f"new data {mark}") if is_delivered else _request(changed, after)
        return dg.SensorResult(run_requests=[request], cursor=write_cursor(after))

    return sense


def _request(changed: Sequence[PredictiveSpec], after: dict[str, Any]) -> dg.RunRequest:
    """The run that scores the solutions; the number in its key tells a content that comes back from its first time."""
    files = ", ".join(f"{spec.solution}={after['own_tables'][spec.solution]}" for spec in changed)
    return dg.RunRequest(
        run_key=f"own tables {after['looks']}: {files}",
        asset_selection=[solution_key(spec, part) for spec in changed for part in (PREDICTIONS, MONITORING)],
        tags={SOLUTION_TAG: ", ".join(spec.solution for spec in changed)},
    )
