"""What a forecast looks like: fans of intervals beside what came, and coverage by step ahead."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.forecast.evaluate import Evaluation
from models.forecast.panel import Panel
from models.forecast.runtime import AHEAD, Array
from models.forecast.spec import ForecastSpec
from models.forecast.windows import look_back

_FANS = 3
_BLUE = "#0b6e99"


def draw(spec: ForecastSpec, panel: Panel, found: Evaluation, folder: Path) -> None:
    """Draw `plots/fan.png` and `plots/coverage.png` into a folder."""
    (folder / "plots").mkdir()
    _fans(spec, panel, found, folder / "plots" / "fan.png")
    _coverage(spec, found, folder / "plots" / "coverage.png")


def _fans(spec: ForecastSpec, panel: Panel, found: Evaluation, file: Path) -> None:
    """The largest series' past, a forecast from the middle of the hold-out with its interval, and what came."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = panel.numbers[spec.target]
    largest = np.argsort(-np.nan_to_num(np.nanmean(np.abs(values), axis=1)))[:_FANS]
    figure = Figure(figsize=(8, 2.2 * len(largest)), dpi=90)
    FigureCanvasAgg(figure)
    figure.suptitle(f"{spec.solution}: {spec.target} {f'({spec.unit})' if spec.unit else ''}", fontsize=9)
    for place, series in enumerate(largest, 1):
        axis = figure.add_subplot(len(largest), 1, place)
        mine = found.rows.series == series
        origins = np.unique(found.rows.origin[mine])
        origin = int(origins[len(origins) // 2]) if len(origins) else panel.steps
        first = max(0, origin - min(look_back(spec), 3 * spec.season))
        shown = np.arange(first, min(origin + spec.horizon, panel.steps))
        axis.plot(_moments(panel, shown), values[series, shown], color="0.3", linewidth=1, label="what came")
        rows = np.flatnonzero(mine & (found.rows.origin == origin))
        moments = _moments(panel, found.rows.target[rows])
        low, middle, high = found.predicted[rows].T
        axis.fill_between(moments, low, high, color=_BLUE, alpha=0.25, linewidth=0, label="interval")
        axis.plot(moments, middle, color=_BLUE, linewidth=1.2, label="middle")
        axis.set_title(str(panel.names[series]) or spec.target, fontsize=8)
        axis.tick_params(labelsize=7)
        if place == 1:
            axis.legend(fontsize=7, loc="upper left")
    figure.tight_layout()
    figure.savefig(file, metadata={"Software": None})


def _moments(panel: Panel, steps: Array) -> Array:
    return np.asarray(panel.label_s(steps).astype("datetime64[s]"))


def _coverage(spec: ForecastSpec, found: Evaluation, file: Path) -> None:
    """Share of the hold-out inside the interval, by step ahead."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ahead = found.rows.number(AHEAD).astype(int)
    inside = (found.rows.y >= found.predicted[:, 0]) & (found.rows.y <= found.predicted[:, 2])
    steps = np.unique(ahead)
    figure = Figure(figsize=(6, 2.5), dpi=90)
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.plot(steps, [float(inside[ahead == step].mean()) for step in steps], marker=".", color=_BLUE)
    axis.axhline(spec.nominal_coverage, linestyle="--", linewidth=1, color="0.4")
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("steps ahead")
    axis.set_ylabel("share inside")
    figure.tight_layout()
    figure.savefig(file, metadata={"Software": None})
