"""What was delivered to the plant, as one mark: the sensor compares it with what the last run took in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestration.plant import Plant

DELIVERED = "delivered"
"""Metadata of a raw feed: the mark of what was there when a whole run took in."""

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


def mark_of(parts: Iterable[str]) -> str:
    """Sixteen hexadecimal digits that change when a part does."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
