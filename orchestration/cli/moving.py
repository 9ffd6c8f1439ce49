"""`migrate`, `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestration.cli import console
from orchestration.plant import claim, plant, plant_of_any_stores


def migrate(*, as_json: bool) -> None:
    """Move the embedded instance to the servers and print what reads back there."""
    from orchestration.moving.migrate import migrate as move
    from pipelines.access.identity import authorise
    from pipelines.access.ledger import entry_of, record
    from pipelines.lake.connection import writer
    from pipelines.lake.lock import ACTS

    here = plant_of_any_stores()
    person = authorise(here.site.access, "migration")
    with console.only_ours():
        found = move(here.home)
        claim(here)
        if found["moved"]:
            told = {"files": found["files"], "bytes": found["bytes"]}
            entry = entry_of("migration", "done", here.home.stores.data_path, person, "cellworks migrate", told)
            with writer(here.home, why="audit of the migration", area=ACTS) as con:
                record(here.home, con, entry)
    if as_json:
        console.tell(found, "", as_json=True)
        return
    if not found["moved"]:
        console.line("this instance was moved before; nothing was done")
        return
    rows = [
        (what, each["table"], f"{each['rows']:,}", each["hash"])
        for what, tables in found["stores"].items()
        for each in tables
    ]
    console.table(("store", "table", "rows", "hash, read back"), rows)
    files = sum(found["files"].values())
    console.line(f"{files:,} files, {found['bytes'] / 1e6:,.1f} MB: each read back with the same SHA-256")
    console.line(
        "from now on run with CELLWORKS_ENV=servers; the files of the home may be kept as a copy of this moment"
    )


def backup(folder: Path, *, as_json: bool) -> None:
    """Write a backup into a folder."""
    from orchestration.moving.backup import backup as take

    with console.only_ours():
        found = take(plant(), folder)
    console.tell(found, f"  backup of {_in_words(found)}", as_json=as_json)


def restore(folder: Path, *, as_json: bool) -> None:
    """Bring a backup back into an empty instance."""
    from orchestration.moving.restore import restore as bring_back
    from pipelines.access.identity import authorise

    here = plant_of_any_stores()
    authorise(here.site.access, "migration")
    with console.only_ours():
        found = bring_back(here, folder)
    console.tell(found, f"  restored {_in_words(found)}", as_json=as_json)


def _in_words(found: dict[str, Any]) -> str:
    return (
        f"{found['backup']}: {found['environment']} stores as of {found['taken_at']}, {found['tables']} tables with "
        f"{found['rows']:,} rows, {found['files']:,} files, {found['bytes'] / 1e6:,.1f} MB"
    )
