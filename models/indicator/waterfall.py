"""The picture of a loss tree: from calendar time down to the fully productive time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from models.indicator.levels import level_name

_ORDER = ("not_recorded", "planned_stop", "setup", "delay", "down", "unmapped", "speed", "quality")
_TOTALS = {"not_recorded": "calendar_s", "setup": "planned_busy_s", "speed": "production_s"}
"""The whole that is left, drawn before the losses of an element."""
_TITLES = {"calendar_s": "calendar", "planned_busy_s": "planned busy", "production_s": "production"}


def bars(figures: pa.Table, losses: pa.Table) -> list[tuple[str, float, float]]:
    """What is drawn from top to bottom: name, where the bar begins and how long it is, as shares of calendar time."""
    level = pa.scalar(level_name([]))
    (whole,) = figures.filter(pc.equal(figures["level"], level)).to_pylist()
    lost = losses.filter(pc.equal(losses["level"], level)).sort_by([("lost_s", "descending")]).to_pylist()
    drawn: list[tuple[str, float, float]] = []
    left = float(whole["calendar_s"])
    for element in _ORDER:
        if total := _TOTALS.get(element):
            drawn.append((_TITLES[total], 0.0, float(whole[total])))
        for each in lost:
            if each["element"] == element and each["lost_s"] > 0:
                left -= each["lost_s"]
                name = element if element == each["loss"] else f"{element}: {each['loss']}"
                drawn.append((name.replace("_", " "), left, each["lost_s"]))
    drawn.append(("fully productive", 0.0, float(whole["fully_productive_s"])))
    return [(name, begin / whole["calendar_s"], length / whole["calendar_s"]) for name, begin, length in drawn]


def waterfall(figures: pa.Table, losses: pa.Table, title: str, file: Path) -> None:
    """Draw the whole, all machines and periods, into a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = bars(figures, losses)
    totals = {*_TITLES.values(), "fully productive"}
    figure = Figure(figsize=(7.2, 0.32 * len(drawn) + 1.1), dpi=110)
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    colours = ["#0b6e99" if name in totals else "#c8553d" for name, _, _ in drawn]
    axis.barh(range(len(drawn)), [length for _, _, length in drawn], left=[at for _, at, _ in drawn], color=colours)
    for row, (_, begin, length) in enumerate(drawn):
        axis.text(begin + length + 0.005, row, f"{length:.1%}", va="center", fontsize=8)
    axis.set_yticks(range(len(drawn)), [name for name, _, _ in drawn], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.08)
    axis.set_xlabel("share of calendar time")
    axis.set_title(title, fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
