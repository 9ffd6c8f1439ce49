"""Secrets out of what is told and kept: lines of the log, and failures that are written down."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_HIDDEN: Final = "[redacted]"
_SHORTEST: Final = 4  # a shorter secret protects nothing, and its letters are in every line
_SECRET_NAMES: Final = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|API_?KEY|(?:^|_)KEY(?:_ID)?$", re.IGNORECASE
)
_NAME: Final = r"(?:password|passwd|passphrase|secret|token|credential|(?:api|access|private|auth)[_-]?key)[\w.-]*"
_QUOTED: Final = r"""\\+"[^"]*"?|\\+'[^']*'?|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?"""
"""In quotes, also in those of a text that is quoted itself; what was cut off has no end."""
_FORMS: Final = (
    (re.compile(r"(://[^\s:/@]*):[^\s/]+@"), rf"\1:{_HIDDEN}@"),
    # The name may be the end of a longer one and stand in quotes, as in JSON, YAML and Python's own form.
    (re.compile(rf"""({_NAME}[\\'"]*\s*[=:]\s*)(?:{_QUOTED}|[^\s'",;&)\]}}]+)""", re.IGNORECASE), rf"\1{_HIDDEN}"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+"), rf"\1 {_HIDDEN}"),
)


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
        for form, instead in _FORMS:
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
