"""`cellworks benchmarks`: public data sets through the door of a user's table, beside what was published."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.run import measure, read
from orchestration.benchmarks.spec import Benchmark, benchmarks
from orchestration.cli import console
from pipelines.control_plan.errors import CellworksError

COLUMNS = ("data", "metric", "value", "95 %", "floor", "published", "must", "met")


def run_benchmarks(data: Path, only: str | None, *, quick: bool, as_json: bool) -> None:
    """Measure and print; what is missing is told and passed over.

    Raises:
        CellworksError: there is no such benchmark.
    """
    rows: list[dict[str, Any]] = []
    with console.bars() as shown, tempfile.TemporaryDirectory(prefix="cellworks-benchmarks-") as place:
        ground = Ground(Path(place), is_quick=quick, tell=shown.advance)
        for benchmark in _chosen(only):
            if lost := benchmark.lost(data):
                print(
                    f"{benchmark.data}: {', '.join(lost)} not in {data / benchmark.data}; "
                    f"published at {benchmark.published_at}",
                    file=sys.stderr,
                )
                continue
            shown.begin(benchmark.data)
            rows += measure(benchmark, read(benchmark, data), ground).rows
    if as_json:
        console.tell({"results": rows}, "", as_json=True)
    else:
        console.table(COLUMNS, [_line(row) for row in rows])


def _chosen(only: str | None) -> list[Benchmark]:
    every = benchmarks()
    chosen = [each for each in every if only in (None, each.data)]
    if not chosen:
        raise CellworksError(
            "there is no such benchmark", expected=", ".join(each.data for each in every), found=str(only)
        )
    return chosen


def _line(row: dict[str, Any]) -> list[str]:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4g}"

    must = row["must"]
    return [
        row["data"],
        row["metric"],
        shown(row["value"]),
        f"{shown(row['low'])} to {shown(row['high'])}",
        shown(row["floor"]),
        shown(row["published"]),
        f"{shown(must[0])} to {shown(must[1])}" if isinstance(must, tuple) else shown(must),
        {True: "yes", False: "NO", None: "-"}[row["met"]],
    ]
