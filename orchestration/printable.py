"""The one place where text that others wrote becomes safe to show on a terminal."""

from __future__ import annotations

import unicodedata


def printable(text: str, keep: str = "") -> str:
    """Write out what would steer a terminal instead of being seen, as Python does it in a text in quotes.

    A reason, or a file that a plant delivered, could else move the cursor, erase the line above, turn the direction of
    writing or put in a line that looks like one of ours.

    Args:
        text: to be shown.
        keep: characters that stay as they are, such as line breaks of a text of our own.
    """
    return "".join(each if each in keep or _is_seen(each) else _written_out(each) for each in text)


def is_printable(text: str) -> bool:
    """Whether nothing of a text would be written out."""
    return all(map(_is_seen, text))


def _is_seen(character: str) -> bool:
    """Neither control, format, surrogate, private nor unassigned, nor a separator of lines."""
    category = unicodedata.category(character)
    return category[0] != "C" and category not in ("Zl", "Zp")


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
