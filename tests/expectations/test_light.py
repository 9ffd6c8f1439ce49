"""Great Expectations is imported where a suite is validated, and nowhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("module", ["expectations.run", "expectations.generate", "orchestration.assets.checks"])
def test_importing_it_leaves_the_library_out(module: str) -> None:
    code = f"import sys, {module}; print([n for n in ('great_expectations', 'sqlalchemy') if n in sys.modules])"
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert "great_expectations" not in run.stdout
