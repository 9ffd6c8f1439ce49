"""Writes what the peer learns from: rows and columns as our families see them, split as they are.

Run by `make peer` in our environment: prepare.py DATA FOLDER. The seconds to spend are those that ours took, as
docs/benchmarks.json has them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.context import ModelContext
from models.prepare import Prepared, prepare
from models.spec import PredictiveSpec
from orchestration.benchmarks import page
from orchestration.benchmarks.run import read
from orchestration.benchmarks.spec import Benchmark, benchmarks
from orchestration.benchmarks.splitting import PART, RowProtocol, Split
from orchestration.environment import project_root
from pipelines.lake.home import Home

# Data set, how many of its draws, and the tables that the peer gets in turn.
WORK = {
    "ai4i2020": (5, ("the raw table",)),
    "cmapss_fd001": (2, ("the raw table", "our windows")),
    "severson_lfp": (5, ("the raw table",)),
}


def main(data: Path, folder: Path) -> None:
    """Write a folder per draw and table: rows as Parquet, and what to do as JSON."""
    told = json.loads((project_root() / "docs" / page.JSON).read_text(encoding="utf-8"))
    seconds = {row["data"]: row["cpu_s"] for row in reversed(told["results"])}
    for benchmark in benchmarks():
        draws, tables = WORK.get(benchmark.data, (0, ()))
        protocol = benchmark.protocol
        if not draws or not isinstance(protocol, RowProtocol):
            continue
        table = read(benchmark, data)
        for number, split in enumerate(protocol.parted(table, quick=False)[:draws]):
            for name in tables:
                place = folder / f"{benchmark.data}-{name.split()[-1]}-{number}"
                place.mkdir(parents=True)
                write(benchmark, table, split, name, seconds[benchmark.data], place)


def write(benchmark: Benchmark, table: pa.Table, split: Split, learnt_from: str, seconds: float, place: Path) -> None:
    """One draw of one data set."""
    with tempfile.TemporaryDirectory() as own:
        file = Path(own) / "table.parquet"
        pq.write_table(split.table(benchmark, table), file)
        spec = specification(benchmark, file, split, with_windows=learnt_from == "our windows")
        prepared = prepare(spec, ModelContext(home=Home(Path(own)), n_threads=1))
    pq.write_table(rows(prepared), place / "rows.parquet")
    about = {
        "data": benchmark.data,
        "learnt_from": learnt_from,
        "seed": split.seed,
        "cpu_s": seconds,
        "task": spec.task,
        "is_grouped": prepared.has_group,
        "figures": [each.title for each in benchmark.measures if "seed" not in each.title],
    }
    (place / "work.json").write_text(json.dumps(about), encoding="utf-8")


def specification(benchmark: Benchmark, file: Path, split: Split, *, with_windows: bool) -> PredictiveSpec:
    """What says which rows and columns our family reads; no features that it would build after looking at answers."""
    said = benchmark.solution
    return PredictiveSpec.model_validate(
        {
            "stage": "peer",
            "slug": benchmark.data,
            "table": str(file),
            "question": said["question"],
            "keys": said["keys"],
            "target": {name: said["target"][name] for name in ("column", "at_most") if name in said["target"]},
            "task": said.get("task", "regression"),
            "features": {**said.get("features", {}), "build": False},
            "sequence": said["sequence"] if with_windows else None,
            "split": {**said.get("split", {}), "part": PART, "holdout_parts": split.judged},
        }
    )


def rows(prepared: Prepared) -> pa.Table:
    """Labelled rows: features, `y` as it is learnt, `raw` as it is, `group`, and `part`."""
    frame = prepared.frame
    # As our family does: what has one value where it is learnt from, such as the name of the part, is no feature.
    learnt = frame.table.take(pa.array(prepared.split.development))
    useless = [
        name for name in learnt.column_names if name.startswith("__key_") or len(learnt.column(name).unique()) < 2
    ]
    found: dict[str, Any] = {
        "y": pa.array(prepared.labels.y),
        "raw": frame.raw_target(),
        "group": pa.array(prepared.order.group),
        "part": frame.part,
    }
    table = frame.table.drop_columns(useless)
    for name, column in found.items():
        table = table.append_column(f"__{name}", column)
    return table.filter(pa.array(~np.isnan(prepared.labels.y)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
