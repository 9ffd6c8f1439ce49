"""The command line over an empty instance of its own: in this process where that will do, else as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestration.cli.main import main
from orchestration.environment import SITE_VARIABLE

ROOT = Path(__file__).parents[2]


class Told(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """The command line in this process, for what needs no Dagster; starting one takes seconds."""
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    # `--site` sets it for the process; this takes it away again after the test.
    monkeypatch.setenv(SITE_VARIABLE, "")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["cellworks", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        return Told(int(left.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def cellworks(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line as a process."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from orchestration.cli.main import main; main()", *arguments],
            env={**os.environ, "CELLWORKS_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run
