"""Write docs/images/result.png: key figures by production day, and each solution beside its naive baseline.

Reads the instance of `CELLWORKS_HOME` after a night, such as that of `make demo`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.publish import published_snapshot

FILE = Path(__file__).resolve().parents[1] / "images" / "result.png"
KPIS = {
    "oee": "OEE",
    "premium_ratio": "premium ratio",
    "conversion_cost_usd_per_kwh": "conversion cost [US$/kWh]",
}


def key_figures() -> tuple[list[date], dict[str, list[float | None]]]:
    """Production days and the published key figures of each; None where the day's cells are not all graded."""
    home = Home.from_env()
    names = ", ".join(KPIS)
    with reader(home, snapshot=published_snapshot(home, "kpi")) as con:
        rows = con.execute(f"SELECT production_day, {names} FROM lake.marts.kpi_day ORDER BY 1").fetchall()
    return [row[0] for row in rows], {name: [row[1 + place] for row in rows] for place, name in enumerate(KPIS)}


def solutions() -> list[dict[str, Any]]:
    """What `cellworks status --json` says of each solution whose score has an interval."""
    tool = Path(sys.executable).parent / "cellworks"
    told = subprocess.run([tool, "status", "--json"], check=True, capture_output=True, text=True)  # noqa: S603
    return [each for each in json.loads(told.stdout)["solutions"] if each["metric"]["low"] is not None]


def draw_solution(axes: Axes, solution: dict[str, Any]) -> None:
    """A score with its 95 % interval, the baseline as a line."""
    metric, baseline = solution["metric"], solution["baseline"]
    below, above = metric["value"] - metric["low"], metric["high"] - metric["value"]
    axes.errorbar([0], [metric["value"]], yerr=[[below], [above]], fmt="o", color="#00796b", capsize=5)
    if baseline["value"] is not None:
        axes.axhline(baseline["value"], color="#b0bec5", linestyle="--")
        axes.text(0.45, baseline["value"], baseline["name"].replace("_", " "), fontsize=8, ha="right", va="bottom")
    fate = f"champion: version {solution['champion_version']}" if solution["champion_version"] else "not promoted"
    axes.set_title(f"{solution['slug']}\n{fate}", fontsize=9)
    axes.set_ylabel(metric["name"])
    axes.set_xlim(-0.5, 0.5)
    axes.set_xticks([])
    axes.margins(y=0.3)


def draw() -> None:
    """Draw and save the picture."""
    days, figures = key_figures()
    told, columns = solutions(), len(KPIS)
    rows = 1 + -(-len(told) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(10, 2.6 * rows), layout="constrained", squeeze=False)
    for place, (name, title) in enumerate(KPIS.items()):
        axes[0, place].plot(
            days, [float("nan") if v is None else v for v in figures[name]], color="#00796b", marker="."
        )
        axes[0, place].set_title(title, fontsize=10)
        axes[0, place].tick_params(axis="x", rotation=45, labelsize=7)
    for place, solution in enumerate(told):
        draw_solution(axes[1 + place // columns, place % columns], solution)
    for unused in axes[1:].flat[len(told) :]:
        unused.set_axis_off()
    figure.savefig(FILE, dpi=110)


if __name__ == "__main__":
    draw()
