"""Sentences: words of the YAML around columns of a row. Every digit in a sentence comes from a row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from string import Formatter


@dataclass(frozen=True)
class Slot:
    """A column's place in a sentence.

    Attributes:
        column: of the query.
        shape: how it is written, as Python's format specification has it; empty: the type's own way.
    """

    column: str
    shape: str


def taken_apart(text: str) -> list[tuple[str, Slot | None]]:
    """The words and the columns of a sentence, in their order.

    Raises:
        ValueError: it has a digit of its own, a brace that does not close, or anything but a column in braces.
    """
    parts: list[tuple[str, Slot | None]] = []
    for words, name, shape, conversion in Formatter().parse(text):
        if any(each.isdigit() for each in words):
            msg = f"a sentence has no digit of its own: numbers come from rows; found '{words.strip()}'"
            raise ValueError(msg)
        if name is not None and (not name.isidentifier() or conversion or "{" in (shape or "")):
            msg = f"braces hold a column, and how it is written: {{oee:.1%}}; found '{{{name}}}'"
            raise ValueError(msg)
        parts.append((words, None if name is None else Slot(name, shape or "")))
    return parts


def slots(text: str) -> list[Slot]:
    """The columns of a sentence; raises as `taken_apart` does."""
    return [slot for _, slot in taken_apart(text) if slot is not None]


def shown(value: object, shape: str) -> str:
    """A value as it is written in a sentence.

    Args:
        value: of a row; not None.
        shape: see `Slot`.

    Raises:
        ValueError: it cannot be written so, as a text with two decimals.
        TypeError: likewise.
    """
    if isinstance(value, Decimal):
        value = float(value)
    if shape:
        return format(value, shape)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
