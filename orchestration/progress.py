"""How steps tell a person how far they are, without knowing who looks.

The command line shows bars; under the daemon nobody listens and the same calls cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class ProgressSink(Protocol):
    """What a listener offers."""

    def begin(self, title: str) -> None:
        """A step of the run starts; `title` says in words what it does."""

    def advance(self, what: str, done: int, total: int) -> None:
        """Within the step: `done` of `total` parts are finished, `what` is being done."""


_SINK: ContextVar[ProgressSink | None] = ContextVar("progress_sink", default=None)


@contextmanager
def listening(sink: ProgressSink) -> Iterator[None]:
    """Send progress of this thread's work to `sink` within the block."""
    token = _SINK.set(sink)
    try:
        yield
    finally:
        _SINK.reset(token)


def begin(title: str) -> None:
    """Say that a step starts."""
    sink = _SINK.get()
    if sink is not None:
        sink.begin(title)


def advance(what: str, done: int, total: int) -> None:
    """Say how far the current step is."""
    sink = _SINK.get()
    if sink is not None:
        sink.advance(what, done, total)
