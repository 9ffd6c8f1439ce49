"""The bare loops of the benchmark do the very fits that training did: same trials, folds, parameters and rounds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from models.context import ModelContext
from models.train import train
from orchestration.bench.work_models import write_work

SCRIPT = Path(__file__).parents[1] / "bench" / "bare" / "bare_training.py"


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_loops_repeat_every_fit_of_a_training(
    task: str, tmp_path: Path, own_ctx: ModelContext, cells: Any, solution: Any, table_file: Callable[..., str]
) -> None:
    spec = solution(table_file(cells(rows=600)), task)
    result = train(spec, own_ctx)
    write_work(tmp_path / "work", spec, own_ctx, result)

    work = json.loads((tmp_path / "work" / "work.json").read_text(encoding="utf-8"))
    trials = result.fitted.found.trials
    assert [list(each["rounds"].values()) for each in work["trials"][:-1]] == [each.fold_rounds for each in trials]
    assert [each["library"] for each in work["trials"]] == [*(each.library for each in trials), result.library]
    table = pq.read_table(tmp_path / "work" / "table.parquet")
    assert table.num_rows == result.rows_development
    learnt = [sum(part == 1 for part in table.column(f"fold_{place}").to_pylist()) for place in range(3)]
    assert learnt == [rows for rows, _ in result.fitted.fold_sizes]

    command = [
        sys.executable,
        str(SCRIPT),
        str(tmp_path / "work" / "table.parquet"),
        str(tmp_path / "work" / "work.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seconds"] > 0
