"""One writer at a time: a file lock beside the catalogue that says who holds it.

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

from filelock import FileLock, Timeout

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

DEFAULT_TIMEOUT_S = 120.0


@dataclass
class _Held:
    """Lock of this process on one lake: the file lock, its owner thread and how deep it is nested."""

    lock: FileLock
    gate: threading.RLock
    depth: int = 0
    pid: int = 0


_held: dict[Path, _Held] = {}
_registry = threading.Lock()


def _entry(path: Path) -> _Held:
    with _registry:
        held = _held.get(path)
        # A forked child inherits the dictionary but must not believe that it holds its parent's lock.
        if held is None or held.pid != os.getpid():
            lock = FileLock(path, thread_local=False, preserve_lock_file=True, fallback_to_soft=False)
            held = _held[path] = _Held(lock, threading.RLock(), pid=os.getpid())
        return held


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def holder(home: Home) -> dict[str, str]:
    """Who wrote the last note beside the lock: `pid`, `why`, `since` (UTC); empty when nobody did."""
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
        where=str(home.lock_file),
    )


def _acquire(held: _Held, home: Home, why: str, timeout_s: float) -> None:
    if not held.gate.acquire(timeout=max(timeout_s, 0.0)):
        raise _busy(home, why, timeout_s)
    if held.depth == 0:
        try:
            held.lock.acquire(timeout=max(timeout_s, 0.0))
        except Timeout:
            held.gate.release()
            raise _busy(home, why, timeout_s) from None
        except BaseException:
            held.gate.release()
            raise
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        note = json.dumps({"pid": os.getpid(), "why": why, "since": since})
        _note(home.lock_file).write_text(note, encoding="utf-8")
    held.depth += 1


def _release(held: _Held, home: Home) -> None:
    held.depth -= 1
    try:
        if held.depth == 0:
            _note(home.lock_file).unlink(missing_ok=True)
            held.lock.release()
    finally:
        held.gate.release()


@contextlib.contextmanager
def writer_lock(home: Home, why: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> Iterator[None]:
    """Hold the lake's writer lock; nested calls of the same thread pass through.

    Args:
        home: the instance.
        why: what the holder is doing, shown to whoever waits.
        timeout_s: how long to wait, 0 for not at all.

    Raises:
        CellworksError: somebody else still holds it; says who, why and since when.
    """
    home.lake_dir.mkdir(parents=True, exist_ok=True)
    held = _entry(home.lock_file)
    _acquire(held, home, why, timeout_s)
    try:
        yield
    finally:
        _release(held, home)
