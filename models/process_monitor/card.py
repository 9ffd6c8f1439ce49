"""The monitor's card and pictures: what it calls usual, how it was chosen, how often it alarms in vain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.process_monitor.evaluation import Judged
from models.process_monitor.fitting import Fitted
from models.process_monitor.learning import Learnt
from models.process_monitor.observations import Observations
from models.process_monitor.spec import MonitorSpec

_SHOWN = ("t2", "spe", "combined", "shewhart")


def model_card(spec: MonitorSpec, fitted: Fitted, judged: Judged, marks: Mapping[str, str]) -> str:
    """Markdown of the card.

    Args:
        spec: the monitor.
        fitted: what was learnt.
        judged: figures on rows not learnt from.
        marks: snapshot, plan hash, code revision and lock hash.
    """
    record = fitted.scorer.bundle["record"]
    parts = [
        f"# {spec.solution}",
        "",
        spec.question,
        *(["", spec.description] if spec.description else []),
        "",
        f"- owner: {spec.owner or 'not named'}; entity: {spec.entity}; action: {spec.action.kind}",
        f"- {len(fitted.scorer.bundle['features'])} variables; {fitted.rows} rows until {record['cut']['after']}",
        (
            f"- {spec.statistic} acts; {100 * spec.false_alarm_rate:g} % of good rows may be in alarm, "
            f"{spec.persistence} signal(s) in a row make one"
        ),
        *(f"- {key}: {value}" for key, value in marks.items()),
        "",
        "## References",
        "",
        *(line for group, each in fitted.learnt.items() for line in _reference(group, each)),
        "## Figures on rows that were not learnt from",
        "",
        "| figure | value | 95 % interval |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {each.value:.4f} | {each.low:.4f} to {each.high:.4f} |"
            for name, each in judged.metrics.items()
        ),
        "",
        "## Left out",
        "",
        *(f"- `{name}`: {reason}" for name, reason in list(fitted.dropped.items())[:60]),
        "",
        "## Limits",
        "",
        "Contributions say which variables leave what is usual, not why.",
        *(f"- {note}" for note in fitted.notes),
        "",
    ]
    return "\n".join(parts)


def _reference(group: str, learnt: Learnt) -> list[str]:
    choice, limits = learnt.choice, learnt.reference.limits
    theory = ", ".join(f"{name} {value:.4g}" for name, value in learnt.theory.items())
    tried = "; ".join(
        f"{each.lags} lags, {each.components} components: {each.loss:.4g}"
        for each in learnt.tried
        if each.loss is not None
    )
    return [
        f"- {group or 'all rows'}: {learnt.rows} rows, {learnt.screened} left out as outliers",
        f"- {choice.lags} lags, {choice.components} components; loss in validation: {tried}",
        f"- its limits: {', '.join(f'{name} {limits[name]:.4g}' for name in _SHOWN)}; theory would have: {theory}",
        "",
    ]


def draw(spec: MonitorSpec, seen: Observations, fitted: Fitted, folder: Path) -> None:
    """The control chart of the newest rows: each statistic over its limit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ratios = fitted.scorer.statistics(seen.table)
    newest = slice(max(0, len(seen.time) - 5000), None)
    figure = Figure(figsize=(9, 4.5), dpi=90)
    FigureCanvasAgg(figure)
    figure.suptitle(f"{spec.solution}: each statistic over its limit", fontsize=10)
    for place, name in enumerate(("t2", "spe")):
        axis: Any = figure.add_subplot(2, 1, place + 1)
        values = np.clip(ratios[name][newest], 1e-3, None)
        axis.scatter(seen.time[newest], values, s=3, color="#0b6e99")
        axis.axhline(1.0, color="#b3261e", linewidth=1)
        axis.set_yscale("log")
        axis.set_ylabel(name.upper())
    figure.tight_layout()
    figure.savefig(folder / "control_chart.png")
