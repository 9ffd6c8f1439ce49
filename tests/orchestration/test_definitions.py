"""What Dagster is served: everything loads, without the heavy libraries, and every table has its blocking check."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from orchestration.definitions import defs
graph = defs().resolve_asset_graph()
checks = [key.to_user_string() for key in graph.asset_check_keys]
keys = [key.to_user_string() for key in graph.get_all_asset_keys()]
heavy = [name for name in ("great_expectations", "xgboost", "lightgbm", "mlflow", "optuna") if name in sys.modules]
print(json.dumps({"checks": checks, "keys": keys, "heavy": heavy}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    import json

    env = {**os.environ, "CELLWORKS_HOME": str(tmp_path_factory.mktemp("home"))}
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_loading_definitions_leaves_the_heavy_libraries_out(loaded: dict[str, list[str]]) -> None:
    # The first load parses the dbt project in this process; that must not bring the learners either.
    assert loaded["heavy"] == []


def test_every_solution_has_its_model_predictions_and_monitoring(loaded: dict[str, list[str]]) -> None:
    root = Path(__file__).parents[2] / "orchestration" / "defs"
    solutions = [f"{file.parent.parent.name}/{file.parent.name}" for file in root.glob("*/*/defs.yaml")]
    assert len(solutions) >= 3
    wanted = {f"{name}/{part}" for name in solutions for part in ("model", "predictions", "monitoring")}
    assert wanted <= set(loaded["keys"])


def test_every_raw_staging_and_mart_table_has_a_check(loaded: dict[str, list[str]]) -> None:
    tables = {key for key in loaded["keys"] if key.split("/")[0] in ("raw", "staging", "marts")}
    checked = {check.rsplit(":", 1)[0] for check in loaded["checks"]}
    assert tables
    assert tables <= checked


def test_the_command_line_finds_the_same_solutions_as_dagster(loaded: dict[str, list[str]]) -> None:
    from orchestration.catalogue import discover

    served = {key.removesuffix("/model") for key in loaded["keys"] if key.endswith("/model")}
    assert {spec.solution for spec in discover()} == served
