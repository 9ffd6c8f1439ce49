"""The picture of a plan: bars over time beside the rule's, curves where a kind has them, else what both cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.optimizer.plans.items import Case

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 40  # bars that can still be read
_PLAN, _RULE = "#0b6e99", "#c8553d"


def draw(cases: list[Case], title: str, file: Path) -> None:
    """Draw every plan below the other into a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.6 * len(cases) + 0.6), dpi=110)
    FigureCanvasAgg(figure)
    for axis, case in zip(figure.subplots(len(cases), squeeze=False)[:, 0], cases, strict=True):
        if case.curves:
            _curves(axis, case)
        elif any(item.starts_at and item.ends_at for item in case.items):
            _gantt(axis, case)
        else:
            _costs(axis, case)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _curves(axis: Axes, case: Case) -> None:
    for (name, values), colour in zip(case.curves.items(), (_PLAN, _RULE), strict=False):
        axis.step(range(len(values)), values, where="mid", label=name, color=colour)
    axis.set_ylabel(case.scope, fontsize=8)
    axis.legend(fontsize=7, frameon=False)


def _gantt(axis: Axes, case: Case) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    bars = [(item, item.starts_at, item.ends_at) for item in case.items if item.starts_at and item.ends_at][:_MOST]
    for row, (item, start, end) in enumerate(bars):
        axis.barh(row, date2num(end) - date2num(start), left=date2num(start), color=_PLAN)
        if item.rule_starts_at:
            axis.plot(date2num(item.rule_starts_at), row, "|", color=_RULE)
    axis.set_yticks(range(len(bars)), [str(item.keys[-1]) for item, _, _ in bars])
    axis.invert_yaxis()
    locator = AutoDateLocator()
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _costs(axis: Axes, case: Case) -> None:
    weighed = case.weighed
    axis.barh(["bound", "plan", "rule"], [weighed.bound, weighed.cost, weighed.rule_cost], color=["#999", _PLAN, _RULE])
    axis.set_xlabel(f"{case.scope}: {case.measure}", fontsize=8)
    axis.invert_yaxis()
