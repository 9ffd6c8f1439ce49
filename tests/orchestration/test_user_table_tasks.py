"""A person's own table of any task and size, through the command line as a person would: new, night, status."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

Run = Callable[..., subprocess.CompletedProcess[str]]
METRIC = {"regression": "rmse", "binary": "roc_auc", "multiclass": "macro_f1"}


def table(task: str, rows: int, width: int) -> dict[str, Any]:
    """Numbers of which three matter, a category that matters, and columns that can't."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(rows, width)).astype(np.float32)
    material = rng.choice(["a", "b", "c"], rows)
    value = x[:, 0] + x[:, 1] - x[:, 2] + (material == "b") + rng.normal(0, 0.5, rows)
    x[rng.random(x.shape) < 0.05] = np.nan
    target = {"regression": value, "binary": value > 1.0, "multiclass": np.digitize(value, [-1, 1])}[task]
    gaps = pa.array([None if lost else each for each, lost in zip(material, rng.random(rows) < 0.1, strict=True)])
    numbers = {f"x{place}": x[:, place] for place in range(width)}
    return {"part": np.arange(rows), "y": target, "material": gaps, "constant": np.ones(rows), **numbers}


def night_of(cellworks: Run, folder: Path, columns: dict[str, Any], **search: int) -> tuple[dict[str, Any], ...]:
    """The model and the status row after `solution new` and a night of just it."""
    file = folder / "table.parquet"
    pq.write_table(pa.table(columns), file)
    named = [option for name in ("time", "group") if name in columns for option in (f"--{name}", name)]
    made = cellworks("solution", "new", "mine/model", "--table", str(file), "--target", "y", "--entity", "part", *named)
    assert made.returncode == 0, made.stderr
    assert "left out 'constant': constant" in made.stdout
    if search:
        wrote = folder / "home" / "solutions" / "mine" / "model" / "defs.yaml"
        content = yaml.safe_load(wrote.read_text())
        content["attributes"]["search"] = search
        wrote.write_text(yaml.safe_dump(content))
    night = cellworks("nightly", "--only", "mine/model", "--json")
    assert night.returncode == 0, night.stderr[-3000:]
    (model,) = json.loads(night.stdout)["models"]
    (row,) = [each for each in json.loads(cellworks("status", "--json").stdout)["solutions"] if each["slug"] == "model"]
    return model, row


def is_better(row: dict[str, Any], task: str) -> bool:
    """Whether the whole interval of the score is on the better side of the baseline."""
    metric, baseline = row["metric"], row["baseline"]["value"]
    return bool(metric["high"] < baseline if task == "regression" else metric["low"] > baseline)


@pytest.mark.slow
@pytest.mark.long
def test_a_table_with_time_and_group_is_judged_on_its_latest_groups(cellworks: Run, tmp_path: Path) -> None:
    columns = table("regression", 900, 6)
    begin = np.datetime64("2026-01-01", "us")
    columns["time"] = begin + np.arange(900).astype("timedelta64[h]")
    columns["group"] = [f"lot {row // 30}" for row in range(900)]
    model, row = night_of(cellworks, tmp_path, columns)
    assert (model["alias"], row["state"], row["rows_scored"]) == ("champion", "working", 900)
    assert model["rows_holdout"] % 30 == 0, "a group is never cut in two"
    assert is_better(row, "regression")


@pytest.mark.long
@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_each_task_ends_as_a_champion_that_scored_every_row(task: str, cellworks: Run, tmp_path: Path) -> None:
    model, row = night_of(cellworks, tmp_path, table(task, 900, 6))
    assert (model["alias"], model["predictions"]["rows"]) == ("champion", 900)
    assert (row["state"], row["rows_scored"], row["metric"]["name"]) == ("working", 900, METRIC[task])
    assert is_better(row, task)


@pytest.mark.long
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_600_columns_by_1500_rows(task: str, cellworks: Run, tmp_path: Path) -> None:
    model, row = night_of(cellworks, tmp_path, table(task, 1500, 596), trials=4, max_rounds=100)
    assert (model["alias"], row["rows_scored"]) == ("champion", 1500)
    assert is_better(row, task)


@pytest.mark.long
def test_10_columns_by_1000000_rows(cellworks: Run, tmp_path: Path) -> None:
    model, row = night_of(cellworks, tmp_path, table("binary", 1_000_000, 6), trials=2, max_rounds=60)
    assert (model["alias"], row["rows_scored"]) == ("champion", 1_000_000)
    assert is_better(row, "binary")
