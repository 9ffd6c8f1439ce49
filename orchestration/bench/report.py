"""The benchmark for people: a table, and the page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = ("row", "ours", "bare", "unit", "ratio", "target", "met")
_HEAD = """# Benchmark

<!-- Written by `make bench`; not to be edited. -->

Every figure of ours stands beside the bare one on the same work, measured in one run with the same threads, memory
limit, compression and trials. The bare scripts are in `tests/bench/bare/`. Figures are medians; where a row was
repeated, the smallest and largest stand in brackets.

`night` is of the part of a night that both sides do: taking in, curating, checking, and the learning of the predictive
solutions that its note names. Nights of the whole plant, with every family's solutions, are told in minutes, without a
bare figure: `night_of_all` and `second_night_of_all`.
"""


def lines(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table as text, in the order of `COLUMNS`."""
    return [
        [
            row["name"],
            _figure(row["ours"], row["ours_min_max"]),
            _figure(row["bare"], row["bare_min_max"]),
            row["unit"],
            "-" if row["ratio"] is None else f"{row['ratio']:.2f}",
            row["target"] or "-",
            {True: "yes", False: "NO", None: "-"}[row["met"]],
        ]
        for row in result["rows"]
    ]


def write(result: Mapping[str, Any], folder: Path) -> None:
    """Write `bench.md` and `bench.json` into the documentation's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (folder / "bench.md").write_text(page(result), encoding="utf-8")


def page(result: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    machine, size = result["machine"], result["size"]
    plant = f"{size['days']} days at scale {size['scale']:g}, {size['telemetry_days']} of them by the minute"
    parts = [
        _HEAD,
        f"Command: `{result['command']}`, {machine['at']}.\n",
        f"{about_machine(machine)}\n",
        f"Plant: {plant}.\n",
        markdown(COLUMNS, lines(result)),
        *(f"\nNot measured: `{name}`: {why}" for name, why in result["failed"].items()),
        "\n## What stands beside what\n",
        *(f"- `{row['name']}`: {row['note']}" for row in result["rows"] if row["note"]),
    ]
    return "\n".join(parts) + "\n"


def about_machine(machine: Mapping[str, Any]) -> str:
    """What the figures were measured on, in one sentence."""
    load = ", ".join(str(each) for each in machine["load_before"])
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    system = f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}"
    return f"Machine: {machine['processor']}, {system}, load before {load}; {packages}."


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    ruled = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in ruled)


def _figure(value: float | None, spread: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    if spread is None or spread[0] == spread[1]:
        return _short(value)
    return f"{_short(value)} [{_short(spread[0])}, {_short(spread[1])}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
