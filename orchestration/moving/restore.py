"""`cellworks restore`: a backup into an empty home and, on servers, empty databases and an empty prefix."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from models.registry.place import rewrite
from orchestration import progress
from orchestration.moving.backup import HOME, LAKE, MLFLOW, TABLES, WORDS, sqlite_rows, summary
from orchestration.moving.home_files import copy_file, refuse_occupied
from orchestration.moving.registry import fill_registry
from orchestration.moving.runs import fill_runs
from orchestration.plant import Plant, claim
from orchestration.run_lock import night_lock
from pipelines.access import anchor
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.lock import writer_lock
from pipelines.lake.servers import ensure_stores
from pipelines.lake.stores import Stores
from pipelines.lake.whole_file import write_whole
from pipelines.moving import catalogue
from pipelines.moving.arrival import arrive
from pipelines.moving.manifest import Manifest, read
from pipelines.moving.tables import parquet_tables
from pipelines.moving.trees import Folder, bring, refuse_differing, tree_of

_WHY: Final = "restore"
_CATALOGUE: Final = "lake/catalogue.sqlite"


def restore(here: Plant, folder: Path) -> dict[str, Any]:
    """Bring a backup back; it is read and compared with its manifest before anything is written.

    Args:
        here: the plant.
        folder: what `backup` wrote.

    Returns:
        As `backup`, and home_only: whether the servers held this backup already, with what came since, and only the
        home was brought.

    Raises:
        CellworksError: the backup is damaged or of other stores or another site, or the instance is not empty.
        OSError: a file can't be read or written.
    """
    home, stores = here.home, here.home.stores
    folder = folder.expanduser().resolve()
    progress.begin("reading the backup whole, before anything is written")
    manifest = read(folder, progress.advance)
    _refuse_other(manifest, here)
    if stores.lake_url is not None:
        ensure_stores(stores)
    home_only = False
    with night_lock(home, _WHY):
        _begin(home, manifest)
        home.ensure()
        with writer_lock(home, _WHY):
            if stores.lake_url is None:
                _to_files(home, stores, folder, manifest)
            else:
                home_only = not _to_servers(home, stores, folder, manifest)
        claim(here)
        home.restoring_file.unlink()
    return summary(folder, manifest) | {"home_only": home_only}


def _begin(home: Home, manifest: Manifest) -> None:
    """Note what is being restored; a second call with the same backup goes on."""
    note = home.restoring_file
    if note.is_file():
        if json.loads(note.read_text(encoding="utf-8")).get("backup") == manifest.digest:
            return
        raise CellworksError(
            "another backup is half restored here",
            expected="the backup that was begun with",
            found=f"one taken at {manifest.taken_at}",
            mend="restore that one again, or name another CELLWORKS_HOME",
            where=str(home.root),
        )
    refuse_occupied(home)
    home.root.mkdir(parents=True, exist_ok=True)
    write_whole(note, json.dumps({"backup": manifest.digest}))


def _to_files(home: Home, stores: Stores, folder: Path, manifest: Manifest) -> None:
    _bring_trees(stores, folder, manifest)
    _bring_home(home, folder, manifest, last=_CATALOGUE)
    rewrite(home.root / "mlflow" / "mlflow.sqlite", manifest.mlflow_artifacts, stores.mlflow_artifacts)
    draft = home.catalogue.with_suffix(".restored.sqlite")
    draft.unlink(missing_ok=True)
    copy_file(folder / HOME / _CATALOGUE, draft)
    with closing(sqlite3.connect(draft)) as con, con:
        con.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'", [stores.data_path])
        con.commit()
        con.execute("PRAGMA journal_mode = WAL")  # as readers expect it, who may not set it
    draft.replace(home.catalogue)
    found = sqlite_rows(home.root)
    for table, rows in manifest.rows.items():
        if found.get(table) != rows:
            raise _other_rows(table, rows, found.get(table))


def _to_servers(home: Home, stores: Stores, folder: Path, manifest: Manifest) -> bool:
    """Bring the home and, unless they hold this backup already, what is on servers; whether that was brought."""
    is_there = arrive(stores, f"backup {manifest.digest}")
    _bring_home(home, folder, manifest, last=anchor.NAME)  # a second home of these servers needs the key
    if is_there:
        return False
    _bring_trees(stores, folder, manifest)
    sources = {name: parquet_tables(folder / TABLES / name) for name in ("lake", "mlflow", "dagster")}
    done = {
        "mlflow": fill_registry(stores, sources["mlflow"], (), manifest.mlflow_artifacts),
        "dagster": fill_runs(stores, sources["dagster"]),
    }
    progress.begin("the catalogue's tables")
    catalogue.make_draft(home, stores)
    done["lake"] = catalogue.fill_draft(stores, sources["lake"], progress=progress.advance)
    for name, tables in done.items():
        for each in tables:
            if manifest.rows[f"{name}.{each.table}"] != each.rows:
                raise _other_rows(f"{name}.{each.table}", manifest.rows[f"{name}.{each.table}"], each.rows)
    anchor.bring(home, folder / HOME)
    catalogue.publish_draft(stores)
    return True


def _bring_trees(stores: Stores, folder: Path, manifest: Manifest) -> None:
    for name, place in ((LAKE, stores.data_path), (MLFLOW, stores.mlflow_artifacts)):
        expected = {
            key.removeprefix(f"{name}/"): digest for key, digest in manifest.files.items() if key.startswith(f"{name}/")
        }
        progress.begin(f"files of {WORDS[name]}")
        refuse_differing(expected, bring(Folder(folder / name), tree_of(stores.objects, place), progress.advance))


def _bring_home(home: Home, folder: Path, manifest: Manifest, last: str) -> None:
    progress.begin("the home's own files")
    for key in manifest.files:
        name = key.removeprefix(f"{HOME}/")
        if key.startswith(f"{HOME}/") and name != last:
            target = home.root / name
            draft = target.with_name(f"{target.name}.part")
            _copy_plain(folder / key, draft)
            draft.replace(target)


def _copy_plain(source: Path, target: Path) -> None:
    """Copy bytes and rights of a file, so that they outlive a power cut."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    with target.open("rb") as written:
        os.fsync(written.fileno())


def _refuse_other(manifest: Manifest, here: Plant) -> None:
    if manifest.site != here.site.name:
        raise CellworksError(
            "the backup is of another site",
            expected=here.site.name,
            found=manifest.site,
            mend="name its site with --site or CELLWORKS_SITE; nothing was changed",
        )
    if manifest.environment != here.home.stores.name:
        raise CellworksError(
            "the backup is of other stores",
            expected=f"CELLWORKS_ENV={manifest.environment}",
            found=f"CELLWORKS_ENV={here.home.stores.name}",
            mend="restore it there; `cellworks migrate` moves an embedded instance to servers afterwards",
        )


def _other_rows(table: str, expected: int, found: int | None) -> CellworksError:
    return CellworksError(
        "a table was not restored in whole",
        expected=f"{expected} rows",
        found=f"{found} rows",
        mend="run the command again, or take an older backup",
        where=table,
    )
