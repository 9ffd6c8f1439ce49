"""The peer gets the rows, splits and seconds that ours get, and knows nothing of ours."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

PEER = Path(__file__).parent / "peer"
OURS = {"orchestration", "models", "expectations", "pipelines"}


def test_the_peer_knows_nothing_of_ours() -> None:
    tree = ast.parse((PEER / "peer.py").read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not OURS & {name.split(".")[0] for name in names}


@pytest.mark.slow
def test_the_peer_gets_our_rows_and_no_answer_among_its_features(data_set: Any, tmp_path: Path) -> None:
    found = importlib.util.spec_from_file_location("peer_prepare", PEER / "prepare.py")
    assert found is not None
    assert found.loader is not None
    prepare = importlib.util.module_from_spec(found)
    found.loader.exec_module(prepare)
    benchmark, table = data_set("severson_lfp")
    split = benchmark.protocol.parted(table, quick=False)[3]
    prepare.write(benchmark, table, split, "the raw table", 1.5, tmp_path)
    rows = pq.read_table(tmp_path / "rows.parquet")
    about = json.loads((tmp_path / "work.json").read_text(encoding="utf-8"))
    assert (about["seed"], about["cpu_s"], about["task"]) == (3, 1.5, "regression")
    parts, counts = np.unique(rows.column("__part").to_pylist(), return_counts=True)
    assert dict(zip(parts.tolist(), counts.tolist(), strict=True)) == {"learnt": 41, "test1": 42, "test2": 40}
    features = [name for name in rows.column_names if not name.startswith("__")]
    life = rows.column("__raw").to_numpy().astype(float)
    alike = [abs(np.corrcoef(rows.column(name).to_numpy(), life)[0, 1]) for name in features]
    assert set(features) == set(table.column_names) - {"split", "cell", "cell_id", "cycle_life"}
    assert max(alike) < 0.95
