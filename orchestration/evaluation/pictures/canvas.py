"""The sheet that every picture of an evaluation is drawn on, without a display, and its colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

BLUE, RED, GREEN, SAND, GREY = "#0b6e99", "#c8553d", "#5b8c5a", "#d9a441", "#9a9a9a"
SEVERAL = (RED, SAND, BLUE, GREEN, GREY)
"""Colours of kinds that stand side by side, the one that matters most first."""


def sheet(title: str, rows: int = 1, columns: int = 1, *, height: float = 3.8) -> tuple[Any, Any]:
    """A figure with its axes.

    Args:
        title: above all axes.
        rows: of axes.
        columns: of axes.
        height: inches of the whole.

    Returns:
        The figure, and its axes as an array of shape (rows, columns).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, height), dpi=110)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.xaxis.label.set_size(8)
        axis.yaxis.label.set_size(8)
        axis.title.set_size(9)
    return figure, axes


def by_date(axis: Any) -> None:
    """Write the horizontal axis as dates, as short as they can be."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.xaxis.get_offset_text().set_size(8)


def legend(axis: Any, **how: Any) -> None:
    """A small legend without a frame."""
    axis.legend(fontsize=7, frameon=False, **how)


def room_above(axis: Any, tops: Sequence[float]) -> None:
    """Leave room over bars for a legend."""
    axis.set_ylim(0, 1.25 * max([*tops, 1e-9]))


def words(name: str) -> str:
    """A name of a column or class as words."""
    return name.replace("_", " ")


def save(figure: Any, file: Path) -> None:
    """Write the PNG; the same figure makes the same bytes."""
    figure.tight_layout()
    figure.savefig(file, metadata={"Software": None})
