"""Runs a benchmark: its table through its family, under the published protocol and those beside it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.outcome import Measured, Outcome
from orchestration.benchmarks.spec import Benchmark, Beside, Measure
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_literal


def read(benchmark: Benchmark, folder: Path) -> pa.Table:
    """The benchmark's table, made of its files by its SQL."""
    import duckdb

    with duckdb.connect() as con:
        place = quote_literal(folder / benchmark.data)[1:-1]  # it stands inside the quotes of a file's name
        return con.execute(benchmark.sql.format(folder=place)).to_arrow_table()


def measure(benchmark: Benchmark, table: pa.Table, ground: Ground) -> Measured:
    """Figures of a data set.

    Args:
        benchmark: the data set.
        table: its rows, as `read` gives them.
        ground: where to work; a folder of its own is made in its folder, and goes afterwards.
    """
    rows, outcomes = [], {}
    for round_ in benchmark.rounds(quick=ground.is_quick):
        with tempfile.TemporaryDirectory(dir=ground.folder) as place:
            outcome = round_.protocol.run(benchmark, table, replace(ground, folder=Path(place)))
        outcomes[round_.label] = outcome
        # A quick run has no split that is only shown.
        wanted = [each for each in round_.measures if not ground.is_quick or each.title in outcome.figures]
        rows += [_row(benchmark, round_, each, outcome) for each in wanted]
    return Measured(rows, outcomes)


def _row(benchmark: Benchmark, round_: Beside, wanted: Measure, outcome: Outcome) -> dict[str, Any]:
    """One row of the command's answer."""
    figure = outcome.figures.get(wanted.title)
    if figure is None:
        raise CellworksError(
            f"the protocol '{round_.protocol.kind}' brings no figure '{wanted.title}'",
            expected=", ".join(outcome.figures),
            found=wanted.title,
            where=f"{benchmark.data}.yaml",
        )
    return {
        "data": benchmark.data,
        "metric": f"{wanted.title}, {round_.label}" if round_.label else wanted.title,
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "floor": wanted.floor,
        "published": wanted.published,
        "must": wanted.must,
        "met": wanted.is_met(figure.value),
        "aim": wanted.aim,
        "aim_met": wanted.is_aim_met(figure.value),
        "better": wanted.better,
        "over": figure.over,
        "values": list(figure.values),
        "rows_low": None if figure.rows is None else figure.rows[0],
        "rows_high": None if figure.rows is None else figure.rows[1],
        "seconds": outcome.seconds,
        "cpu_s": outcome.cpu_s,
        "through": benchmark.through,
        "protocol": round_.protocol.told(),
        "source": wanted.source,
        "floor_is": wanted.floor_is if wanted.floor is not None else "",
        "note": wanted.note,
    }
