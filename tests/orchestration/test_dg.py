"""Dagster's own command `dg` on the project: every family's scaffold is accepted, a slip told with file and line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models.families import FAMILIES

ROOT = Path(__file__).parents[2]
DG = Path(sys.executable).parent / "dg"
PACKAGES = ("orchestration", "models", "expectations", "pipelines")
NEW = Path("orchestration") / "defs" / "my_stage"
# Of each family: what its scaffold says, what somebody writes instead, and what he is told.
SLIPS = {
    "PredictiveModel": ("task: regression", "task: divination", "'regression', 'quantile', 'binary', 'multiclass'"),
    "SurvivalModel": ("horizon: 24", "horizon: -3", "less than or equal to the minimum of 0"),
    "Forecast": ("season: 24", "seson: 24", "'seson' was unexpected"),
    "ProcessMonitor": ("persistence: 3", "persistence: stubborn", "'stubborn' is not of type 'integer'"),
    "AnomalyDetector": ("per_week: 50", "per_week: often", "'often' is not of type 'number'"),
    "Optimizer": ("dead_time_s: 2400", "dead_time_s: soon", "'soon' is not of type 'number'"),
    "DecisionRule": ("column: name_the_column", "colum: name_the_column", "'colum' was unexpected"),
    "Indicator": ("kind: oee", "kind: oe", "'oe' is not one of ['alarms', 'cost', 'oee', 'suppliers']"),
    "Traceability": ("column: can_lot_id", "colum: can_lot_id", "'colum' was unexpected"),
    "Assistant": ("rows: 20", "rows: many", "'many' is not of type 'integer'"),
}

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


def test_every_family_can_be_scaffolded_and_a_slip_in_each_is_told_with_file_line_and_reason(
    dg: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    files = {name: tmp_path / "project" / NEW / name.lower() / "defs.yaml" for name in SLIPS}
    assert set(SLIPS) == {family.component for family in FAMILIES}
    for name in SLIPS:
        made = dg("scaffold", "defs", f"orchestration.components.{name}", f"my_stage/{name.lower()}")
        assert made.returncode == 0, made.stdout + made.stderr
    # Of several files of one type `dg check yaml` looks at one; these are of a type each.
    checked = dg("check", "yaml", str(NEW))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    lines = {}
    for name, (right, wrong, _) in SLIPS.items():
        text = files[name].read_text()
        assert text.count(right) == 1
        files[name].write_text(text.replace(right, wrong))
        lines[name] = next(no for no, line in enumerate(files[name].read_text().splitlines(), 1) if wrong in line)
    refused = dg("check", "yaml", str(NEW))
    assert refused.returncode != 0
    told = (refused.stdout + refused.stderr).splitlines()
    for name, (_, _, reason) in SLIPS.items():
        start = f"{files[name]}:{lines[name]} - orchestration.components.{name} "
        assert any(line.startswith(start) and reason in line for line in told), (name, told)
