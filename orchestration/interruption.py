"""Ctrl-C is Ctrl-C, whatever a library made of it.

DuckDB raises a plain RuntimeError when a query is interrupted, with what the signal's handler raised as its cause.
Others swallow it: what a handler raises inside a destructor or a callback of a native library is printed and gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Dagster's own is known by name, so that commands without Dagster need not import it.
_NAMES = frozenset({"KeyboardInterrupt", "DagsterExecutionInterruptedError"})


def interruption_in(error: BaseException | None) -> BaseException | None:
    """The interruption that an error is, or was made of; None for any other error."""
    while error is not None:
        if type(error).__name__ in _NAMES:
            return error
        error = error.__cause__ or error.__context__
    return None


# Where the interpreter itself writes the numbers of signals, whichever handler is in force; empty outside of a night.
_written: list[int] = []


@contextmanager
def remembered() -> Iterator[None]:
    """Within the block, in the main thread, no Ctrl-C is lost, whoever swallows what it raised: `heard` asks for it."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(ends[1], warn_on_full_buffer=False)
    _written.append(ends[0])
    try:
        yield
    finally:
        _written.pop()
        signal.set_wakeup_fd(before)
        for end in ends:
            os.close(end)


def _raise_if_asked() -> None:
    if not _written:
        return
    try:
        signals = os.read(_written[-1], 4096)
    except BlockingIOError:
        return
    if signal.SIGINT in signals:
        raise KeyboardInterrupt


@contextmanager
def heard() -> Iterator[None]:
    """Within the block of a step an interruption leaves as itself; Dagster would go on after a failed step."""
    _raise_if_asked()
    try:
        yield
    except Exception as error:
        found = interruption_in(error)
        if found is not None:
            raise type(found) from None
        _raise_if_asked()  # what failed after it failed of it
        raise
    _raise_if_asked()


def was_interrupted(failure: Any) -> bool:
    """Whether a step's failure, whose error Dagster keeps as text, is an interruption or was made of one.

    Args:
        failure: `step_failure_data` of the step's event.
    """
    error = failure.error
    while error is not None:
        if error.cls_name in _NAMES:
            return True
        error = error.cause or error.context
    return False
