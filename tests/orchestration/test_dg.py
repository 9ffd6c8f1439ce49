"""Dagster's own command `dg` on the project: a scaffolded solution is accepted, a wrong one told with file and line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DG = Path(sys.executable).parent / "dg"
PACKAGES = ("orchestration", "models", "expectations", "pipelines")
NEW = Path("orchestration") / "defs" / "my_stage" / "my_model"

pytestmark = pytest.mark.slow


@pytest.fixture
def dg(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`dg` on a copy of the project, since scaffolding writes into it."""
    project = tmp_path / "project"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project)
    env = os.environ | {
        "CELLWORKS_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(project),
        "VIRTUAL_ENV": str(DG.parents[1]),
        "COLUMNS": "400",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(DG), *arguments], cwd=project, env=env, capture_output=True, text=True, timeout=600, check=False
        )

    return run


def test_a_scaffolded_solution_is_accepted_and_a_wrong_one_told_with_file_and_line(
    dg: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    made = dg("scaffold", "defs", "orchestration.components.PredictiveModel", "my_stage/my_model")
    assert made.returncode == 0, made.stdout + made.stderr
    file = tmp_path / "project" / NEW / "defs.yaml"
    assert yaml.safe_load(file.read_text())["attributes"]["task"] == "regression"
    checked = dg("check", "yaml", str(NEW))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    file.write_text(file.read_text().replace("task: regression", "task: divination"))
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if "divination" in text)
    refused = dg("check", "yaml", str(NEW))
    assert refused.returncode != 0
    assert f"defs.yaml:{line}" in refused.stdout + refused.stderr
    assert "divination" in refused.stdout + refused.stderr


def test_a_scaffolded_detector_is_accepted_and_a_wrong_budget_told(
    dg: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    made = dg("scaffold", "defs", "orchestration.components.AnomalyDetector", "my_stage/my_model")
    assert made.returncode == 0, made.stdout + made.stderr
    checked = dg("check", "yaml", str(NEW))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    file = tmp_path / "project" / NEW / "defs.yaml"
    file.write_text(file.read_text().replace("per_week:", "per_month:"))
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if "per_month" in text)
    refused = dg("check", "yaml", str(NEW))
    assert refused.returncode != 0
    assert f"defs.yaml:{line}" in refused.stdout + refused.stderr
