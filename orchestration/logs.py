"""What the platform tells of its work: lines of JSON for a log store with `CELLWORKS_LOG=json`, else nothing.

A person at a terminal has bars and summaries, so the default is silent. Every module tells through the standard
library's `logging`, below the name `cellworks`; run, solution and lot come from `bound` around the work.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pipelines.control_plan.errors import CellworksError

LOG_VARIABLE: Final = "CELLWORKS_LOG"
ROOT: Final = "cellworks"
CONTEXT: Final = ("run", "solution", "lot")
"""What a line says of where it belongs, where that is known."""

_HIDDEN: Final = "[redacted]"
_SHORTEST: Final = 4  # a shorter secret protects nothing, and its letters are in every line
_SECRET_NAMES: Final = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|API_?KEY|REGISTRY_KEY", re.IGNORECASE)
_SECRET_FORMS: Final = (
    (re.compile(r"(://[^\s:/@]*):[^\s@/]+@"), rf"\1:{_HIDDEN}@"),
    (re.compile(r"\b((?:password|secret|token)\w*\s*[=:]\s*)(['\"]?)[^\s'\"&,)]+\2", re.IGNORECASE), rf"\1{_HIDDEN}"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+"), rf"\1 {_HIDDEN}"),
)
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


class Redaction:
    """Takes secrets out of text: values of the environment's secret variables, and what has a secret's form."""

    def __init__(self) -> None:
        values = [value for name, value in os.environ.items() if _SECRET_NAMES.search(name)]
        values += _passwords(os.environ.get("PGPASSFILE", ""))
        # The longest first: one secret may begin as another does.
        self._values = sorted({each for each in values if len(each) >= _SHORTEST}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for value in self._values:
            text = text.replace(value, _HIDDEN)
        for form, instead in _SECRET_FORMS:
            text = form.sub(instead, text)
        return text

    def within(self, value: object) -> object:
        """The same of a value that a line carries, however deep texts lie in it."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {str(name): self.within(each) for name, each in value.items()}
        return [self.within(each) for each in value] if isinstance(value, list | tuple | set) else value


def _passwords(file: str) -> list[str]:
    """Passwords of libpq's file: the fifth field of each line, in which a backslash escapes."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines() if file else []
    except OSError:  # PostgreSQL's client says what is wrong with it
        return []
    fields = (re.split(r"(?<!\\):", line, maxsplit=4) for line in lines if not line.startswith("#"))
    return [re.sub(r"\\(.)", r"\1", each[4]) for each in fields if len(each) == 5]
