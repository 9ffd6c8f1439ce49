"""What the figures are held to: every stage ran, none grows much faster than the lines, none fills the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from orchestration.scale.growth import growth

GIB: Final = 2**30
MOST_CPU_EXPONENT: Final = 1.2
"""Of CPU seconds, which other work on the machine hardly changes. Sorting and joining cost a little more than their
rows; what costs much more will not carry many lines."""
MEMORY_SHARE: Final = 0.8
"""Of a machine's memory, what one stage may hold; the rest is the system's and the page cache's."""
MOST_ANSWER_S: Final = 1.0
"""What an answer on the genealogy may take."""
FIGURES: Final = ("seconds", "cpu_seconds", "peak_bytes")


def figures_of(told: Mapping[str, Any]) -> dict[str, dict[int, dict[str, Any]]]:
    """What was measured, by stage and number of lines."""
    found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in told["size"]["stages"]}
    for plant in told["plants"]:
        for each in plant["measured"]:
            found[each["stage"]][plant["lines"]] = each
    return found


def growths(told: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Growth of wall time, CPU time and memory of each stage that was measured with every number of lines."""
    lines = list(told["size"]["lines"])
    return {
        stage: {name: _grown(lines, [by_lines[each][name] for each in lines]) for name in FIGURES}
        for stage, by_lines in figures_of(told).items()
        if set(by_lines) >= set(lines)
    }


def _grown(lines: list[int], figures: list[float]) -> dict[str, float]:
    found = growth(lines, figures)
    return asdict(found) | {"steepest": found.steepest}


def outcomes(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each thing that was asked: `name`, `passed`, and what was found."""
    figures, most = figures_of(told), max(told["size"]["lines"])
    found = [_ran(told, stage, by_lines) for stage, by_lines in figures.items()]
    for stage, grown in told["growth"].items():
        slope = grown["cpu_seconds"]["steepest"]
        found.append(_outcome(f"{stage}: CPU time", slope <= MOST_CPU_EXPONENT, f"lines to the power of {slope:.2f}"))
        peak, memory = figures[stage][most]["peak_bytes"] / GIB, told["machine"]["memory_gib"]
        held = f"{peak:.2f} of {memory:g} GiB with {most} lines"
        found.append(_outcome(f"{stage}: memory", peak <= MEMORY_SHARE * memory, held))
    if all_checks := figures.get("checks"):
        failed = {lines: each["told"]["failed"] for lines, each in all_checks.items()}
        said = ", ".join(f"{count} with {lines} lines" for lines, count in sorted(failed.items()))
        found.append(_outcome("checks: all hold", not any(failed.values()), f"failed: {said}"))
    if most in figures.get("genealogy", {}):
        slowest = slowest_answer(figures["genealogy"][most])
        found.append(_outcome("genealogy: slowest answer", slowest < MOST_ANSWER_S, f"{slowest:.2f} s"))
    return found


def slowest_answer(measured: Mapping[str, Any]) -> float:
    """Seconds of the slowest answer on the genealogy."""
    return float(max(*measured["told"]["back_seconds"], *measured["told"]["onward_seconds"]))


def _ran(told: Mapping[str, Any], stage: str, by_lines: Mapping[int, Any]) -> dict[str, Any]:
    lacking = {
        lines: next((each["failed"].get(stage, "") for each in told["plants"] if each["lines"] == lines), "")
        or told["not_begun"].get(str(lines), "what it reads was not there")
        for lines in told["size"]["lines"]
        if lines not in by_lines
    }
    why = "; ".join(f"{lines} lines: {reason}" for lines, reason in lacking.items())
    return _outcome(f"{stage}: ran", not lacking, why or "with every number of lines")


def _outcome(name: str, passed: bool, found: str) -> dict[str, Any]:
    return {"name": name, "passed": passed, "found": found}
