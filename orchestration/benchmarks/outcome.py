"""What a protocol gives back: named figures with intervals, tables and pictures. The same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Figure:
    """A named figure.

    Attributes:
        values: one per seed or split, in their order; one only where nothing is drawn.
        low: lower end of the 95 % interval; None where there is none.
        high: upper end.
        over: what the interval is over: `20 splits`, `5 seeds`, `judged rows`.
        rows: ends of the interval over the judged rows of one draw: what another sample of rows could bring.
    """

    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    over: str = ""
    rows: tuple[float, float] | None = None

    @property
    def value(self) -> float:
        """The mean."""
        return float(np.mean(self.values))


def over_draws(values: Sequence[float], of: str) -> Figure:
    """A figure of several draws: the 95 % interval of their mean by Student's t.

    Args:
        values: one per draw, at least two.
        of: what was drawn: `splits`, `seeds`.
    """
    from scipy import stats

    drawn = np.asarray(values, dtype=np.float64)
    half = float(stats.t.ppf(0.975, len(drawn) - 1) * drawn.std(ddof=1) / np.sqrt(len(drawn)))
    return Figure(tuple(drawn.tolist()), float(drawn.mean()) - half, float(drawn.mean()) + half, f"{len(drawn)} {of}")


@dataclass(frozen=True)
class Answers:
    """What was answered for the judged rows of a part, for pictures.

    Attributes:
        y: the true values (a number, or 1 for the event).
        value: the answer, or the event's probability.
        low: lower end of its interval; None without one.
        high: upper end.
    """

    y: Array
    value: Array
    low: Array | None = None
    high: Array | None = None


@dataclass(frozen=True)
class Table:
    """A table of the page beside the figures: a row per fault, a row per window.

    Attributes:
        title: heading.
        columns: heads of the columns.
        rows: cells; numbers are rounded for the page, None is a dash.
        note: a sentence below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        name: end of the file's name, after the data set's.
        caption: what it shows, and its alternative text.
        draw: draws it into a PNG file.
    """

    name: str
    caption: str
    draw: Callable[[Path], None]


@dataclass(frozen=True)
class Outcome:
    """What a protocol brought.

    Attributes:
        figures: by name, a part's as `<name> <part>`; the measures of the YAML pick among them.
        seconds: by the clock, to learn once (search and fit) on one thread, mean over seeds or splits.
        cpu_s: seconds of the processor for the same.
        chosen: what the search chose, one text per seed or split.
        tables: beside the figures.
        pictures: beside the figures.
    """

    figures: dict[str, Figure]
    seconds: float
    cpu_s: float
    chosen: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Measured:
    """A data set's figures: rows as the command answers them, and what the page shows beside them."""

    rows: list[dict[str, Any]]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
