"""`migrate`, `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestration.cli import console
from orchestration.plant import Plant, claim, plant, plant_of_any_stores


def migrate(*, as_json: bool) -> None:
    """Move the embedded instance to the servers and print what reads back there."""
    from orchestration.cli.acts import record_done
    from orchestration.moving.migrate import migrate as move
    from orchestration.moving.migrate import require_rules_of_files
    from pipelines.access.identity import authorise

    here = plant_of_any_stores()
    person = authorise(here.site.access, "migration")
    require_rules_of_files(here)
    with console.only_ours(), console.showing(as_json=as_json):
        found = move(here.home)
        claim(here)
        subject = here.home.stores.data_path
        if found["moved"] or not _is_told(here, subject):  # a call before may have died between the move and its act
            told = {"files": found["files"], "bytes": found["bytes"]}
            record_done(here, "migration", subject, person, "cellworks migrate", told)
    if as_json:
        console.tell(found, "", as_json=True)
        return
    for line in in_words(found):
        console.line(line)


def in_words(found: dict[str, Any]) -> list[str]:
    """What a move brought, a line for each kind of store; `--json` tells each table."""
    if not found["moved"]:
        return ["this instance was moved before; nothing was done"]
    sums = {what: (len(tables), sum(each["rows"] for each in tables)) for what, tables in found["stores"].items()}
    return [
        *(
            f"{what}: {count} tables with {rows:,} rows: each read back with the same hash"
            for what, (count, rows) in sums.items()
        ),
        f"{sum(found['files'].values()):,} files, {found['bytes'] / 1e6:,.1f} MB: each read back with the same SHA-256",
        "from now on run with CELLWORKS_ENV=servers; the files of the home may be kept as a copy of this moment",
    ]


def backup(folder: Path, who: str | None, *, as_json: bool) -> None:
    """Write a backup into a folder."""
    from orchestration.cli.acts import audited
    from orchestration.moving.backup import backup as take

    here = plant()
    with (
        console.only_ours(),
        audited(here, "backup", str(folder), "cellworks backup", who) as told,
        console.showing(as_json=as_json),
    ):
        found = take(here, folder)
        told |= {"files": found["files"], "bytes": found["bytes"]}
    console.tell(found, f"  backup of {_in_words(found)}", as_json=as_json)


def restore(folder: Path, who: str | None, *, as_json: bool) -> None:
    """Bring a backup back into an empty instance."""
    from orchestration.cli.acts import record_done
    from orchestration.moving.restore import restore as bring_back
    from pipelines.access.identity import authorise

    here = plant_of_any_stores()
    person = authorise(here.site.access, "restore", who)
    with console.only_ours(), console.showing(as_json=as_json):
        found = bring_back(here, folder)
        told = {name: found[name] for name in ("taken_at", "home_only")}
        record_done(here, "restore", str(folder), person, "cellworks restore", told)
    if found["home_only"]:
        text = (
            f"  the servers hold {found['backup']} and what came since: only this home was brought; empty servers take "
            "the state of the backup"
        )
    else:
        text = f"  restored {_in_words(found)}"
    console.tell(found, text, as_json=as_json)


def _is_told(here: Plant, subject: str) -> bool:
    """Whether the audit tells of the move to this place."""
    from pipelines.access.ledger import rows_of
    from pipelines.lake.connection import reader

    with reader(here.home) as con:
        return any((each.entry.act, each.entry.subject) == ("migration", subject) for each in rows_of(con))


def _in_words(found: dict[str, Any]) -> str:
    return (
        f"{found['backup']}: {found['environment']} stores as of {found['taken_at']}, {found['tables']} tables with "
        f"{found['rows']:,} rows, {found['files']:,} files, {found['bytes'] / 1e6:,.1f} MB"
    )
