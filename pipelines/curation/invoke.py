"""dbt in this process: one call per layer and domain, on a manifest that is parsed once."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from pipelines.control_plan.errors import CellworksError
from pipelines.curation import instance
from pipelines.curation.nodes import Nodes
from pipelines.curation.project import DATABASE_VARIABLE, Project
from pipelines.lake.home import Home
from pipelines.lake.lock import require_held
from pipelines.lake.progress import Progress, silent

# Nothing is reported to anybody, whatever the machine's own configuration says.
_QUIET = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_NO_PRINT": "1"}

# How long dbt may take to end after Ctrl-C, and what is said when it does not.
PATIENCE_S = 15.0
_LEFT = b"cellworks: interrupted; the next run goes on from the last commit (dbt did not end by itself)\n"

# The manifest of each project that this process has, with the project's hash.
_parsed: dict[Path, tuple[str, Any]] = {}


def manifest(home: Home, project: Project) -> Any:
    """The manifest of a project, parsed once per version of the project; other processes read what dbt saved of it.

    It is handed to one call after the other, as dbt allows; no model is ephemeral, so nothing of a run stays in it.
    """
    held = _parsed.get(project.folder)
    if held is None or held[0] != project.hash:
        held = _parsed[project.folder] = (project.hash, _saved(home, project) or _parse(home, project))
    return held[1]


def is_parsed(home: Home, project: Project) -> bool:
    """Whether what dbt saved in the instance's folder is this project, whole."""
    saved, stamp = _saved_file(home), _stamp_file(home)
    return saved.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == _stamp(home, project)


def _parse(home: Home, project: Project) -> Any:
    _stamp_file(home).unlink(missing_ok=True)
    result = call(home, project, ["parse"], manifest=None)
    _stamp_file(home).write_text(_stamp(home, project), encoding="utf-8")
    return result.result


def _saved(home: Home, project: Project) -> Any:
    """The manifest as dbt saved it, None when that is another one.

    dbt would compare every file with it first, which takes longer than all else of a quiet night.
    """
    if not is_parsed(home, project):
        return None
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    return Manifest.from_msgpack(_saved_file(home).read_bytes(), decoder=extended_mashumuro_decoder)


def _saved_file(home: Home) -> Path:
    return home.dbt_dir / "target" / "partial_parse.msgpack"


def parsed_hash(home: Home) -> str | None:
    """Hash of the project that was parsed last; None before the first."""
    file = _stamp_file(home)
    return file.read_text(encoding="utf-8").split("\n", maxsplit=1)[0] if file.is_file() else None


def _stamp_file(home: Home) -> Path:
    return home.dbt_dir / "target" / "project_hash"


def _stamp(home: Home, project: Project) -> str:
    """Project, dbt's version and the content of what was saved: all that must be the same to use it.

    Not the place: the paths in it serve dbt's own comparison of files, which is not made; so an instance that was
    copied or restored need not be parsed anew.
    """
    digest = hashlib.sha256(_saved_file(home).read_bytes()).hexdigest()
    return "\n".join([project.hash, version("dbt-core"), digest])


def call(home: Home, project: Project, arguments: list[str], *, manifest: Any, progress: Progress = silent) -> Any:
    """Run one dbt command in this process.

    Args:
        home: the instance.
        project: what `prepare` gave.
        arguments: command and its options.
        manifest: a manifest of its own, None to parse.
        progress: called with the node at work, nodes done and nodes in all.

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
        "--no-version-check", "--log-level", "none", "--log-level-file", "none",
    ]  # fmt: skip
    with (
        _environment({**_QUIET, DATABASE_VARIABLE: instance.name(home)}),
        _without_summaries(),
        _fenced(),
        interruptible(),
    ):
        result = dbtRunner(manifest=manifest, callbacks=[Nodes(progress)]).invoke([*arguments, *options])
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
def interruptible() -> Iterator[None]:
    """Within the block Ctrl-C is a KeyboardInterrupt, whatever the caller would have raised.

    It is the only interruption on which dbt cancels its queries and waits for its threads; a process that ends while
    one of them is inside DuckDB is aborted. Now and then dbt waits for ever: then the process is left as it is, which
    loses nothing that was committed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked_at: list[float] = []
    done = threading.Event()

    def hear(number: int, frame: FrameType | None) -> None:
        asked_at.append(time.monotonic())
        signal.default_int_handler(number, frame)

    def watch() -> None:
        while not done.wait(1.0):
            if asked_at and time.monotonic() > asked_at[0] + PATIENCE_S:
                os.write(2, _LEFT)
                os._exit(130)

    before = signal.signal(signal.SIGINT, hear)
    threading.Thread(target=watch, name="interruption of dbt", daemon=True).start()
    try:
        yield
    finally:
        done.set()
        signal.signal(signal.SIGINT, before)


@contextmanager
def _without_summaries() -> Iterator[None]:
    """Within the block dbt writes no summary of its graph.

    It is for those who develop dbt, nothing reads it, no flag turns it off (the version is pinned), and to make it each
    call turns every node of the project into a dictionary twice: 0.4 s, eleven times a night.
    """
    from dbt.compilation import Linker

    before = Linker.get_graph_summary
    Linker.get_graph_summary = lambda _linker, _manifest: {}
    try:
        yield
    finally:
        Linker.get_graph_summary = before


@contextmanager
def _fenced() -> Iterator[None]:
    """Within the block dbt commits only while the writer lock is held, which a server may have ended.

    dbt has no hook before a commit. A commit that is refused fails its model, and dbt rolls it back.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    def while_held(manager: Any) -> Any:
        require_held()
        return commit(manager)

    commit = DuckDBConnectionManager.add_commit_query
    DuckDBConnectionManager.add_commit_query = while_held
    try:
        yield
    finally:
        DuckDBConnectionManager.add_commit_query = commit


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
