"""How long work says how far it is, to whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, parts done and parts in all."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""
