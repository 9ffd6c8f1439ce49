"""A person's own table, without Python: from `solution new` to a champion with its score beside the baseline."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import yaml

from orchestration.cli.reasons import in_words, units_of
from orchestration.plant import plant

ROOT = Path(__file__).parents[2]
AI4I = ROOT.parent / "shared" / "data" / "ai4i2020" / "ai4i2020.csv"
LEAKS = {"TWF", "HDF", "PWF", "OSF", "RNF"}
COLUMNS = {
    "stage", "slug", "family", "state", "reason", "champion_version", "metric", "baseline", "last_trained",
    "last_scored", "rows_scored", "actions", "checks_passed", "checks_failed", "cost",
}  # fmt: skip
Run = Callable[..., subprocess.CompletedProcess[str]]


def _columns(rows: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    return {
        "id": [f"P{number}" for number in range(rows)],
        "x": x,
        "material": rng.choice(["a", "b"], rows),
        "constant": np.ones(rows),
        "y": np.where(x + rng.normal(0, 0.4, rows) > 0.5, "bad", "good"),
        "one": ["same"] * rows,
        "none": pa.nulls(rows, pa.float64()),
        "few": pa.array([1.0 * (n % 3) if n < 40 else None for n in range(rows)]),
    }


def _write(folder: Path, columns: dict[str, Any], suffix: str = ".parquet") -> Path:
    path, table = folder / f"table{suffix}", pa.table(columns)
    if suffix == ".parquet":
        pq.write_table(table, path)
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in table.to_pylist()))
    else:
        with gzip.open(path, "wb") if suffix == ".csv.gz" else path.open("wb") as out:
            pacsv.write_csv(table, out)
    return path


def _solution(home: Path, name: str = "mine/model") -> dict[str, Any]:
    return yaml.safe_load((home / "solutions" / name / "defs.yaml").read_text())["attributes"]


@pytest.mark.slow
@pytest.mark.skipif(not AI4I.is_file(), reason="the shared data folder is not beside this project")
def test_a_real_file_on_an_empty_instance_becomes_a_working_solution(cellworks: Run, tmp_path: Path) -> None:
    made = cellworks(
        "solution", "new", "my_stage/my_model", "--table", str(AI4I), "--target", "Machine failure", "--entity", "UID"
    )
    assert made.returncode == 0, made.stderr
    assert not LEAKS & set(_solution(tmp_path / "home", "my_stage/my_model")["features"]["select"])
    night = cellworks("nightly", "--only", "my_stage/my_model", "--json")
    assert night.returncode == 0, night.stderr[-3000:]
    summary = json.loads(night.stdout)
    (model,) = summary["models"]
    assert (model["solution"], model["alias"], model["predictions"]["rows"]) == (
        "my_stage/my_model",
        "champion",
        10_000,
    )
    assert (summary["rows"], summary["failed_steps"]) == (None, {})
    assert summary["checks_failed"] == len(summary["failed_checks"])
    told = json.loads(cellworks("status", "--json").stdout)
    row = next(each for each in told["solutions"] if each["slug"] == "my_model")
    assert set(row) == COLUMNS
    assert set(told["kpis"]) == {"oee", "premium_ratio", "conversion_cost_usd_per_kwh", "throughput_kwh_per_day"}
    assert (row["state"], row["champion_version"], row["rows_scored"]) == ("working", "1", 10_000)
    assert row["metric"]["name"] == "roc_auc"
    assert row["baseline"]["value"] < 0.6 < 0.9 < row["metric"]["low"] <= row["metric"]["value"]
    assert row["checks_passed"] > 0
    assert row["last_trained"]
    assert row["last_scored"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".jsonl"])
def test_each_kind_of_file_is_taken(suffix: str, here: Callable[..., Any], tmp_path: Path) -> None:
    path = _write(tmp_path, {name: _columns()[name] for name in ("id", "x", "material", "constant", "y")}, suffix)
    made = here("solution", "new", "mine/model", "--table", path.name, "--target", "y", "--entity", "id")
    assert made.returncode == 0, made.stderr
    wrote = _solution(tmp_path / "home")
    assert wrote["task"] == "binary"
    assert wrote["features"]["select"] == ["x", "material"]
    assert "left out 'constant': constant" in made.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--target", "z", "--entity", "id"], "target column 'z' is not in the table"),
        (["--target", "y", "--entity", "z"], "entity column 'z' is not in the table"),
        (["--target", "y", "--entity", "y"], "can't be both target and entity"),
        (["--target", "y", "--entity", "id", "--time", "y"], "can't be both target and time"),
        (["--target", "y", "--entity", "id", "--time", "x"], "holds no moments"),
        (["--target", "y", "--entity", "few"], "missing in some rows"),
        (["--target", "y", "--entity", "material"], "does not name one row"),
        (["--target", "one", "--entity", "id"], "one class only"),
        (["--target", "none", "--entity", "id"], "every label missing"),
        (["--target", "few", "--entity", "id"], "40 labelled rows"),
    ],
)
def test_what_cannot_be_learnt_is_refused(
    options: list[str], says: str, here: Callable[..., Any], tmp_path: Path
) -> None:
    path = _write(tmp_path, _columns())
    made = here("solution", "new", "mine/model", "--table", str(path), *options)
    assert made.returncode == 2
    assert says in made.stderr
    assert not (tmp_path / "home" / "solutions").exists()


@pytest.mark.parametrize("table", ["nothing.csv", "marts.nothing"])
def test_a_table_that_is_not_there_is_refused(table: str, here: Callable[..., Any]) -> None:
    made = here("solution", "new", "mine/model", "--table", table, "--target", "y", "--entity", "id")
    assert made.returncode == 2
    assert "expected" in made.stderr


@pytest.mark.parametrize("table", ["solutions.failing", "ops.published", "intermediate.cell", "trial"])
def test_a_table_whose_models_could_never_be_promoted_is_refused(
    table: str, here: Callable[..., Any], tmp_path: Path
) -> None:
    made = here("solution", "new", "mine/model", "--table", table, "--target", "y", "--entity", "id")
    assert made.returncode == 2
    assert "could be promoted" in made.stderr
    assert not (tmp_path / "home" / "solutions").exists()


def test_a_taken_or_impossible_name_is_refused(here: Callable[..., Any], tmp_path: Path) -> None:
    path = _write(tmp_path, {name: _columns()[name] for name in ("id", "x", "y")})
    options = ["--table", str(path), "--target", "y", "--entity", "id"]
    assert here("solution", "new", "mine/model", *options).returncode == 0
    for name, says in (
        ("mine/model", "is there already"),
        ("yours/model", "two solutions are called 'model'"),
        ("../model", "can't name a solution"),
    ):
        made = here("solution", "new", name, *options)
        assert (made.returncode, says in made.stderr) == (2, True), made.stderr


def test_a_wrong_attribute_is_told_with_file_line_and_reason(here: Callable[..., Any], tmp_path: Path) -> None:
    path = _write(tmp_path, {name: _columns()[name] for name in ("id", "x", "y")})
    here("solution", "new", "mine/model", "--table", str(path), "--target", "y", "--entity", "id")
    file = tmp_path / "home" / "solutions" / "mine" / "model" / "defs.yaml"
    file.write_text(file.read_text() + "  search:\n    trials: none\n")
    line = len(file.read_text().splitlines())
    told = here("status")
    assert told.returncode == 2
    assert f"defs.yaml, line {line}" in told.stderr
    assert "search.trials: Input should be a valid integer" in told.stderr
    assert f"line {line}: search.trials" in told.stderr


def test_reasons_are_told_in_words_with_units() -> None:
    units = units_of(plant().site)
    parts = [
        {"feature": "bearing_temp_c", "value": 71.234, "contribution": 0.417},
        {"feature": "material_code", "value": "lfp_b", "contribution": -0.2},
        {"feature": "motor_current_a", "value": None, "contribution": 0.1},
    ]
    assert in_words(json.dumps(parts), units) == (
        "bearing temp 71.23 C (raises it, +0.42); material code lfp_b (lowers it, -0.2); "
        "motor current is missing (raises it, +0.1)"
    )
    assert in_words("120 more of this kind", units) == "120 more of this kind"
    grouped = f"7 more beyond the limits of 12 an hour; first: S1 ({json.dumps(parts[:1])})"
    assert in_words(grouped, units) == (
        "7 more beyond the limits of 12 an hour; first: S1 (bearing temp 71.23 C (raises it, +0.42))"
    )
