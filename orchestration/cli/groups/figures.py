"""Commands that measure the platform itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import Json, SiteOption, at

app = typer.Typer()


@app.command()
def scale(
    small: Annotated[
        bool, typer.Option("--small", help="Small plants of one to three lines: mechanics, not figures.")
    ] = False,
    docs: Annotated[Path | None, typer.Option(help="Folder for scale.md.")] = None,
    figures: Annotated[Path | None, typer.Option(help="File for the figures as JSON, such as .tmp/scale.json.")] = None,
    as_json: Json = False,
    site: SiteOption = None,
) -> None:
    """Measure one line, three and ten, and plan beyond. Example: cellworks scale --small --figures .tmp/scale.json."""
    at(site)
    from orchestration.cli.scale import scale as run_scale

    run_scale(docs, figures, small=small, as_json=as_json)
