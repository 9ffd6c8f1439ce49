"""Who may write: locks that say who holds them, a file beside a SQLite catalogue or PostgreSQL's own.

A SQLite catalogue has one writer, whatever he writes. PostgreSQL has many: each names the area that he reads, changes
and writes, and has it alone; who names none has the whole lake alone. A lock ends with its process (or its
connection), so nothing stale ever blocks; the note beside it (pid, why, since) is for people and is only believed
while the lock is really held.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.stores import Stores

if TYPE_CHECKING:
    from pipelines.lake.server_lock import ServerLock

DEFAULT_TIMEOUT_S = 120.0
AWAY_S: Final = 90.0
"""How long a server may be away before whoever needs it gives up."""

WHOLE: Final = ""
"""The area of who reads or writes across others': curation, maintenance, DDL of tables that all share."""
INGEST: Final = "ingest"
"""Raw tables, offsets and quarantine: their numbers go on from the highest, and what is pending follows from them."""
ACTS: Final = "acts"
"""Actions, decisions and aliases: each looks at the last before it is written (limits of hour and day, states, pins,
alarms), and all append to one audit, whose chain goes on from its last row."""
MONITORING: Final = "monitoring"
"""Drift and live skill, whose rows of all solutions are replaced in the same tables."""
CHECKS: Final = "checks"
"""What suites held on, replaced by table."""
PUBLISHED: Final = "published"
"""Published snapshots."""


def area_of(solution: str) -> str:
    """The area of one solution: its answers and the rows that tell of its nights."""
    return f"solutions.{solution}"


class LockLostError(CellworksError):
    """The server has ended the connection that held a lock, so another may hold it by now."""


@dataclass
class _Held:
    """Lock of this process on one lake: the lock itself, its owner thread, how deep it is nested and for which area."""

    lock: FileLock | ServerLock
    gate: threading.RLock
    depth: int = 0
    pid: int = 0
    area: str = WHOLE


_held: dict[object, _Held] = {}
_registry = threading.Lock()


def _entry(home: Home, stores: Stores | None = None) -> _Held:
    stores = stores or home.stores
    key = stores.lake_url or home.lock_file
    with _registry:
        held = _held.get(key)
        # A forked child inherits the dictionary but must not believe that it holds its parent's lock.
        if held is None or held.pid != os.getpid():
            held = _held[key] = _Held(_lock(home, stores), threading.RLock(), pid=os.getpid())
        return held


def _lock(home: Home, stores: Stores) -> FileLock | ServerLock:
    if stores.lake_url is None:
        return FileLock(home.lock_file, thread_local=False, preserve_lock_file=True, fallback_to_soft=False)
    from pipelines.lake.server_lock import ServerLock

    return ServerLock(stores.lake_url)


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def holder(home: Home, area: str = WHOLE) -> dict[str, str]:
    """Who holds what a writer of `area` waits for: `pid`, `why`, `since` (UTC), on servers `host`; empty for nobody.

    Of a file it is who wrote the last note beside it.
    """
    lock = _entry(home).lock
    if not isinstance(lock, FileLock):
        return lock.holder(area)
    try:
        read = json.loads(_note(home.lock_file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in read.items()} if isinstance(read, dict) else {}


def in_words(who: dict[str, str]) -> str:
    """A holder in words: process, machine where it is another's, what for and since when."""
    if not who:
        return "another process holds it"
    at = f" on {who['host']}" if "host" in who else ""
    return f"process {who.get('pid')}{at} holds it for '{who.get('why')}' since {who.get('since')} UTC"


def _busy(home: Home, why: str, timeout_s: float, area: str) -> CellworksError:
    return CellworksError(
        f"the lake is being written by somebody else, so '{why}' did not start",
        expected=f"the writer lock within {timeout_s:g} s",
        found=in_words(holder(home, area)),
        mend="wait until that run ends (or stop it) and start again; nothing was changed",
        where=home.stores.lake_url or str(home.lock_file),
    )


def _acquire(held: _Held, home: Home, why: str, timeout_s: float, area: str) -> None:
    if not held.gate.acquire(timeout=max(timeout_s, 0.0)):
        raise _busy(home, why, timeout_s, area)
    try:
        if held.depth == 0:
            _take(held.lock, home, why, max(timeout_s, 0.0), area)
            held.area = area
        else:
            _refuse_another(held.area, area, why)
    except Timeout:
        held.gate.release()
        raise _busy(home, why, timeout_s, area) from None
    except BaseException:
        held.gate.release()
        raise
    held.depth += 1


def _refuse_another(outer: str, area: str, why: str) -> None:
    """Two writers that wait for what the other holds would wait for ever."""
    if outer not in (WHOLE, area):
        raise ValueError(f"'{why}' wants {area or 'the whole lake'} within a writer of {outer}")


def _take(lock: FileLock | ServerLock, home: Home, why: str, timeout_s: float, area: str) -> None:
    if not isinstance(lock, FileLock):
        if not lock.acquire(timeout_s, why, area):
            raise Timeout(home.stores.name)
        return
    lock.acquire(timeout=timeout_s)
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    note = json.dumps({"pid": os.getpid(), "why": why, "since": since})
    _note(home.lock_file).write_text(note, encoding="utf-8")


def _release(held: _Held, home: Home) -> None:
    held.depth -= 1
    try:
        if held.depth == 0:
            _note(home.lock_file).unlink(missing_ok=True)
            held.lock.release()
    finally:
        held.gate.release()


def require_held() -> None:
    """Refuse to go on when a server has ended a connection that holds a lock of this process.

    Asked within an open transaction before its end: should the server go away after that, the transaction fails too.

    Raises:
        LockLostError: another writer may be at work by now.
    """
    for held in list(_held.values()):
        if held.depth and held.pid == os.getpid() and not isinstance(held.lock, FileLock):
            held.lock.require_held()


@contextlib.contextmanager
def writer_lock(
    home: Home, why: str, timeout_s: float = DEFAULT_TIMEOUT_S, area: str = WHOLE, *, stores: Stores | None = None
) -> Iterator[None]:
    """Hold an area of the lake, or the whole; nested calls of the same thread within it pass through.

    Args:
        home: the instance.
        why: what the holder is doing, shown to whoever waits.
        timeout_s: how long to wait, 0 for not at all.
        area: what is read and changed; a SQLite catalogue is always taken as a whole.
        stores: those whose lock it is; None for the ones that the environment chooses.

    Raises:
        CellworksError: somebody else still holds it; says who, why and since when.
        ValueError: a writer of one area wants another, or the whole, inside.
    """
    home.lake_dir.mkdir(parents=True, exist_ok=True)
    held = _entry(home, stores)
    _acquire(held, home, why, timeout_s, area)
    try:
        yield
    finally:
        _release(held, home)
