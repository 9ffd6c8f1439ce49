"""Commands that bring solutions in: over your own tables, from another site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import Json, SiteOption, at

app = typer.Typer()
solution_app = typer.Typer(no_args_is_help=True, help="Solutions over your own tables.")
app.add_typer(solution_app, name="solution")
pack_app = typer.Typer(no_args_is_help=True, help="Solutions that go from one site to another.")
app.add_typer(pack_app, name="pack")


@solution_app.command("new")
def new_solution(
    name: Annotated[str, typer.Argument(help="stage/slug, such as my_stage/my_model.")],
    table: Annotated[str, typer.Option(help="CSV, Parquet or JSON-lines file, or a lake table.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    entity: Annotated[str, typer.Option(help="Column that names a row.")],
    time: Annotated[str | None, typer.Option(help="When each row happened.")] = None,
    group: Annotated[str | None, typer.Option(help="Lot or batch that must stay together.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Column that is no feature; may be repeated.")] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Write a solution. Example: cellworks solution new my_stage/my_model --table t.csv --target y --entity id."""
    at(site)
    from orchestration.cli import solution

    roles = solution.Roles(target, entity, time, group)
    solution.new(name, table, roles, exclude=exclude or (), as_json=as_json)


@pack_app.command("export")
def pack_export(
    names: Annotated[list[str], typer.Argument(metavar="STAGE/SLUG...", help="Solutions, as stage/slug.")],
    to: Annotated[Path, typer.Option("--to", help="The new ZIP file.")],
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Write solutions into a pack. Example: cellworks pack export welding/my_weld --to weld.zip."""
    at(site)
    from orchestration.cli import packs

    packs.write(names, to, as_json=as_json)


@pack_app.command("import")
def pack_import(
    file: Annotated[Path, typer.Argument(help="What `cellworks pack export` wrote.")],
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Take a pack in; it may not act before its gates passed here. Example: cellworks pack import weld.zip."""
    at(site)
    from orchestration.cli import packs

    packs.take(file, as_json=as_json)
