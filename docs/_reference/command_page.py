"""Every command with its help and options, as typer itself tells them."""

from __future__ import annotations

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from orchestration.cli.main import app


def commands() -> str:
    """Return the page of the command line."""
    command = get_command(app)
    return get_docs_for_click(
        obj=command, ctx=typer.Context(command, info_name="cellworks"), name="cellworks", title="Command line"
    )
