"""What several commands take, and the site that they name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from orchestration.environment import SITE_VARIABLE, project_root
from orchestration.printable import is_printable, printable
from pipelines.control_plan.errors import CellworksError


def _readable(why: str | None) -> str | None:
    """Refuse a reason that would steer the terminal of whoever reads the audit."""
    if why is not None and not is_printable(why):
        raise CellworksError(
            "that is no reason that can be kept",
            expected="printable characters in one line",
            found=printable(why[:200]),
            mend="write it without control characters and line breaks",
            where="--why",
        )
    return why


SiteOption = Annotated[
    Path | None, typer.Option("--site", help="Folder of the site. Default: infra/sites/demo.", callback=None)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Solution = Annotated[str, typer.Argument(help="stage/slug, or the slug alone.")]
Why = Annotated[str, typer.Option(help="The reason, kept in the audit.", callback=_readable)]
Who = Annotated[
    str | None, typer.Option(help="Who does it, where the site names no roles. Default: the user of this machine.")
]
ActionId = Annotated[str, typer.Argument(help="Id of the action, or enough of its beginning.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]


def at(site: Path | None) -> None:
    """Make the site known to this process and those it starts."""
    if site is not None:
        folder = site if site.is_dir() else project_root() / site
        if not folder.is_dir():
            raise CellworksError(
                "there is no such site",
                expected="a folder with site.yaml",
                found=str(site),
                mend="see infra/sites/demo",
            )
        os.environ[SITE_VARIABLE] = str(folder.resolve())
