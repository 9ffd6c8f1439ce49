"""`cellworks benchmarks`: public data sets through the door of a user's table, beside what was published."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestration.bench.machine import description
from orchestration.benchmarks import page
from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.outcome import Measured
from orchestration.benchmarks.run import measure, read
from orchestration.benchmarks.spec import Benchmark, benchmarks
from orchestration.cli import console
from orchestration.environment import project_root
from pipelines.control_plan.errors import CellworksError

COLUMNS = ("data", "metric", "value", "95 %", "floor", "published", "must", "met")
_PACKAGES = ("lightgbm", "xgboost", "scikit-learn", "optuna", "numpy", "scipy", "duckdb")


def run_benchmarks(data: Path | None, only: str | None, docs: Path | None, *, quick: bool, as_json: bool) -> None:
    """Measure, print, and write the documentation's page where its folder is named.

    Raises:
        CellworksError: no data is named, there is no such benchmark, or the page would lack some.
    """
    if data is None:
        raise CellworksError(
            "the public data sets are not shipped",
            expected="their folder",
            found="none",
            mend="--data or CELLWORKS_DATA",
        )
    chosen = _chosen(only)
    if docs is not None:
        _refuse_a_part_of_the_page(chosen, data, only)
    # A plain end by SIGTERM would leave the working processes running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    machine, begun = description(_PACKAGES), time.monotonic()
    found = _measured(chosen, data, quick=quick)
    if docs is not None:
        minutes = (time.monotonic() - begun) / 60
        told = page.document(found, is_quick=quick, machine=machine, minutes=minutes)
        page.draw(found, docs)
        page.write(page.with_peer(told, project_root() / page.PEER), docs)
    rows = [row for _, measured in found.values() for row in measured.rows]
    if as_json:
        console.tell({"results": rows}, "", as_json=True)
    else:
        console.table(COLUMNS, [_line(row) for row in rows])


def render_again(docs: Path | None) -> None:
    """Write the page again from its JSON, with the peer's figures of now; measures nothing.

    Raises:
        CellworksError: there is no JSON yet.
    """
    if docs is None or not (file := docs / page.JSON).is_file():
        raise CellworksError(
            "there is nothing to render", expected=f"--docs DIR with {page.JSON}", found=str(docs), mend="measure first"
        )
    told = json.loads(file.read_text(encoding="utf-8"))
    page.write(page.with_peer(told, project_root() / page.PEER), docs)


def _measured(chosen: list[Benchmark], data: Path, *, quick: bool) -> dict[str, tuple[Benchmark, Measured]]:
    """Figures of each data set that is there; one that is not is told and passed over."""
    found = {}
    with console.bars() as shown, tempfile.TemporaryDirectory(prefix="cellworks-benchmarks-") as place:
        ground = Ground(Path(place), is_quick=quick, tell=shown.advance)
        for benchmark in chosen:
            if lost := benchmark.lost(data):
                print(
                    f"{benchmark.data}: {', '.join(lost)} not in {data / benchmark.data}; "
                    f"published at {benchmark.published_at}",
                    file=sys.stderr,
                )
                continue
            shown.begin(benchmark.data)
            found[benchmark.data] = benchmark, measure(benchmark, read(benchmark, data), ground)
    return found


def _refuse_a_part_of_the_page(chosen: list[Benchmark], data: Path, only: str | None) -> None:
    lost = [benchmark.data for benchmark in chosen if benchmark.lost(data)]
    if lost or only is not None:
        raise CellworksError(
            "the page shows every data set, as one run measured them",
            expected="all of them in the folder, and no --only",
            found=f"without {', '.join(lost)}" if lost else f"--only {only}",
            mend="leave --docs out to measure a part",
        )


def _chosen(only: str | None) -> list[Benchmark]:
    every = benchmarks()
    chosen = [each for each in every if only in (None, each.data)]
    if not chosen:
        raise CellworksError(
            "there is no such benchmark", expected=", ".join(each.data for each in every), found=str(only)
        )
    return chosen


def _line(row: dict[str, Any]) -> list[str]:
    return [
        row["data"],
        row["metric"],
        page.short(row["value"]),
        page.band((row["low"], row["high"])),
        page.short(row["floor"]),
        page.short(row["published"]),
        page.limit(row["must"], row["better"]),
        page.yes(row["met"]),
    ]
