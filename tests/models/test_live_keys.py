"""Answers are found again by their keys, of whatever type the table has them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from models.context import ModelContext
from models.drift.live import _join
from models.spec import PredictiveSpec
from pipelines.lake.home import Home


def test_a_short_whole_number_meets_the_long_one_that_was_stored(tmp_path: Path) -> None:
    table = {
        "batch": ["B1", "B1", "B2"], "minute_no": pa.array([20, 40, 20], pa.int32()), "power": [1.0, 2.0, 3.0],
        "is_done": [False, True, True],
    }  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    spec = PredictiveSpec(
        stage="a", slug="b", question="?", table=str(tmp_path / "t.parquet"), keys=["batch", "minute_no"],
        target={"column": "is_done"}, task="binary",
    )  # fmt: skip
    predicted = pa.table(
        {"batch": ["B2", "B1"], "minute_no": pa.array([20, 40], pa.int64()), "__probability": [0.9, 0.8]}
    )
    found = _join(spec, ModelContext(Home(tmp_path), None, as_of=datetime(2026, 9, 1)), predicted)  # noqa: DTZ001
    assert found is not None
    frame, rows = found
    assert frame.n_rows == rows.num_rows == 2
    assert rows["__probability"].to_pylist() == [0.8, 0.9]
