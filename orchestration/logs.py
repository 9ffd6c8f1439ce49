"""What the platform tells of its work: lines of JSON for a log store with `CELLWORKS_LOG=json`, else nothing.

A person at a terminal has bars and summaries, so the default is silent. Every module tells through the standard
library's `logging`, below the name `cellworks`; run, solution and lot come from `bound` around the work.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.redaction import Redaction

LOG_VARIABLE: Final = "CELLWORKS_LOG"
ROOT: Final = "cellworks"
CONTEXT: Final = ("run", "solution", "lot")
"""What a line says of where it belongs, where that is known."""

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_bound: ContextVar[Mapping[str, str]] = ContextVar("log_context", default=_NOTHING)
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


@contextmanager
def bound(**context: str | None) -> Iterator[None]:
    """Name run, solution or lot to every line that is told within the block.

    Args:
        context: values by the names in `CONTEXT`; what is None stays as it is.
    """
    if unknown := set(context) - set(CONTEXT):
        raise ValueError(f"no such context: {sorted(unknown)}")
    token = _bound.set({**_bound.get(), **{name: value for name, value in context.items() if value is not None}})
    try:
        yield
    finally:
        _bound.reset(token)


def is_json() -> bool:
    """Whether lines of JSON are asked for.

    Raises:
        CellworksError: `CELLWORKS_LOG` names no form.
    """
    named = os.environ.get(LOG_VARIABLE, "").strip() or "text"
    if named not in ("text", "json"):
        raise CellworksError(
            "no such form of the log",
            expected="text or json",
            found=named,
            mend="correct it, or leave it out for bars and summaries",
            where=LOG_VARIABLE,
        )
    return named == "json"


def configure() -> None:
    """Make this process tell in the form that `CELLWORKS_LOG` names; harmless when it does so already.

    Raises:
        CellworksError: `CELLWORKS_LOG` names no form.
    """
    ours, root = logging.getLogger(ROOT), logging.getLogger()
    if not is_json():
        if not ours.handlers:
            ours.addHandler(logging.NullHandler())  # else warnings would reach the terminal beside the summaries
        return
    # A library that is loaded before may have set up plain lines, which would tell each a second time.
    root.handlers[:] = [each for each in root.handlers if type(each) is not logging.StreamHandler]
    if not any(isinstance(each.formatter, JsonLines) for each in root.handlers):
        handler = _StandardError()
        handler.setFormatter(JsonLines())
        root.addHandler(handler)
        logging.captureWarnings(capture=True)
    ours.setLevel(logging.INFO)


class _StandardError(logging.Handler):
    """Writes to what is standard error at that moment; the library's own keeps what it was when it was made."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")  # at once, since other processes write there too
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as in the library: a line that can't be written must not stop the work
            self.handleError(record)


class JsonLines(logging.Formatter):
    """One JSON object per record: time, level, logger, message, what is bound, what the record adds, a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without secrets and without a line break."""
        hide = Redaction()
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": hide(record.getMessage()),
            **_bound.get(),
        }
        told |= {name: hide.within(value) for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            told["error"] = hide(self.formatException(record.exc_info))
        return json.dumps(told, ensure_ascii=False, default=lambda value: hide(str(value)))
