"""The page of the documentation: what was measured, how it grows, and the arithmetic of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.bench.report import about_machine, markdown
from orchestration.scale.outcomes import FIGURES, GIB, MOST_CPU_EXPONENT, figures_of, slowest_answer
from orchestration.scale.planned import planned

_GB = 1e9
_HEAD = """# How sizes grow

<!-- Written by `make scale`; not to be edited. -->

A line more brings its machines, its control points and its cells: more rows a day, not more days. The plants measured
here have as many lines as the tables say, each with the machines and the rows a day of the demo's; their days are fewer
than the demo's 30, so that ten lines fit into the time and the disk of one machine. Machines are numbered on
(`stacker_1..4`, `stacker_5..8`, ...). The twin sends a roll or a cell to any machine of its kind, whatever the line: so
many rows there are and so many names they have, but no real plant would send them so. Each stage is a process of its
own that takes all days at once, as the night after a restore does; a usual night takes the new day alone.
"""
_OF_MEASURES = """
Seconds are the wall's, the start of the process included; peak is the largest resident memory of the process or of
one that it waited for; lake is what its files hold after the stage, superseded ones included.
"""
_OF_ANSWERS = """
The search chooses the model: more rows may carry one with more leaves, and others may call for action. Reading and
predicting take what the answers take, reasons what answers with reasons x leaves take: a model that is ten times as
large makes a step in the figures that is no law of the lines.
"""
_OF_GROWTH = """
Exponent p of lines^p by least squares in logarithms, in brackets its 95 % interval (Student's t). Three sizes leave one
degree of freedom, whose quantile is 12.7: the interval is wide even where the points lie close to a line. `last` is the
slope between the two largest sizes alone, where the start of a process weighs least. The plan takes the steeper one.
"""


def write(told: Mapping[str, Any], folder: Path) -> None:
    """Write `scale.md` into the documentation's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scale.md").write_text(page(told), encoding="utf-8")


def page(told: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    parts = [
        _HEAD,
        f"Command: `{told['command']}`, {told['machine']['at']}.\n",
        f"{about_machine(told['machine'])}\n",
        _settings(told),
        _plants(told),
        "\n## Measured\n",
        _measured(told),
        _OF_MEASURES,
        *_genealogy(told),
        *_answers(told),
        "## Growth\n",
        _growth(told),
        _OF_GROWTH,
        *planned(told),
        "## Asked\n",
        markdown(("what", "met", "found"), [_asked(each) for each in told["outcomes"]]),
        f"\n`CPU time` asks for at most lines^{MOST_CPU_EXPONENT:g}, by the steeper slope.",
    ]
    return "\n".join(parts) + "\n"


def _settings(told: Mapping[str, Any]) -> str:
    size = told["size"]
    return (
        f"Plants: {size['days']} days, {size['telemetry_days']} of them by the minute, scale {size['scale']:g} of a "
        f"line's cells. {told['threads']} threads; DuckDB's memory limit {told['memory_limit']}: what is larger goes "
        "to the disk, so a peak may stop growing.\n"
    )


def _plants(told: Mapping[str, Any]) -> str:
    head = ("lines", "control points", "cells begun", "raw rows", "by the minute", "simulated in s", "home GB")
    rows = [
        [
            str(plant["lines"]),
            f"{plant['lake'].get('control_points', 0):,}",
            f"{plant['simulated']['cells_started']:,}",
            f"{plant['lake'].get('rows_raw', 0):,}",
            f"{plant['lake'].get('rows_by_minute', 0):,}",
            f"{plant['simulated']['seconds']:.0f}",
            f"{plant['home_bytes'] / _GB:.2f}",
        ]
        for plant in told["plants"]
    ]
    return markdown(head, rows)


def _measured(told: Mapping[str, Any]) -> str:
    lines = told["size"]["lines"]
    units = {
        "seconds": ("seconds", 1.0),
        "cpu_seconds": ("CPU s", 1.0),
        "peak_bytes": ("peak GiB", GIB),
        "lake_bytes": ("lake GB", _GB),
    }
    head = ("stage", *(f"{name}, {each}" for name, _ in units.values() for each in lines))
    rows = [
        [
            stage,
            *(
                _short(by_lines[each][figure] / unit) if each in by_lines else "-"
                for figure, (_, unit) in units.items()
                for each in lines
            ),
        ]
        for stage, by_lines in figures_of(told).items()
    ]
    return markdown(head, rows)


def _genealogy(told: Mapping[str, Any]) -> list[str]:
    by_lines = figures_of(told).get("genealogy", {})
    if not by_lines:
        return []
    said = ", ".join(
        f"{lines} x {each['told']['cells'] // lines:,} cells {slowest_answer(each):.2f} s ({_answered(each['told'])})"
        for lines, each in sorted(by_lines.items())
    )
    asked = told["size"]["asked"]
    return [f"Slowest answer on the genealogy, {asked} cells and {asked} lots asked for: {said}.\n"]


def _answered(walked: Mapping[str, Any]) -> str:
    return f"{len(walked['back_seconds'])} cells and {len(walked['onward_seconds'])} lots answered"


def _answers(told: Mapping[str, Any]) -> list[str]:
    answered = {stage: found for stage, found in figures_of(told).items() if stage.startswith("scoring_")}
    rows = [
        [stage, str(lines), *(f"{each['told'][name]:,}" for name in ("rows", "explained", "trees", "leaves")), phases]
        for stage, by_lines in answered.items()
        for lines, each in sorted(by_lines.items())
        for phases in [", ".join(f"{name} {_short(value)}" for name, value in each["told"]["phases"].items())]
    ]
    if not rows:
        return []
    return [markdown(("stage", "lines", "answers", "with reasons", "trees", "leaves", "seconds"), rows), _OF_ANSWERS]


def _growth(told: Mapping[str, Any]) -> str:
    names = {"seconds": "seconds", "cpu_seconds": "CPU s", "peak_bytes": "peak memory"}
    head = ("stage", *(cell for name in names.values() for cell in (name, f"{name}, last")))
    rows = [
        [stage, *(cell for figure in FIGURES for cell in _slopes(grown[figure]))]
        for stage, grown in told["growth"].items()
    ]
    return markdown(head, rows)


def _slopes(grown: Mapping[str, float]) -> tuple[str, str]:
    return f"{grown['exponent']:.2f} [{grown['low']:.2f}, {grown['high']:.2f}]", f"{grown['last']:.2f}"


def _asked(outcome: Mapping[str, Any]) -> list[str]:
    found = " ".join(outcome["found"].split()).replace("|", "/")
    return [outcome["name"], "yes" if outcome["passed"] else "NO", found]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
