"""Secrets out of what is told and kept: lines of the log, and failures that are written down."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus, unquote

_HIDDEN: Final = "[redacted]"
_SHORTEST: Final = 4  # a shorter secret protects nothing, and its letters are in every line
_SECRET_NAMES: Final = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|API_?KEY|(?:^|_)KEY(?:_ID)?$", re.IGNORECASE
)
_PLACES: Final = re.compile(r"(?:FILE|FILES|PATH|DIR|URL|URI)$", re.IGNORECASE)
"""Ends of names whose values say where a secret is; a person must be told which file can't be read."""
_NAME: Final = r"(?:password|passwd|passphrase|secret|token|credential|(?:api|access|private|auth)[_-]?key)[\w.-]{0,64}"
"""Bounded, as are marks and spaces after it: a text from outside must not take time by the square of its length."""
_QUOTED: Final = r"""\\+"[^"]*"?|\\+'[^']*'?|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?"""
"""In quotes, also in those of a text that is quoted itself; what was cut off has no end."""
_BARE: Final = r"""[^\s'",;&)\]}"""
_NAMED: Final = re.compile(
    # The name may be the end of a longer one and stand in quotes, as in JSON, YAML and Python's own form; after one in
    # quotes a bracket begins a list, not a secret. What is hidden already stays as it is.
    rf"""({_NAME}([\\'"]{{1,9}})?\s{{0,9}}[=:]\s{{0,9}})(?!{re.escape(_HIDDEN)})(?:({_QUOTED})|(?(2){_BARE}[{{]|{_BARE}]){_BARE}]*)""",
    re.IGNORECASE,
)
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE)
_IN_ADDRESS: Final = re.compile(r"://[^\s:/@]*:([^\s/]+)@")
_FORMS: Final = (
    (re.compile(r"(://[^\s:/@]*):[^\s/]+@"), rf"\1:{_HIDDEN}@"),
    (re.compile(r"\b((?:SECRET|PASSWORD|SESSION_TOKEN|KEY_ID)\s{1,9})'(?:[^']|'')*'?"), rf"\1'{_HIDDEN}'"),  # in SQL
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+"), _HIDDEN),  # a signed token (JWT), whoever wrote it where
    (re.compile(r"\b(Bearer|Basic)\s{1,9}[\w.~+/=-]+"), rf"\1 {_HIDDEN}"),
)


class Redaction:
    """Takes secrets out of text: values of the environment's secret variables, and what has a secret's form.

    Quotes stay where they were, so that a document of JSON is one afterwards.
    """

    def __init__(self) -> None:
        values = {*_of_environment(), *_passwords(os.environ.get("PGPASSFILE", ""))}
        written = {way for each in values if len(each) >= _SHORTEST for way in _ways_to_write(each)}
        # The longest first: one secret may begin as another does.
        self._values = sorted(written, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for value in self._values:
            text = text.replace(value, _HIDDEN)
        for form, instead in _FORMS:
            text = form.sub(instead, text)
        return _NAMED.sub(_without_value, text)

    def within(self, value: object) -> object:
        """The same of a value that a line carries, however deep texts lie in it."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {str(name): self._named(str(name), each) for name, each in value.items()}
        return [self.within(each) for each in value] if isinstance(value, list | tuple | set) else value

    def _named(self, name: str, value: object) -> object:
        return _HIDDEN if isinstance(value, str) and value and _SECRET_NAME.search(name) else self.within(value)


def _without_value(found: re.Match[str]) -> str:
    """The name with its mark and what hides the value, in the quotes that the value had; a bare one gets its name's."""
    before, of_name, value = found.groups()
    mark = re.match(r"""\\*['"]""", value or of_name or "")
    around = mark[0] if mark else ""
    return f"{before}{around}{_HIDDEN}{around}"


def _of_environment() -> Iterator[str]:
    """Values of variables that are named as secrets, and passwords in addresses that any variable holds."""
    for name, value in os.environ.items():
        if _SECRET_NAMES.search(name) and not _PLACES.search(name):
            yield value
        elif "://" in value:
            yield from (unquote(each) for each in _IN_ADDRESS.findall(value))


def _ways_to_write(secret: str) -> Iterable[str]:
    """The secret itself, and as addresses, JSON and Python write it."""
    return secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]


def _passwords(file: str) -> list[str]:
    """Passwords of libpq's file: the fifth field of each line, in which a backslash escapes."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines() if file else []
    except OSError:  # PostgreSQL's client says what is wrong with it
        return []
    fields = (re.split(r"(?<!\\):", line, maxsplit=4) for line in lines if not line.startswith("#"))
    return [re.sub(r"\\(.)", r"\1", each[4]) for each in fields if len(each) == 5]
