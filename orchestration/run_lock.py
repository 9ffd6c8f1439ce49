"""One night at a time: the second run says who is at it, and leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

if TYPE_CHECKING:
    from dagster import DagsterRun

NIGHTS_OWN_LOCK_TAG = "cellworks/holds_night_lock"
"""On runs of the command line: their own process holds the lock."""


@contextmanager
def night_lock(home: Home) -> Iterator[None]:
    """Hold the instance's night within the block; the lock dies with the process.

    Raises:
        CellworksError: Another process holds it.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.root / "nightly.lock")
    note = home.root / "nightly.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _taken(home) from None
    try:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        note.write_text(json.dumps({"pid": os.getpid(), "since": started}), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def refuse_beside_another_night(home: Home, run: DagsterRun) -> None:
    """Raise when a run of the daemon meets a night started from the command line.

    Raises:
        CellworksError: Another process holds the night.
    """
    if NIGHTS_OWN_LOCK_TAG not in run.tags:
        with night_lock(home):
            pass


def _taken(home: Home) -> CellworksError:
    try:
        holder = json.loads((home.root / "nightly.json").read_text(encoding="utf-8"))
        found = f"process {holder['pid']}, at it since {holder['since']}"
    except (OSError, ValueError):  # the holder is just starting or leaving
        found = "another process holds nightly.lock"
    return CellworksError(
        "another nightly run is under way in this home",
        expected="one nightly at a time",
        found=found,
        mend="wait for it to end, or use another CELLWORKS_HOME; nothing was changed",
        where=str(home.root),
    )
