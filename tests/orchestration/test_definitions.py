"""What Dagster is served: everything loads, without the heavy libraries, and every table has its blocking check."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LOAD_S = 6.0

_SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from orchestration.definitions import defs
graph = defs().resolve_asset_graph()
checks = [key.to_user_string() for key in graph.asset_check_keys]
keys = [key.to_user_string() for key in graph.get_all_asset_keys()]
heavy = [name for name in ("great_expectations", "xgboost", "lightgbm", "mlflow", "optuna") if name in sys.modules]
curation = [name for name in ("dbt", "dagster_dbt") if name in sys.modules]
print(json.dumps({"checks": checks, "keys": keys, "heavy": heavy, "curation": curation}))
"""


def _load(home: Path) -> dict[str, list[str]]:
    env = {**os.environ, "CELLWORKS_HOME": str(home)}
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def loaded(home: Path) -> dict[str, list[str]]:
    return _load(home)


def _cpu_s_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_loading_definitions_leaves_the_heavy_libraries_out(loaded: dict[str, list[str]]) -> None:
    # The first load parses the dbt project in this process; that must not bring the learners either.
    assert loaded["heavy"] == []


def test_definitions_load_within_six_seconds_of_a_parsed_manifest(home: Path, loaded: dict[str, list[str]]) -> None:
    """Processor time of the process and what it starts: other work on the machine is not the load's."""
    before = _cpu_s_of_children()
    again = _load(home)
    assert _cpu_s_of_children() - before <= LOAD_S
    # Only a project that is not parsed yet needs dbt, whose import costs as much as all the rest.
    assert again["heavy"] == again["curation"] == []
    assert sorted(again["keys"]) == sorted(loaded["keys"])


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
