"""Processes that a server left behind: found by a variable of their environment, which children inherit.

A server that is killed can't end its own children, and the system gives them to another parent.
"""

from __future__ import annotations

import contextlib
import os

import psutil

_GRACE_S = 10.0


def of(mark: str) -> list[psutil.Process]:
    """Every process whose mark begins so, but this one and those above it."""
    spared = {os.getpid(), *(each.pid for each in psutil.Process().parents())}
    return [each for each in psutil.process_iter() if each.pid not in spared and _mark(each).startswith(mark)]


def end(mark: str) -> int:
    """Ask them to end, then kill what is left. Returns how many there were."""
    found = of(mark)
    for each in found:
        _tell(each, "terminate")
    _, stubborn = psutil.wait_procs(found, timeout=_GRACE_S)
    for each in stubborn:
        _tell(each, "kill")
    psutil.wait_procs(stubborn, timeout=_GRACE_S)
    return len(found)


def _mark(process: psutil.Process) -> str:
    from orchestration.services.layout import MARK

    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else str(process.environ().get(MARK, ""))
    except (psutil.Error, OSError):  # it has ended, or is another user's and so not ours
        return ""


def _tell(process: psutil.Process, what: str) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        getattr(process, what)()
