"""A moved champion alias starts scoring."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import dagster as dg

from models.families import family_of
from models.solution import SolutionSpec
from orchestration.assets.keys import solution_key
from orchestration.jobs import SCORE, SOLUTION_TAG, version_tag
from orchestration.plant import plant
from orchestration.sensors.marks import busy, ours_of, read_cursor, write_cursor
from orchestration.solving import PREDICTIONS, REFUSED
from orchestration.whose import Ours
from pipelines.lake.home import Home

_SQLITE = "sqlite:///"
_TABLE = "registered_model_aliases"
_CHAMPIONS = f"SELECT name, version FROM {_TABLE} WHERE alias = 'champion'"


def champions(home: Home) -> dict[str, str]:
    """Version that the alias names, by registered model; empty before there is a registry.

    Read from MLflow's own tables: importing MLflow would cost a tick more than the tick may take.
    """
    url = home.stores.mlflow_uri
    rows = _of_file(Path(url.removeprefix(_SQLITE))) if url.startswith(_SQLITE) else _of_server(url)
    return {str(name): str(version) for name, version in rows}


def _of_file(file: Path) -> list[tuple[str, str]]:
    if not file.is_file():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as con:
        if con.execute(f"SELECT 1 FROM sqlite_master WHERE name = '{_TABLE}'").fetchone() is None:
            return []
        return con.execute(_CHAMPIONS).fetchall()


def _of_server(url: str) -> list[tuple[str, str]]:
    from pipelines.lake.servers import connect

    with closing(connect(url)) as con, con.cursor() as cursor:
        cursor.execute(f"SELECT to_regclass('{_TABLE}') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return []
        cursor.execute(_CHAMPIONS)
        return list(cursor.fetchall())


def champion_sensor(interval_s: int, specs: Sequence[SolutionSpec]) -> dg.SensorDefinition:
    """Return the sensor.

    The run it starts scores the solutions concerned. Anyone can move an alias, so scoring itself asks whether the
    version is cleared: one that is not is refused with an alarm, and the last champion that was goes on.

    Args:
        interval_s: Seconds between ticks.
        specs: All solutions.
    """
    by_name = {spec.name: spec for spec in specs}

    @dg.sensor(
        name="champion_moved",
        job_name=SCORE,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A champion alias moved (promotion, rollback, or a hand in the MLflow page): score anew.",
    )
    def sense(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        home = plant().home
        if (reason := busy(home)) is not None:
            return reason
        cursor = read_cursor(context.cursor)
        now = {name: version for name, version in champions(home).items() if name in by_name}
        known = cursor.get("champions", {})
        if now == known:
            return dg.SkipReason("no champion alias has moved")
        ours = ours_of(context)
        moved = [
            (by_name[name], version)
            for name, version in sorted(now.items())
            if version not in (known.get(name), _scored_by(ours, by_name[name]))
        ]
        # The number of the move tells a version that comes back (a rollback) from its first time.
        number = int(cursor.get("moves", 0)) + 1
        after = write_cursor({"moves": number, "champions": now})
        if not moved:
            return dg.SensorResult(skip_reason="the run that moved it scored, or an alias is gone", cursor=after)
        return dg.SensorResult(run_requests=[_request(number, moved)], cursor=after)

    return sense


def _scored_by(ours: Ours, spec: SolutionSpec) -> str | None:
    """The version that the last predictions are by; None before the first, and while another one is refused."""
    event = ours.newest_materialization(solution_key(spec, PREDICTIONS))
    if event is None or event.asset_materialization is None:
        return None
    told = {name: each.value for name, each in event.asset_materialization.metadata.items()}
    return None if told.get(REFUSED) else str(told.get("version"))


def _request(number: int, moved: Sequence[tuple[SolutionSpec, str]]) -> dg.RunRequest:
    names = "+".join(f"{spec.name}={version}" for spec, version in moved)
    return dg.RunRequest(
        run_key=f"move {number}: {names}",
        asset_selection=[solution_key(spec, part) for spec, _ in moved for part in family_of(spec).answering],
        tags={
            SOLUTION_TAG: ", ".join(spec.solution for spec, _ in moved),
            **{version_tag(spec.slug): version for spec, version in moved},
        },
    )
