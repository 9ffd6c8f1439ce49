"""Somebody who listens to the progress of long work."""

from __future__ import annotations


class Listener:
    """Keeps what it hears, by the step in which it was told."""

    def __init__(self) -> None:
        self.heard: dict[str, list[tuple[str, int, int]]] = {}

    def begin(self, title: str) -> None:
        self.heard[title] = []

    def advance(self, what: str, done: int, total: int) -> None:
        self.heard[next(reversed(self.heard))].append((what, done, total))
