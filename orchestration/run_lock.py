"""One run at a time in an instance: whoever comes second says who is at it, and waits or leaves.

An embedded instance is its home, so a file of it is the lock; one on servers may have homes on several machines, so
PostgreSQL holds the lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.stores import Stores

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from orchestration.whose import Ours

NIGHTS_OWN_LOCK_TAG: Final = "cellworks/holds_night_lock"
"""On runs of the command line: their own process holds the lock, so they end with it."""

PATIENCE_S: Final = 900.0
"""How long a run of the daemon waits for a night of the command line."""

_NIGHT: Final = "night"
_GLANCE_S = 0.5  # a sensor looks at the lock by taking it for a moment


@contextmanager
def night_lock(
    home: Home, what: str = "nightly", *, wait_s: float = 0.0, stores: Stores | None = None
) -> Iterator[Callable[[], None]]:
    """Hold the instance's runs within the block; the lock dies with the process.

    The block gets what refuses to go on (`LockLostError`) where a server has let go of the lock meanwhile.

    Args:
        home: The instance.
        what: What the holder does, for whoever comes second.
        wait_s: How long to wait for it.
        stores: Those whose lock it is; None for the ones that the environment chooses.

    Raises:
        CellworksError: Another process holds it.
    """
    url = (stores or home.stores).lake_url
    with _in_file(home, what, wait_s) if url is None else _on_server(home, url, what, wait_s) as require_held:
        yield require_held


@contextmanager
def _on_server(home: Home, url: str, what: str, wait_s: float) -> Iterator[Callable[[], None]]:
    from pipelines.lake.server_lock import ServerLock

    lock = ServerLock(url, _NIGHT)
    if not lock.acquire(max(wait_s, _GLANCE_S), what):
        raise _taken(home, what, _holder_on_server(url) or "another process, which has just ended")
    try:
        yield lock.require_held
    finally:
        lock.release()


@contextmanager
def _in_file(home: Home, what: str, wait_s: float) -> Iterator[Callable[[], None]]:
    home.root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.root / "nightly.lock")
    note = home.root / "nightly.json"
    try:
        lock.acquire(timeout=max(wait_s, _GLANCE_S))
    except Timeout:
        raise _taken(home, what, _holder_in_file(home)) from None
    try:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        note.write_text(json.dumps({"pid": os.getpid(), "what": what, "since": started}), encoding="utf-8")
        yield lambda: None
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def under_way(home: Home) -> str:
    """Who holds the lock, in words; empty when nobody does.

    Raises:
        CellworksError: the server that holds it does not answer.
    """
    if (url := home.stores.lake_url) is not None:
        return _holder_on_server(url)
    if not (home.root / "nightly.lock").is_file():
        return ""
    lock = FileLock(home.root / "nightly.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _holder_in_file(home)
    lock.release()
    return ""


def close_dead_nights(instance: DagsterInstance, ours: Ours) -> list[str]:
    """Mark runs of the command line as failed whose process was killed; the caller holds the lock.

    Args:
        instance: Dagster's.
        ours: tells this site's runs; another's have a lock of their own.

    Returns:
        Ids of those runs.
    """
    from dagster import DagsterRunStatus, RunsFilter

    open_states = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    wanted = RunsFilter(statuses=open_states, tags={NIGHTS_OWN_LOCK_TAG: "yes"})
    left = [run for run in instance.get_runs(wanted) if ours.owns(run)]
    for run in left:
        instance.report_run_failed(run, "its process ended without a word, as a later night found")
    return [run.run_id for run in left]


def holder_on_server(url: str) -> dict[str, str]:
    """Who holds the lock of an instance on servers: `pid`, `host`, `why` and `since` (UTC); empty when nobody does.

    Args:
        url: PostgreSQL's address of the lake.

    Raises:
        CellworksError: the server does not answer.
    """
    from pipelines.lake.server_lock import ServerLock

    return ServerLock(url, _NIGHT).holder()


def _holder_on_server(url: str) -> str:
    holder = holder_on_server(url)
    if not holder:
        return ""
    return f"process {holder['pid']} on {holder['host']} ({holder['why']}), at it since {holder['since']} UTC"


def _holder_in_file(home: Home) -> str:
    try:
        holder = json.loads((home.root / "nightly.json").read_text(encoding="utf-8"))
        return f"process {holder['pid']} ({holder['what']}), at it since {holder['since']}"
    except (OSError, ValueError, KeyError):  # the holder is just starting or leaving
        return "another process holds nightly.lock"


def _taken(home: Home, what: str, holder: str) -> CellworksError:
    return CellworksError(
        "another run is under way in this home",
        expected=f"nobody else at work when '{what}' starts",
        found=holder,
        mend="wait for it to end, or use another CELLWORKS_HOME; nothing was changed",
        where=str(home.root),
    )
