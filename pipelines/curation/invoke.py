"""dbt in this process: one call per layer and domain, on a manifest that is parsed once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.control_plan.errors import CellworksError
from pipelines.curation import instance
from pipelines.curation.project import DATABASE_VARIABLE, Project
from pipelines.lake.home import Home

# Nothing is reported to anybody, whatever the machine's own configuration says.
_QUIET = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_NO_PRINT": "1"}


# The manifest of each project that this process has parsed, with the project's hash.
_parsed: dict[Path, tuple[str, Any]] = {}


def manifest(home: Home, project: Project) -> Any:
    """The manifest of a project, parsed once a process unless the project changes.

    It is handed to one call after the other, as dbt allows; no model is ephemeral, so nothing of a run stays in it.
    """
    held = _parsed.get(project.folder)
    if held is None or held[0] != project.hash:
        result = call(home, project, ["parse"], manifest=None)
        held = _parsed[project.folder] = (project.hash, result.result)
        (home.dbt_dir / "target" / "project_hash").write_text(project.hash, encoding="utf-8")
    return held[1]


def call(home: Home, project: Project, arguments: list[str], *, manifest: Any) -> Any:
    """Run one dbt command in this process.

    Args:
        home: the instance.
        project: what `prepare` gave.
        arguments: command and its options.
        manifest: a manifest of its own, None to parse.

    Returns:
        dbt's result; failed models and tests are in it and are no exception.

    Raises:
        CellworksError: dbt itself could not run.
    """
    from dbt.cli.main import dbtRunner

    options = [
        "--project-dir", str(project.folder),
        "--profiles-dir", str(home.dbt_dir),
        "--target-path", str(home.dbt_dir / "target"),
        "--log-path", str(home.dbt_dir / "logs"),
        "--quiet", "--no-version-check", "--log-level-file", "none",
    ]  # fmt: skip
    with _environment({**_QUIET, DATABASE_VARIABLE: instance.name(home)}):
        result = dbtRunner(manifest=manifest).invoke([*arguments, *options])
    if result.exception is not None:
        raise CellworksError(
            f"dbt could not run `{arguments[0]}`",
            expected="a project and a lake that dbt can read",
            found=str(result.exception),
            mend="if the project or the control plan was edited, look there; else rebuild with `full`",
            where=str(project.folder),
        ) from result.exception
    return result


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
