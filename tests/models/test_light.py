"""What orchestration imports when it loads its definitions stays light."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["models", "models.spec", "models.context", "models.gates.verdict"])
def test_loading_is_light(module):
    code = (
        f"import sys, {module}; heavy = ['mlflow', 'lightgbm', 'xgboost', 'optuna', 'sklearn', 'matplotlib', 'pandas', "
        "'great_expectations', 'duckdb']; print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
