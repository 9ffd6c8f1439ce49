"""Ctrl-C ends what dbt does, even if dbt itself never ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import signal, sys
from pipelines.curation import invoke

invoke.PATIENCE_S = 1.0
try:
    with invoke.interruptible():
        while True:
            try:
                print("working", flush=True)
                signal.pause()
            except KeyboardInterrupt:
                if sys.argv[1] == "hears":
                    raise
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.parametrize(("kind", "code"), [("hears", 7), ("is deaf", 130)])
def test_what_does_not_end_after_ctrl_c_is_left(kind: str, code: int) -> None:
    command = [sys.executable, "-c", SCRIPT, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert ("the next run goes on from the last commit" in told) == (code == 130)
