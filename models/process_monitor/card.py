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
from models.process_monitor.studies import Told
from pipelines.charts.capability import Index, NotCapable
from pipelines.charts.gauge import GaugeStudy


def model_card(spec: MonitorSpec, fitted: Fitted, judged: Judged, studies: list[str], marks: Mapping[str, str]) -> str:
    """Markdown of the card.

    Args:
        spec: the monitor.
        fitted: what was learnt.
        judged: figures on rows not learnt from.
        studies: lines on capability and gauges.
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
        *studies,
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


def capability_lines(capable: Mapping[str, Told]) -> list[str]:
    """A section on capability; none where nothing is specified."""
    if not capable:
        return []
    lines = ["## Capability on later rows", "", "| variable | Cp | Cpk | Pp | Ppk | Cpm | ppm expected | seen |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, each in capable.items():
        if isinstance(each, NotCapable):
            lines.append(f"| {name} | none: {each.reason} | | | | | | |")
            continue
        figures = " | ".join(_index(getattr(each, index)) for index in ("cp", "cpk", "pp", "ppk", "cpm"))
        lines.append(f"| {name} | {figures} | {each.expected_ppm:.0f} | {each.observed_ppm:.0f} |")
    return [*lines, ""]


def _index(index: Index | None) -> str:
    return "-" if index is None else f"{index.value:.2f} ({index.low:.2f} to {index.high:.2f})"


def gauge_lines(gauges: Mapping[str, GaugeStudy]) -> list[str]:
    """A section on the gauges; none where none was studied."""
    if not gauges:
        return []
    lines = ["## Gauges", "", "| variable | GRR of tolerance | of all variation | categories | verdict |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, each in gauges.items():
        ratios = " | ".join(
            "-" if ratio is None else f"{100 * ratio:.1f} %" for ratio in (each.of_tolerance_ratio, each.of_total_ratio)
        )
        lines.append(f"| {name} | {ratios} | {each.categories} | {each.verdict} |")
    return [*lines, ""]


def _reference(group: str, learnt: Learnt) -> list[str]:
    choice, limits = learnt.choice, learnt.reference.limits
    told = ", ".join(f"{name} {limit:.4g}" for name, limit in limits.items())
    theory = ", ".join(f"{name} {value:.4g}" for name, value in learnt.theory.items())
    tried = "; ".join(
        f"{each.lags} lags, {each.components} components: {each.loss:.4g}"
        for each in learnt.tried
        if each.loss is not None
    )
    return [
        f"- {group or 'all rows'}: {learnt.rows} rows, {learnt.screened} left out as outliers",
        f"- {choice.lags} lags, {choice.components} components; loss in validation: {tried}",
        f"- its limits: {told}; theory would have: {theory}",
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
    shown = [name for name in ("t2", "spe", "charts") if name in ratios]
    for place, name in enumerate(shown):
        axis: Any = figure.add_subplot(len(shown), 1, place + 1)
        values = np.clip(ratios[name][newest], 1e-3, None)
        axis.scatter(seen.time[newest], values, s=3, color="#0b6e99")
        axis.axhline(1.0, color="#b3261e", linewidth=1)
        axis.set_yscale("log")
        axis.set_ylabel(name.upper())
    figure.tight_layout()
    figure.savefig(folder / "control_chart.png")
