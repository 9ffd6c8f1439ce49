"""Hostile model artifacts, asked in a process of their own: a damaged file may fail there, and do no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.security.fuzzing import LEDGER, PROFILE, cases, damaged

ROOT = Path(__file__).parents[2]
X = np.random.default_rng(7).normal(size=(200, 3))
Y = X[:, 0] + X[:, 1] ** 2
ASK = """
import sys, numpy as np
from pathlib import Path
from models.scoring.boosters import LOADERS
x = np.random.default_rng(7).normal(size=(5, 3))
for file in sorted(Path(sys.argv[1]).iterdir()):
    print(file.name, flush=True)
    try:
        np.asarray(LOADERS[file.suffix](file, 1).predict(x))
    except Exception as error:
        print("refused", type(error).__name__, flush=True)
"""
AT_ONCE = 20 if PROFILE == "small" else 100
# The process takes seconds to begin, so many files go into each.
LINEAR = {
    "column": [0, 1], "code": [None, 1], "mean": [0, 0], "scale": [1, 1], "coefficients": [[1, 2]], "intercept": [1],
    "link": "identity",
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("models")
    tree = lightgbm.train({"verbosity": -1, "num_threads": 1}, lightgbm.Dataset(X, Y), 3)
    tree.save_model(str(folder / "a.txt"))
    xgboost.train({"nthread": 1}, xgboost.DMatrix(X, Y), 3).save_model(str(folder / "a.ubj"))
    (folder / "a.json").write_text(json.dumps(LINEAR))
    return {each.suffix: each.read_bytes() for each in folder.iterdir()}


@pytest.mark.parametrize("ending", [".json", ".ubj", ".txt"])
def test_a_damaged_model(good: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, ending: str) -> None:
    @settings(cases(1, is_shrunk=False), max_examples=1 if PROFILE == "small" else 5)
    @given(st.lists(damaged([good[ending]]), min_size=AT_ONCE, max_size=AT_ONCE))
    def run(files: list[bytes]) -> None:
        folder = tmp_path_factory.mktemp("damaged")
        for number, content in enumerate(files):
            (folder / f"{number:02}{ending}").write_bytes(content)
        with LEDGER.of(f"model artifact {ending}").case(cases=len(files)):
            done = subprocess.run(
                [sys.executable, "-c", ASK, str(folder)],
                capture_output=True,
                text=True,
                cwd=ROOT,
                timeout=120,
                check=False,
            )
        assert done.returncode == 0, f"{done.returncode} at {done.stdout.splitlines()[-1:]}: {done.stderr[-300:]}"
        assert len(list(folder.iterdir())) == len(files)

    run()
