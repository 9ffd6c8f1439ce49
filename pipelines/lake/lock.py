"""One writer at a time: a lock that says who holds it, a file beside a SQLite catalogue or PostgreSQL's own.

The operating system drops the lock of a process that died, so nothing stale ever blocks; the note
beside it (pid, why, since) is for people and is only believed while the lock is really held.
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
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.stores import Stores

if TYPE_CHECKING:
    from pipelines.lake.servers import ServerLock

DEFAULT_TIMEOUT_S = 120.0


@dataclass
class _Held:
    """Lock of this process on one lake: the lock itself, its owner thread and how deep it is nested."""

    lock: FileLock | ServerLock
    gate: threading.RLock
    depth: int = 0
    pid: int = 0


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
    from pipelines.lake.servers import ServerLock

    return ServerLock(stores.lake_url)


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def holder(home: Home) -> dict[str, str]:
    """Who wrote the last note beside the lock: `pid`, `why`, `since` (UTC); empty when nobody did."""
    lock = _entry(home).lock
    if not isinstance(lock, FileLock):
        return lock.holder()
    try:
        read = json.loads(_note(home.lock_file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in read.items()} if isinstance(read, dict) else {}


def _busy(home: Home, why: str, timeout_s: float) -> CellworksError:
    who = holder(home)
    found = (
        f"process {who.get('pid')} holds it for '{who.get('why')}' since {who.get('since')} UTC"
        if who
        else "another process holds it"
    )
    return CellworksError(
        f"the lake is being written by somebody else, so '{why}' did not start",
        expected=f"the writer lock within {timeout_s:g} s",
        found=found,
        mend="wait until that run ends (or stop it) and start again; nothing was changed",
        where=home.stores.lake_url or str(home.lock_file),
    )


def _acquire(held: _Held, home: Home, why: str, timeout_s: float) -> None:
    if not held.gate.acquire(timeout=max(timeout_s, 0.0)):
        raise _busy(home, why, timeout_s)
    if held.depth == 0:
        try:
            _take(held.lock, home, why, max(timeout_s, 0.0))
        except Timeout:
            held.gate.release()
            raise _busy(home, why, timeout_s) from None
        except BaseException:
            held.gate.release()
            raise
    held.depth += 1


def _take(lock: FileLock | ServerLock, home: Home, why: str, timeout_s: float) -> None:
    if not isinstance(lock, FileLock):
        if not lock.acquire(timeout_s, why):
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


@contextlib.contextmanager
def writer_lock(
    home: Home, why: str, timeout_s: float = DEFAULT_TIMEOUT_S, *, stores: Stores | None = None
) -> Iterator[None]:
    """Hold the lake's writer lock; nested calls of the same thread pass through.

    Args:
        home: the instance.
        why: what the holder is doing, shown to whoever waits.
        timeout_s: how long to wait, 0 for not at all.
        stores: those whose lock it is; None for the ones that the environment chooses.

    Raises:
        CellworksError: somebody else still holds it; says who, why and since when.
    """
    home.lake_dir.mkdir(parents=True, exist_ok=True)
    held = _entry(home, stores)
    _acquire(held, home, why, timeout_s)
    try:
        yield
    finally:
        _release(held, home)
