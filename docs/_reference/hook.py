"""MkDocs hook: the reference pages are written from the code at each build and lie nowhere else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).resolve().parents[2]
# Before the project is imported: the pages describe its own demo site, whatever instance the shell is set to.
os.environ["CELLWORKS_SITE"] = str(PROJECT / "infra" / "sites" / "demo")
os.environ["CELLWORKS_HOME"] = str(Path(tempfile.gettempdir()) / "cellworks-docs")
os.environ.pop("CELLWORKS_DEFS", None)

import api_pages  # noqa: E402
import command_page  # noqa: E402
import platform_page  # noqa: E402
import schema_pages  # noqa: E402
import solution_pages  # noqa: E402
import table_pages  # noqa: E402

PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": command_page.commands,
    "reference/platform.md": platform_page.platform,
    "reference/solution.md": schema_pages.solution,
    "reference/site.md": schema_pages.site,
    "reference/control-plan.md": schema_pages.control_plan,
    "reference/feeds.md": schema_pages.feeds,
    "reference/raw-and-staging.md": table_pages.raw_and_staging,
    "reference/marts.md": table_pages.marts,
    "reference/api.md": api_pages.api,
}
# Pages that hold measured figures are committed by whoever measured; until then they say how.
MEASURED = {
    "bench.md": ("Benchmark", "make bench"),
    "scale.md": ("How sizes grow", "make scale"),
    "reference/twin-hardness.md": (
        "How hard the twin's targets are",
        ".venv/bin/python tests/bench/twin_hardness.py docs/reference/twin-hardness.md",
    ),
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the solutions' pages, as many as were measured, where the navigation names them."""
    pages = solution_pages.nav(solution_pages.measured())
    config.nav = [
        {"Solutions": pages} if entry == {"Solutions": solution_pages.INDEX} else entry for entry in config.nav or []
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those written by hand."""
    for address, write in PAGES.items():
        files.append(File.generated(config, address, content=write()))
    for address, content in solution_pages.pages(solution_pages.measured()).items():
        files.append(File.generated(config, address, content=content))
    for address, (title, command) in MEASURED.items():
        if files.get_file_from_path(address) is None:
            content = f"# {title}\n\nNot measured yet: `{command}`.\n"
            files.append(File.generated(config, address, content=content))
    return files
