"""Alarm systems: what an operator gets in each window and how much of it says something new, and who calls most."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.context import ModelContext
from models.indicator.alarms_spec import Alarms
from models.indicator.spec import IndicatorSpec
from models.optimizer.reading import floats
from orchestration.evaluation.pictures.canvas import BLUE, GREY, RED, SAND, by_date, legend, sheet, words
from orchestration.evaluation.pictures.tables import further

_NATURES = {"single": BLUE, "flood": SAND, "chattering": RED, "stale": GREY}


def draw(spec: IndicatorSpec, kind: Alarms, ctx: ModelContext) -> Any | None:
    """Load of an operator by period and nature, and the most frequent alarms; None before there is any."""
    period = " x ".join(kind.period)
    natures = further(spec, ctx, "nature", f"WHERE level = '{period}'")
    load, top = further(spec, ctx, "load", f"WHERE level = '{period}'"), further(spec, ctx, "top", "ORDER BY place")
    if natures is None or load is None or top is None:
        return None
    figure, (axes,) = sheet(spec.solution, 1, 2)
    left, right = axes
    load = load.sort_by(kind.period[0])
    days = load[kind.period[0]].to_pylist()
    windows = dict(zip(days, floats(load, "window_count") * kind.operators, strict=True))
    counts = {(row[kind.period[0]], row["nature"]): row["alarm_count"] for row in natures.to_pylist()}
    below = np.zeros(len(days))
    for nature, colour in _NATURES.items():
        heights = np.array([counts.get((day, nature), 0) / windows[day] for day in days])
        if heights.any():
            left.bar(days, heights, 0.85, bottom=below, color=colour, label=nature)
        below = below + heights
    left.set_ylabel(f"alarms per operator and {kind.window_s // 60} min")
    left.margins(y=0.25)
    by_date(left)
    legend(left, ncols=4, loc="upper left")
    names = [words(each).replace("/", ": ") for each in top["alarm"].to_pylist()]
    right.barh(names, 100 * floats(top, "ratio"), color=BLUE)
    for place, so_far in enumerate(floats(top, "ratio_so_far")):
        right.text(100 * floats(top, "ratio")[place], place, f" {so_far:.0%}", va="center", fontsize=7)
    right.invert_yaxis()
    right.tick_params(axis="y", labelsize=7)
    right.set_xlabel("share of all alarms, % (beside: so far)")
    return figure
