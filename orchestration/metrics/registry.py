"""Age of champions, read from MLflow's own tables: importing MLflow would take longer than the scrape may."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from models.solution import SolutionSpec
from orchestration.metrics.names import Sample
from pipelines.lake.home import Home

_SQLITE = "sqlite:///"
_CREATED = (
    "SELECT a.name, v.creation_time FROM registered_model_aliases AS a "
    "JOIN model_versions AS v ON v.name = a.name AND v.version = a.version WHERE a.alias = 'champion'"
)
_TABLES = ("registered_model_aliases", "model_versions")


def registry_samples(home: Home, specs: Sequence[SolutionSpec]) -> Iterator[Sample]:
    """When the champion of each solution was registered; nothing before there is a registry."""
    known = {spec.name: spec.solution for spec in specs}
    url = home.stores.mlflow_uri
    rows = _of_file(Path(url.removeprefix(_SQLITE))) if url.startswith(_SQLITE) else _of_server(url)
    for name, created_ms in rows:
        if name in known:
            yield Sample("cellworks_model_created_timestamp_seconds", created_ms / 1000, (known[name],))


def _of_file(file: Path) -> list[tuple[str, int]]:
    if not file.is_file():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as con:
        marks = ", ".join("?" * len(_TABLES))
        there = con.execute(f"SELECT count(*) FROM sqlite_master WHERE name IN ({marks})", _TABLES).fetchone()
        return con.execute(_CREATED).fetchall() if there[0] == len(_TABLES) else []


def _of_server(url: str) -> list[tuple[str, int]]:
    from pipelines.lake.servers import connect

    with closing(connect(url)) as con, con.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL AND to_regclass(%s) IS NOT NULL", _TABLES)
        if not cursor.fetchone()[0]:
            return []
        cursor.execute(_CREATED)
        return list(cursor.fetchall())
