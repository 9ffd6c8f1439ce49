"""What the terminal shows: bars for long work, tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table


def as_json(value: object) -> str:
    """JSON text; moments in ISO 8601."""
    return json.dumps(value, indent=2, default=_plain)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table."""
    shown = Table(title=title, title_justify="left", header_style="bold")
    for name in columns:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*("" if value is None else str(value) for value in row))
    Console(width=max(Console().width, 150)).print(shown)


def figure(value: float | None, digits: int = 4) -> str:
    """A number, or a dash."""
    return "-" if value is None else f"{value:.{digits}g}"


def with_interval(row: Mapping[str, Any]) -> str:
    """Value with its 95 % interval."""
    if row.get("value") is None:
        return "-"
    return f"{figure(row['value'])} [{figure(row['low'])}, {figure(row['high'])}]"


class Bars:
    """A bar per step; a step that begins ends the one before."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: Any = None

    def begin(self, title: str) -> None:
        """A step starts."""
        self.finish()
        self._task = self._progress.add_task(title, total=None)

    def advance(self, what: str, done: int, total: int) -> None:
        """Within the step."""
        if self._task is None:
            self.begin(what)
        self._progress.update(self._task, completed=done, total=total, detail=what)

    def finish(self) -> None:
        """The step is over."""
        if self._task is not None:
            total = self._progress.tasks[self._task].total or 1
            self._progress.update(self._task, completed=total, total=total, detail="")
            self._progress.stop_task(self._task)


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars on standard error, so that `--json` on standard output stays clean."""
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[detail]}"),
    )
    with _Detailed(*columns, console=Console(stderr=True)) as progress:
        shown = Bars(progress)
        yield shown
        shown.finish()


class _Detailed(Progress):
    """Progress whose tasks always have a detail."""

    def add_task(self, description: str, **fields: Any) -> Any:  # type: ignore[override]
        """Add a task with an empty detail."""
        return super().add_task(description, **{"detail": "", **fields})
