"""What was delivered, to the plant and in a person's own files, as marks; runs keep those of what they took in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import dagster as dg

from models.solution import SolutionSpec
from orchestration.plant import Plant
from orchestration.whose import Ours
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.files import resolve_file

DELIVERED = "delivered"
"""Metadata of a raw feed, and of predictions from a person's own files: the mark of what was there at that run."""

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


def own_tables(specs: Sequence[SolutionSpec]) -> dict[str, str]:
    """A mark of each solution's own files that changes with their size or time.

    A solution of which a file is missing is left out: there is nothing to score, and the night tells of it.
    """
    marks = {}
    for spec in specs:
        stats = [_own_stat(name) for name in spec.files]
        if stats and None not in stats:
            marks[spec.solution] = mark_of(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats if stat is not None)
    return marks


def _own_stat(name: str) -> os.stat_result | None:
    try:
        return _stat(resolve_file(name, None))
    except CellworksError:
        return None


def last_taken_in(ours: Ours, key: dg.AssetKey) -> str:
    """The mark that the last run of this site kept with an asset; empty before the first."""
    event = ours.newest_materialization(key)
    taken = event.asset_materialization if event else None
    return str(taken.metadata[DELIVERED].value) if taken and DELIVERED in taken.metadata else ""


def mark_of(parts: Iterable[str]) -> str:
    """Sixteen hexadecimal digits that change when a part does."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
