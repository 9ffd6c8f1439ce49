"""What of a home belongs into a backup, and whether a home is empty."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

_MADE_AGAIN: Final = ("extensions", "dbt", "gx", "gateway", "fetched", "lake/tmp", "lake/staged")
"""Folders that the platform makes anew."""
_BESIDE: Final = ("services", "sites")
"""What lies in a home and is none of its instance: servers that run, their secrets, the homes of further sites."""
_MOMENTARY: Final = (".lock", "-wal", "-shm", "-journal", ".part")
_NOTES: Final = ("nightly.json", "lake/writer.json", "restoring.json", "moved.json")
_OF_ANY_HOME: Final = ("site.json", "dagster/dagster.yaml")
"""Written by `init` and every command, so they say nothing of an instance."""
_FIRST: Final = ("dagster/schedules/", "dagster/history/runs/", "dagster/history/")
"""Dagster's daemon may write on while files are copied. Cursors come before the events that they point to, and those
before the runs that they tell of, so a sensor looks again at what came between, and passes nothing by."""
_STORES: Final = ("lake/data", "mlflow/artifacts")
"""Brought by themselves, as they may lie elsewhere."""
_EMBEDDED: Final = (
    "lake/catalogue.sqlite",
    "mlflow/mlflow.sqlite",
    "dagster/history",
    "dagster/schedules",
    "dagster/run_tags.lock",
)
SQLITE: Final = (".sqlite", ".db")


def keys(home: Home, *, is_embedded: bool) -> list[str]:
    """Paths of a home's own files, parted by slashes, in the order in which they are to be copied.

    Left out are stores that the environment keeps elsewhere.

    Raises:
        CellworksError: a link leads nowhere, or in a circle.
        OSError: a folder can't be read.
    """
    left_out = {*_MADE_AGAIN, *_BESIDE, *_STORES, *(() if is_embedded else _EMBEDDED)}
    places = {(home.root / name).resolve() for name in left_out}
    found = (key for key in _files(home.root, "", places) if key not in _NOTES and not key.endswith(_MOMENTARY))
    return sorted(found, key=lambda key: (_rank(key), key))


def copy_file(source: Path, target: Path) -> None:
    """Copy a file with its rights; a SQLite file as of one moment, and only an undamaged one.

    Raises:
        CellworksError: a SQLite file is damaged.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix not in SQLITE:
        shutil.copy2(source, target)
        return
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode = DELETE")
            verdict = str(new.execute("PRAGMA quick_check").fetchone()[0])
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise CellworksError(
            "a database of this instance is damaged",
            expected="an undamaged SQLite file",
            found=verdict.splitlines()[0],
            mend="restore the newest whole backup; none was taken of this",
            where=str(source),
        )


def refuse_occupied(home: Home) -> None:
    """Refuse to restore over an instance.

    Raises:
        CellworksError: the home holds one, or a part of one.
    """
    if not home.root.exists():
        return
    own = [key for key in keys(home, is_embedded=True) if key not in _OF_ANY_HOME]
    own += [f"{store}/..." for store in _STORES if any(each.is_file() for each in (home.root / store).rglob("*"))]
    if own:
        raise CellworksError(
            "this home holds an instance already",
            expected="an empty home",
            found=f"{len(own)} files of its own, such as {own[0]}",
            mend="name another with CELLWORKS_HOME; nothing was changed",
            where=str(home.root),
        )


def _rank(key: str) -> int:
    return next((rank for rank, folder in enumerate(_FIRST) if key.startswith(folder)), len(_FIRST))


def _files(folder: Path, key: str, left_out: set[Path], above: tuple[Path, ...] = ()) -> Iterator[str]:
    """Paths of the files below a folder; what is left out is not entered, as others may be at work in it.

    A folder may lie elsewhere, on another disk, with a link to it in the home: its files are the home's all the same.
    """
    place = folder.resolve()
    if place in above:
        raise _astray("leads in a circle", "a folder that does not hold the link", folder, str(place))
    for each in sorted(place.iterdir()):
        if (each.resolve() if each.is_symlink() else each) in left_out:
            continue
        if each.is_symlink() and not each.exists():
            raise _astray("leads nowhere", "a folder or file, on a disk that is mounted", each, str(each.readlink()))
        if each.is_dir():
            yield from _files(each, f"{key}{each.name}/", left_out, (*above, place))
        elif each.is_file():
            yield f"{key}{each.name}"


def _astray(how: str, expected: str, link: Path, found: str) -> CellworksError:
    return CellworksError(
        f"a link in this home {how}",
        expected=expected,
        found=found,
        mend="mount the disk, or remove the link",
        where=str(link),
    )
