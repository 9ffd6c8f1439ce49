"""What a person sees of long work: which step of how many, how far it is, and how long each took."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestration import progress
from orchestration.jobs import NIGHTLY, step_count
from tests.orchestration.conftest import Workshop

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]
# A step of two, then one that was not foreseen; each goes on when it was seen.
_SCRIPT = """
from orchestration.cli.console import bars
with bars() as shown:
    shown.begin("loading")
    shown.expect(2)
    shown.begin("curating")
    shown.advance("stg_cell", 1, 4)
    input()
    shown.advance("stg_cell", 4, 4)
    shown.begin("checking")
    input()
"""


class Listener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.advanced: list[tuple[str, int, int]] = []

    def begin(self, title: str) -> None:
        self.begun.append(title)

    def advance(self, what: str, done: int, total: int) -> None:
        self.advanced.append((what, done, total))


def _read_until(terminal: int, wanted: str) -> str:
    seen, until = "", time.monotonic() + 30
    while wanted not in seen and time.monotonic() < until:
        seen += os.read(terminal, 4096).decode(errors="replace")
    assert wanted in seen
    return seen


def _started(stderr: int) -> subprocess.Popen[bytes]:
    env = {**os.environ, "COLUMNS": "120", "TERM": "xterm", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", _SCRIPT]
    return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)


def test_a_terminal_shows_which_step_of_how_many_and_how_far_it_is() -> None:
    terminal, stderr = pty.openpty()
    process = _started(stderr)
    os.close(stderr)
    assert process.stdin is not None
    assert "1/2 curating" in _read_until(terminal, "1/4 stg_cell")
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert "✓ 1/2 curating" in _read_until(terminal, "2/2 checking")
    assert process.communicate(b"\n", timeout=30)[0] == b""
    os.close(terminal)


def test_a_log_gets_one_line_of_each_finished_step_and_standard_output_none() -> None:
    process = _started(subprocess.PIPE)
    out, err = process.communicate(b"\n\n", timeout=60)
    assert out == b""
    assert re.sub(r"\d+ s", "n s", err.decode()).splitlines() == [
        "✓ loading  n s",
        "✓ 1/2 curating  n s",
        "✓ 2/2 checking  n s",
    ]


@pytest.mark.long
def test_a_night_begins_as_many_steps_as_its_job_counts(workshop: Workshop) -> None:
    heard = Listener()
    with progress.listening(heard):
        workshop.run(NIGHTLY)  # the plant's own solutions have no tables here and fail, each after it began
    assert len(heard.begun) == step_count(workshop.definitions.resolve_job_def(NIGHTLY))
    assert {"learning mine/one", "learning mine/two"} < set(heard.begun)
    assert ("trials", 2, 2) in heard.advanced
