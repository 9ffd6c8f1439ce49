"""dbt in this process: one call per layer and domain, on a manifest that is parsed once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.control_plan.errors import CellworksError
from pipelines.curation.project import Project
from pipelines.lake.home import Home

# Nothing is reported to anybody, whatever the machine's own configuration says.
_QUIET = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_NO_PRINT": "1"}


@dataclass
class _Parsed:
    """A parsed project: its hash, and the manifest in the form in which each call gets its own copy."""

    hash: str
    packed: bytes


_parsed: dict[Path, _Parsed] = {}


def manifest(home: Home, project: Project) -> Any:
    """The manifest of a project, parsed if it is not yet; each call gets its own, since a run writes into it."""
    from dbt.contracts.graph.manifest import Manifest

    held = _parsed.get(project.folder)
    if held is None or held.hash != project.hash:
        result = call(home, project, ["parse"], manifest=None)
        held = _parsed[project.folder] = _Parsed(project.hash, result.result.to_msgpack())
        (home.dbt_dir / "target" / "project_hash").write_text(project.hash, encoding="utf-8")
    return Manifest.from_msgpack(held.packed)


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
    with _environment():
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
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update(_QUIET)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
