"""`cellworks backup`: an instance whole into a folder.

The lake is as of one moment, as no run and no writer is at work meanwhile. Dagster's daemon and the pages may be: each
database of a server is as of one moment of its own, and what points to something is copied before it, so nothing that
was brought back names what was not.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from orchestration import progress
from orchestration.moving.home_files import copy_file, keys
from orchestration.plant import Plant
from orchestration.run_lock import night_lock
from pipelines.access import anchor
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import extension_file, require_lake
from pipelines.lake.home import Home
from pipelines.lake.lock import require_held, writer_lock
from pipelines.lake.sql import quote_literal
from pipelines.lake.stores import Stores
from pipelines.moving.catalogue import refuse_lost
from pipelines.moving.manifest import Manifest, write
from pipelines.moving.tables import attach_sqlite, mover, parquet_tables, save
from pipelines.moving.trees import Folder, Tree, bring, hashes, tree_of

_WHY: Final = "backup"
HOME, TABLES, LAKE, MLFLOW = "home", "tables", "lake_data", "mlflow_artifacts"
"""Folders of a backup."""
WORDS: Final = {LAKE: "the lake", MLFLOW: "the models"}
_PACKAGES: Final = ("cellworks", "dagster", "mlflow", "duckdb", "duckdb-extension-ducklake")


def backup(here: Plant, folder: Path) -> dict[str, Any]:
    """Write a backup of an instance; no run and no writer is at work meanwhile.

    Args:
        here: the plant.
        folder: a new or empty folder.

    Returns:
        backup (folder), environment, taken_at, tables, rows, files, bytes.

    Raises:
        CellworksError: there is no lake, the folder is not empty, somebody is at work, or the instance is damaged.
        OSError: a file can't be read or written.
    """
    home, stores = here.home, here.home.stores
    require_lake(home)
    folder = folder.expanduser().resolve()
    _refuse_unusable(home, folder)
    with night_lock(home, _WHY) as require_runs_held, writer_lock(home, _WHY), _whole_or_nothing(folder):
        rows, files = _copy(home, folder)
        progress.begin("comparing them with the catalogue")
        _refuse_incomplete(folder, stores, Folder(folder / LAKE))
        require_runs_held()  # what was copied is of one moment only while both locks were ours
        require_held()
        manifest = _manifest(here, folder, rows, files)
    return summary(folder, manifest)


@contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[None]:
    """A folder for what is written within; where that fails nothing stays of it, so that no disk fills with halves."""
    was_there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        if not was_there:
            folder.rmdir()
        raise


def _copy(home: Home, folder: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Copy everything; rows by table, and SHA-256 of the files of lake and models."""
    stores = home.stores
    rows = _write_tables(stores, folder)  # before the home: cursors point to files of the drop folder, too
    progress.begin("the home's own files")
    for key in keys(home, is_embedded=stores.lake_url is None):
        try:
            copy_file(home.root / key, folder / HOME / key)
        except FileNotFoundError:
            if not (home.root / key).is_relative_to(home.drop_dir):
                raise
            # Whoever delivers gives a file its name when it is whole: it came after the moment of this backup.
    rows |= sqlite_rows(folder / HOME)
    anchor.save(home, folder / HOME)
    _refuse_incomplete(folder, stores, tree_of(stores.objects, stores.data_path))  # before hours of copying
    files: dict[str, str] = {}
    for name, place in ((LAKE, stores.data_path), (MLFLOW, stores.mlflow_artifacts)):
        progress.begin(f"files of {WORDS[name]}")
        found = bring(tree_of(stores.objects, place), Folder(folder / name), progress.advance)
        files |= {f"{name}/{key}": digest for key, digest in found.items()}
    return rows, files


def _manifest(here: Plant, folder: Path, rows: dict[str, int], files: dict[str, str]) -> Manifest:
    """Write what the backup holds, with which it is one."""
    stores = here.home.stores
    progress.begin("the manifest")
    others = [f"{name}/{key}" for name in (HOME, TABLES) for key in Folder(folder / name).sizes()]
    manifest = Manifest(
        environment=stores.name,
        site=here.site.name,
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        lake_data=stores.data_path,
        mlflow_artifacts=stores.mlflow_artifacts,
        versions={name: importlib.metadata.version(name) for name in _PACKAGES},
        rows=rows,
        files=files | hashes(Folder(folder), others),
    )
    write(folder, manifest)
    return manifest


def summary(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """What a backup holds, in figures."""
    sizes = Folder(folder).sizes()
    return {
        "backup": str(folder),
        "environment": manifest.environment,
        "taken_at": manifest.taken_at,
        "tables": len(manifest.rows),
        "rows": sum(manifest.rows.values()),
        "files": len(manifest.files),
        "bytes": sum(sizes[key] for key in manifest.files),
    }


def sqlite_rows(folder: Path) -> dict[str, int]:
    """Rows of each table of the SQLite files below a folder, by `<file>.<table>`."""
    rows = {}
    with duckdb.connect() as con:
        con.execute(f"LOAD {quote_literal(extension_file('sqlite_scanner'))}")
        for name in ("lake/catalogue.sqlite", "mlflow/mlflow.sqlite"):
            if (folder / name).is_file():
                for table, relation in attach_sqlite(con, folder / name, name).items():
                    counted = con.execute(f"SELECT count(*) FROM {relation}").fetchone()
                    rows[f"{name}.{table}"] = int(counted[0]) if counted else 0
    return rows


def _write_tables(stores: Stores, folder: Path) -> dict[str, int]:
    """The servers' databases as a part of a backup; rows by `<database>.<table>`."""
    rows: dict[str, int] = {}
    if stores.lake_url is None or stores.dagster_url is None:
        return rows
    for name, url in (("dagster", stores.dagster_url), ("mlflow", stores.mlflow_uri), ("lake", stores.lake_url)):
        progress.begin(f"tables of the database of {name}")
        with mover(url) as con:
            saved = save(con, "public", folder / TABLES / name, progress.advance)
        rows.update({f"{name}.{table}": count for table, count in saved.items()})
    return rows


def _refuse_incomplete(folder: Path, stores: Stores, files: Tree) -> None:
    with duckdb.connect() as con:
        if stores.lake_url is None:
            con.execute(f"LOAD {quote_literal(extension_file('sqlite_scanner'))}")
            sources = attach_sqlite(con, folder / HOME / "lake" / "catalogue.sqlite")
        else:
            sources = parquet_tables(folder / TABLES / "lake")
        refuse_lost(con, sources, files.sizes())


def _refuse_unusable(home: Home, folder: Path) -> None:
    if folder.is_relative_to(home.root) or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise CellworksError(
            "a backup can't be written there",
            expected="a new or empty folder outside the home",
            found=str(folder),
            mend="name another; nothing was changed",
        )
