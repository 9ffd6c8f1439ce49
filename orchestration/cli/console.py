"""What the terminal shows: bars for long work, tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rich import filesize
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from orchestration.logs import is_json
from orchestration.printable import printable
from orchestration.progress import listening

if TYPE_CHECKING:
    from pipelines.control_plan.access import Access

_LOG = logging.getLogger("cellworks.step")
_PIPED_WIDTH = 120
DASH = "-"
WAITS: Final = 3
"""Exit code of a command whose act waits for another person."""


def tell(found: object, text: str, *, as_json: bool) -> None:
    """Print a result: the document for a program, the text for a person."""
    document = json.dumps(_finite(found), indent=2, default=_plain, allow_nan=False) if as_json else ""
    print(document or printable(text, keep="\n"))


def end_waiting(act: str, subject: str, who: str, access: Access, *, as_json: bool) -> NoReturn:
    """Print that an act, which was asked for just now, waits for a second person, and until when; exit code 3."""
    from pipelines.access.second_person import lapses

    until = lapses(access)
    found = {"act": act, "subject": subject, "state": "requested", "requested_by": who, "until": until}
    text = (
        f"{act} of {subject} waits until {until:%Y-%m-%d %H:%M} UTC for a second person, who gives the same command; "
        "nothing was changed; `cellworks audit list --waiting` tells all that waits"
    )
    tell(found, text, as_json=as_json)
    sys.exit(WAITS)


def _finite(value: object) -> object:
    """The document with null for each number that is not finite: JSON knows neither NaN nor Infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


@contextmanager
def only_ours() -> Iterator[None]:
    """Within the block whatever libraries and child processes print goes to standard error.

    What a command prints afterwards is then all that standard output holds: one document under `--json`.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _console() -> Console:
    """The terminal at its own width; a pipe has none, and 120 columns hold a table unbroken."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_PIPED_WIDTH, highlight=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table that fits the terminal."""
    _print_rows(Table(*columns, header_style="dim", box=None, pad_edge=False, padding=(0, 2, 0, 0)), rows)


def listing(rows: Sequence[Sequence[Any]]) -> None:
    """Print rows without a header, indented like `line`."""
    _print_rows(Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0)), rows)


def _print_rows(shown: Table, rows: Sequence[Sequence[Any]]) -> None:
    for row in rows:
        shown.add_row(*(Text("" if value is None else printable(str(value)), overflow="fold") for value in row))
    _console().print(Padding(shown, (0, 0, 0, 2), expand=False))


def heading(text: str) -> None:
    """Print a heading with a line before it."""
    _console().print(Text(f"\n{printable(text)}", style="bold"))


def line(text: str, indent: int = 2, style: str = "") -> None:
    """Print a sentence, wrapped at words to the terminal's width and indented throughout; a line break is no break."""
    _console().print(Padding(Text(printable(text), style=style), (0, 0, 0, indent), expand=False))


def lines(text: str, indent: int = 2, style: str = "") -> None:
    """Print a text of ours that has lines, as an error's; those after the first are indented beneath it."""
    first, *others = text.splitlines() or [""]
    line(first, indent, style)
    for each in others:
        line(each.strip(), indent + 2, style)


def figure(value: float | None, digits: int = 4) -> str:
    """A number, or a dash."""
    return DASH if value is None else f"{value:.{digits}g}"


def size(count: int | None) -> str:
    """Bytes in the unit that people read, or a dash."""
    return DASH if count is None else filesize.decimal(count)


def with_interval(row: Mapping[str, Any]) -> str:
    """Value with its 95 % interval."""
    if row.get("value") is None:
        return "-"
    return f"{figure(row['value'])} [{figure(row['low'])}, {figure(row['high'])}]"


class _Clock(ProgressColumn):
    """Time since the step began; rich's own column stops with the last part, after which a step still has work."""

    def render(self, task: Task) -> Text:
        return Text(str(timedelta(seconds=int(task.elapsed or 0.0))), style="progress.elapsed")


class Bars:
    """A bar for the step under way; a step that begins ends the one before, which leaves a line with its time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._steps = 0
        self._begun = 0

    def expect(self, steps: int) -> None:
        """From here on titles count, `3/36 ...`; a step that is skipped never begins and never counts."""
        self._steps, self._begun = steps, 0

    def begin(self, title: str) -> None:
        """A step starts."""
        self.finish()
        self._begun += 1
        place = f"{self._begun}/{self._steps} " if self._steps else ""
        self._task = self._progress.add_task(place + printable(title), total=None, detail="")

    def advance(self, what: str, done: int, total: int) -> None:
        """Within the step: `done` of `total` parts are finished, `what` is being done."""
        if self._task is None:
            self.begin(what)
        if self._task is not None:
            detail = f"{done}/{total} {printable(what)}" if done < total else ""
            self._progress.update(self._task, completed=done, total=total, detail=detail)

    def finish(self) -> None:
        """The step is over; one line of it stays, above the bar of a terminal or in a log."""
        if self._task is None:
            return
        (task,) = (each for each in self._progress.tasks if each.id == self._task)
        seconds = task.elapsed or 0.0
        self._progress.remove_task(self._task)
        self._task = None
        _LOG.info("step done", extra={"step": task.description, "seconds": round(seconds, 1)})
        told = Text(f"✓ {task.description}  {seconds:.0f} s", style="dim")
        self._progress.console.print(told, soft_wrap=True)


@contextmanager
def bars(*, is_quiet: bool = False) -> Iterator[Bars]:
    """Bars on standard error, so that standard output stays clean; in a log one line of each step when it is over.

    Where lines of JSON are asked for, those lines are all there is.

    Args:
        is_quiet: show nothing.
    """
    console = Console(stderr=True, quiet=is_quiet or is_json())
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        _Clock(),
        TextColumn("[dim]{task.fields[detail]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        shown = Bars(progress)
        yield shown
        shown.finish()


@contextmanager
def showing(*, as_json: bool) -> Iterator[Bars]:
    """Show as bars what the work of the block tells of itself; nothing to a program, which reads the document."""
    with bars(is_quiet=as_json) as shown, listening(shown):
        yield shown
