"""Secrets out of what a process of ours prints, before it is anywhere.

So they are in no terminal, log of a server, output of a step that Dagster captured, or log store of a cluster.
Belongs here: standard output and standard error as Python writes them. Not here: what Dagster stores, which is in
`secrecy`; Dagster isn't imported, so that the command line may use this at once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any, Final, TextIO

from pipelines.lake.redaction import Redaction

_STREAMS: Final = ("stdout", "stderr")


class HiddenStream:
    """A text stream that takes secrets out of each text that is written; in all else it is the stream behind it."""

    def __init__(self, behind: TextIO) -> None:
        self._behind = behind

    def write(self, text: str) -> int:
        """Write the text without secrets. Returns the length of what was to be written, as streams do."""
        self._behind.write(Redaction()(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line without secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)


def hide_in_output() -> None:
    """Take secrets out of whatever this process prints from here on; harmless when that is done already.

    Handlers of logging that write to one of the streams already are led through it as well.
    """
    for name in _STREAMS:
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, HiddenStream):
            continue
        hidden: Any = HiddenStream(stream)
        setattr(sys, name, hidden)
        for handler in _handlers():
            if handler.stream is stream:
                handler.setStream(hidden)


def _handlers() -> list[logging.StreamHandler[Any]]:
    known = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    loggers = [each for each in known if isinstance(each, logging.Logger)]
    return [each for logger in loggers for each in logger.handlers if isinstance(each, logging.StreamHandler)]
