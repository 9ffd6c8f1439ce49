"""`pack export` and `pack import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestration.cli import console
from orchestration.cli.acts import audited
from orchestration.cli.night_summary import command
from orchestration.packs.export import export_pack
from orchestration.packs.take import import_pack
from orchestration.plant import plant


def write(names: Sequence[str], file: Path, *, as_json: bool) -> None:
    """Write a pack and say what is in it."""
    with console.only_ours():
        found = export_pack(plant(), names, file)
    if as_json:
        console.tell(found, "", as_json=True)
        return
    console.line(f"wrote {found['file']}: {', '.join(found['solutions'])}; no data, no model", 0)
    if found["suites"]:
        console.line(f"with the written checks of their tables: {', '.join(found['suites'])}")


def take(file: Path, *, as_json: bool) -> None:
    """Take a pack in, as an engineer's act that stands in the audit, and say what comes next."""
    with audited(plant(), "pack_import", file.name, "cellworks pack import") as told:
        found = import_pack(file)
        names = [each["solution"] for each in found["solutions"]]
        told |= {"from": found["site"], "solutions": names}
    if as_json:
        console.tell(found, "", as_json=True)
        return
    for each in found["solutions"]:
        console.line(f"took in {each['solution']}, written at {found['site']}", 0)
        if each["withheld"]:
            console.line(f"its action `{each['withheld']}` is withheld: it learns nothing, so no gate stands before it")
        if each["gates"]:
            console.line(
                f"its sender set gates otherwise than the platform; read them first: {'; '.join(each['gates'])}"
            )
    if found["suites"]:
        console.line(f"its written checks lie beside it; copy what fits into the site's suites/: {found['suites']}")
    console.line(f"It may not act before it passed its gates here:  {command(f'nightly --only {names[0]}')}", 0)
