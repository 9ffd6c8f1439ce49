"""New data starts curation and scoring; a moved champion alias starts scoring."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from orchestration.jobs import NEW_DATA, SCORE
from orchestration.plant import plant
from pipelines.lake.home import Home

INTERVAL_S = 30


def platform_sensors() -> list[dg.SensorDefinition]:
    """Return every sensor of the platform."""
    return [new_data_sensor, champion_sensor]


def delivered(home: Home) -> str:
    """A mark that changes when something is delivered: newest change of each feed's folder and of the ERP database.

    Folders are not listed: a file that appears changes its folder's own time.
    """
    folders = sorted(path for path in home.drop_dir.glob("*") if path.is_dir())
    places = [*folders, *([home.erp_file] if home.erp_file.is_file() else [])]
    return _mark(f"{path.name}:{path.stat().st_mtime_ns}" for path in places) if places else ""


def champions(home: Home) -> str:
    """A mark that changes when a champion alias moves; empty before there is a registry."""
    file = Path(home.mlflow_uri.removeprefix("sqlite:///"))
    if not file.is_file():
        return ""
    con = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        rows = con.execute(
            "SELECT name, version FROM registered_model_aliases WHERE alias = 'champion' ORDER BY name"
        ).fetchall()
    finally:
        con.close()
    return _mark(f"{name}:{version}" for name, version in rows) if rows else ""


def _mark(parts: Iterable[str]) -> str:
    text = "\n".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _react(context: dg.SensorEvaluationContext, mark: str, what: str) -> dg.SensorResult | dg.SkipReason:
    """Start one run for a new mark; the run key keeps a repeated tick from starting it twice."""
    if not mark or mark == context.cursor:
        return dg.SkipReason(f"nothing new: {what}")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{what}-{mark}")], cursor=mark)


@dg.sensor(
    name="new_data",
    job_name=NEW_DATA,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A file or row was delivered: take it in, curate, check and score.",
)
def new_data_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Look at the drop folders' own times and at the ERP database's."""
    return _react(context, delivered(plant().home), "new data")


@dg.sensor(
    name="champion_moved",
    job_name=SCORE,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A champion alias moved (promotion, rollback, or a hand in the MLflow page): score anew.",
)
def champion_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Look at the registry's aliases."""
    return _react(context, champions(plant().home), "champions")
