"""What is logged: nothing pickled, nothing of this machine, and it loads where this project is not installed."""

from __future__ import annotations

import json
import os
import pickletools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.registry.log import input_example
from models.train import train

LOAD = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow.pyfunc, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
frame = pd.read_json(sys.argv[2], orient="split", dtype=False)
for name, kind in json.loads(sys.argv[3]).items():
    frame[name] = frame[name].astype("float64") if kind == "number" else frame[name].astype(object)
out = model.predict(frame)
assert "models" not in sys.modules and "pipelines" not in sys.modules, "the model leans on this project"
print(out.to_json(orient="split", double_precision=15))
"""


def is_pickle(content: bytes) -> bool:
    """Whether bytes are one whole pickle of any protocol."""
    try:
        last = None
        for last, _, _ in pickletools.genops(content):  # noqa: B007 - its last value is what counts
            pass
    except Exception:  # noqa: BLE001 - anything that is no pickle raises something
        return False
    return last is not None and last.name == "STOP"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "library"),
    [
        ("regression", "xgboost"),
        ("binary", "lightgbm"),
        *(pytest.param(*each, marks=pytest.mark.long) for each in (("multiclass", "linear"), ("quantile", "lightgbm"))),
    ],
)
def test_no_pickle_anywhere_and_parity_in_a_clean_process(task, library, ctx, table_file, cells, solution, tmp_path):
    search = {"trials": 1, "max_rounds": 30, "libraries": [library]}
    spec = solution(table_file(cells(800)), task, search=search)
    trained = train(spec, ctx)
    files = [file for file in (ctx.home.root / "mlflow" / "artifacts").rglob("*") if file.is_file()]
    assert len(files) > 10
    for file in files:
        content = file.read_bytes()
        assert not is_pickle(content), file
        assert file.suffix not in {".pkl", ".pickle", ".joblib"}
        assert b"cloudpickle" not in content, file
        assert str(ctx.home.root).encode() not in content.replace(str(spec.table).encode(), b""), file

    folder = trained.registered.bundle.parents[1]
    example = input_example(trained.prepared, trained.fitted.scorer.bundle, 200)
    example.to_pandas().to_json(tmp_path / "rows.json", orient="split", double_precision=15)
    kinds = {f["name"]: f["kind"] for f in trained.fitted.scorer.bundle["features"]}
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOAD, str(folder), str(tmp_path / "rows.json"), json.dumps(kinds)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answered = json.loads(done.stdout.splitlines()[-1])
    rows = trained.prepared.split.development[:200]
    native = trained.registered.scorer().predict(trained.prepared.frame.take(rows).table)
    assert answered["columns"] == list(native)
    for place, name in enumerate(native):
        given = np.asarray([row[place] for row in answered["data"]], dtype=object)
        if name == "class":
            assert given.tolist() == native[name].tolist()
        else:
            np.testing.assert_allclose(given.astype(float), native[name].astype(float), rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_requirements_come_from_the_lock(ctx, table_file, cells, solution):
    spec = solution(table_file(cells(800)), "binary", search={"trials": 1, "max_rounds": 10, "libraries": ["xgboost"]})
    folder = train(spec, ctx).registered.bundle.parents[1]
    wanted = (folder / "requirements.txt").read_text().split()
    lock = Path("requirements.lock").read_text()
    assert {line.split("==")[0] for line in wanted} >= {"mlflow", "xgboost", "numpy", "pyarrow", "pandas"}
    assert all(f"{line} " in lock or f"{line}\n" in lock for line in wanted)
