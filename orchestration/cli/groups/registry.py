"""Commands that look at the registry and move its aliases."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli import registry_commands
from orchestration.cli.options import Json, SiteOption, Solution, Who, Why, at

app = typer.Typer()
Version = Annotated[str, typer.Argument(help="Its number, as `cellworks models` lists it.")]


@app.command()
def models(as_json: Json = False, site: SiteOption = None) -> None:
    """List versions and their aliases. Example: cellworks models."""
    at(site)
    registry_commands.show_models(as_json=as_json)


@app.command()
def rollback(
    solution: Solution,
    why: Why,
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Move champion back to previous. Example: cellworks rollback yield_root_cause --why "too many false alarms"."""
    at(site)
    registry_commands.roll_back(solution, who, why, as_json=as_json)


@app.command()
def promote(
    solution: Solution,
    version: Version,
    why: Why,
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Make a cleared version champion. Example: cellworks promote yield_root_cause 3 --why "signed for today"."""
    at(site)
    registry_commands.promote(solution, version, who, why, as_json=as_json)


@app.command()
def retire(
    solution: Solution,
    why: Why,
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Take a solution's champion away. Example: cellworks retire yield_root_cause --why "the gauge is broken"."""
    at(site)
    registry_commands.retire(solution, who, why, as_json=as_json)


@app.command()
def override(
    solution: Solution,
    version: Version,
    why: Why,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the signature back that was given.")] = False,
    who: Who = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Clear a version that no gate has passed. Example: cellworks override yield_root_cause 3 --why "trial run"."""
    at(site)
    act = registry_commands.revoke if revoke else registry_commands.override
    act(solution, version, who, why, as_json=as_json)
