"""`cellworks migrate`: an embedded instance to the servers that the environment names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import duckdb

from orchestration import progress
from orchestration.moving.registry import fill_registry
from orchestration.moving.runs import fill_runs_of_home
from orchestration.plant import Plant
from orchestration.run_lock import night_lock
from pipelines.access import anchor
from pipelines.access.rules import require, rules_of
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import attach_statements, extension_file
from pipelines.lake.home import Home
from pipelines.lake.lock import writer_lock
from pipelines.lake.servers import ensure_stores
from pipelines.lake.sql import quote_literal
from pipelines.lake.stores import Stores, embedded_stores
from pipelines.lake.whole_file import write_whole
from pipelines.moving import catalogue
from pipelines.moving.arrival import arrive, refuse_gone_on
from pipelines.moving.tables import Verified, attach_sqlite
from pipelines.moving.trees import bring, tree_of

_WHY = "migrate"
_WORDS = {"lake": "the lake", "mlflow": "the models"}


def require_rules_of_files(here: Plant) -> None:
    """Refuse to move a lake that knows other rules of who may do what than the site's file has.

    Raises:
        CellworksError: it does.
    """
    if not here.home.catalogue.is_file():
        return
    with duckdb.connect() as con:
        for statement in attach_statements(here.home, read_only=True, in_files=True):
            con.execute(statement)
        require(con, rules_of(here.site))


def migrate(home: Home) -> dict[str, Any]:
    """Move a home's embedded stores to the servers; what was moved already is left alone.

    The files of the home stay as they are; a note beside them makes the embedded stores refuse writers from then on.

    Returns:
        moved (false when it was done before), stores (`lake`, `mlflow`, `dagster` -> tables with rows and hash),
        files (`lake`, `mlflow` -> count), bytes.

    Raises:
        CellworksError: the environment names no servers, they hold another instance, the files have gone on since they
            were moved, or something reads back otherwise.
        OSError: a file or the object store can't be read or written.
    """
    new, old = home.stores, embedded_stores(home)
    if new.objects is None:
        raise CellworksError(
            "there are no servers to move to",
            expected="CELLWORKS_ENV=servers with CELLWORKS_POSTGRES_URL and CELLWORKS_S3_URL",
            found=f"CELLWORKS_ENV={new.name}",
            mend="set them, see docs/how-to/back-up-and-move.md",
        )
    if not home.catalogue.is_file():
        raise CellworksError(
            "there is no embedded instance to move",
            expected=f"a catalogue at {home.catalogue}",
            found="none",
            mend="point CELLWORKS_HOME at the instance's folder",
        )
    progress.begin("looking at the servers")
    ensure_stores(new)
    with ExitStack() as held:
        for stores in (old, new):
            held.enter_context(night_lock(home, _WHY, stores=stores))
            held.enter_context(writer_lock(home, _WHY, stores=stores))
        found = _move(home, old, new)
        noted = {"to": new.data_path, "noted": datetime.now(UTC).isoformat(timespec="seconds")}
        write_whole(home.moved_file, json.dumps(noted))
    return found


def _move(home: Home, old: Stores, new: Stores) -> dict[str, Any]:
    if arrive(new, f"lake {_identity(home)}"):
        refuse_gone_on(new, *_newest_snapshot(home))
        return {"moved": False, "stores": {}, "files": {}, "bytes": 0}
    files = {
        "lake": (tree_of(None, old.data_path), tree_of(new.objects, new.data_path)),
        "mlflow": (tree_of(None, old.mlflow_artifacts), tree_of(new.objects, new.mlflow_artifacts)),
    }
    counts = {}
    for what, (source, target) in files.items():
        progress.begin(f"files of {_WORDS[what]}")
        counts[what] = len(bring(source, target, progress.advance))
    stores = {
        "mlflow": _move_registry(home, old, new),
        "dagster": fill_runs_of_home(new, home.dagster_dir),
        "lake": _move_catalogue(home, new),
    }
    progress.begin("putting the catalogue in its place")
    anchor.bring(home, home.root)
    catalogue.publish_draft(new)
    return {
        "moved": True,
        "stores": {what: told(tables) for what, tables in stores.items()},
        "files": counts,
        "bytes": sum(sum(source.sizes().values()) for source, _ in files.values()),
    }


def told(tables: Sequence[Verified]) -> list[dict[str, Any]]:
    """Tables as a document has them, those without rows left out."""
    return [asdict(each) for each in tables if each.rows]


def _move_registry(home: Home, old: Stores, new: Stores) -> list[Verified]:
    file = home.root / "mlflow" / "mlflow.sqlite"
    if not file.is_file():
        return []
    sources, attach = _sqlite(file)
    return fill_registry(new, sources, attach, old.mlflow_artifacts)


def _move_catalogue(home: Home, new: Stores) -> list[Verified]:
    progress.begin("the catalogue's tables")
    catalogue.make_draft(home, new)
    sources, attach = _sqlite(home.catalogue)
    return catalogue.fill_draft(new, sources, attach, progress.advance)


def _sqlite(file: Any) -> tuple[dict[str, str], tuple[str, ...]]:
    """The tables of a SQLite file, name -> relation, and the statement that makes them readable."""
    with duckdb.connect() as con:
        con.execute(f"LOAD {quote_literal(extension_file('sqlite_scanner'))}")
        sources = attach_sqlite(con, file)
    return sources, (f"ATTACH {quote_literal(file)} AS source (TYPE sqlite, READ_ONLY)",)


def _identity(home: Home) -> str:
    """What tells this lake from any other: the number that DuckLake drew for its first schema."""
    row = _first(home, "ducklake_schema", "schema_uuid", "schema_id")
    return str(row[0]) if row else "empty"


def _newest_snapshot(home: Home) -> tuple[int, float]:
    """Number of the newest snapshot in the files, and when it was made, s since 1970."""
    row = _first(home, "ducklake_snapshot", "snapshot_id, epoch(snapshot_time::TIMESTAMPTZ)", "snapshot_id DESC")
    return (int(row[0]), float(row[1])) if row else (0, 0.0)


def _first(home: Home, table: str, columns: str, order: str) -> tuple[Any, ...] | None:
    with duckdb.connect() as con:
        con.execute(f"LOAD {quote_literal(extension_file('sqlite_scanner'))}")
        relation = attach_sqlite(con, home.catalogue)[table]
        row: tuple[Any, ...] | None = con.execute(
            f"SELECT {columns} FROM {relation} ORDER BY {order} LIMIT 1"
        ).fetchone()
    return row
