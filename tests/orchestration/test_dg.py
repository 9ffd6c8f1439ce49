"""Dagster's own command `dg` on the project: a scaffolded solution is accepted, a wrong one told with file and line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("component", "right", "wrong"),
    [
        ("PredictiveModel", "task: regression", "task: divination"),
        pytest.param("ProcessMonitor", "persistence: 3", "persistence: stubborn", marks=pytest.mark.soak),
        pytest.param("AnomalyDetector", "per_week: 50", "per_week: often", marks=pytest.mark.soak),
    ],
)
def test_a_scaffolded_solution_is_accepted_and_a_wrong_one_told_with_file_and_line(
    dg: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, component: str, right: str, wrong: str
) -> None:
    made = dg("scaffold", "defs", f"orchestration.components.{component}", "my_stage/my_model")
    assert made.returncode == 0, made.stdout + made.stderr
    file = tmp_path / "project" / NEW / "defs.yaml"
    assert right in file.read_text()
    checked = dg("check", "yaml", str(NEW))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    file.write_text(file.read_text().replace(right, wrong))
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if wrong in text)
    refused = dg("check", "yaml", str(NEW))
    assert refused.returncode != 0
    assert f"defs.yaml:{line}" in refused.stdout + refused.stderr
    assert wrong.rsplit(maxsplit=1)[-1] in refused.stdout + refused.stderr
