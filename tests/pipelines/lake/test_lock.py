"""One writer at a time, and whoever waits is told who holds the lake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.lock import holder, writer_lock

HOLDER = """
import sys
from pathlib import Path
from pipelines.lake.home import Home
from pipelines.lake.lock import writer_lock
with writer_lock(Home(Path(sys.argv[1])), "the other night"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def _other(home: Home) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(home.root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_holds_the_lake_and_why(home: Home) -> None:
    process = _other(home)
    try:
        with pytest.raises(CellworksError) as refusal, writer_lock(home, "my night", timeout_s=0):
            pass
        text = str(refusal.value)
        assert f"process {process.pid}" in text
        assert "the other night" in text
        assert "my night" in text
    finally:
        process.communicate("")


@pytest.mark.faults
def test_the_lock_of_a_killed_process_does_not_block(home: Home) -> None:
    process = _other(home)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert holder(home)["why"] == "the other night"
    with writer_lock(home, "my night", timeout_s=0):
        assert holder(home)["pid"] == str(os.getpid())
    assert holder(home) == {}


def test_the_lock_is_reentrant_and_kept_until_the_outermost_block_ends(home: Home) -> None:
    with writer_lock(home, "outer"), writer_lock(home, "inner", timeout_s=0):
        pass
    with writer_lock(home, "outer"):
        with writer_lock(home, "inner"):
            pass
        assert holder(home)["why"] == "outer"


def test_a_second_thread_waits_for_the_first(home: Home) -> None:
    refused: list[str] = []

    def try_it() -> None:
        try:
            with writer_lock(home, "thread", timeout_s=0):
                pass
        except CellworksError as error:
            refused.append(str(error))

    with writer_lock(home, "main"):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert len(refused) == 1
    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    assert len(refused) == 1


def test_a_lock_is_let_go_when_the_block_fails(home: Home) -> None:
    with pytest.raises(RuntimeError), writer(home, why="fails"):
        raise RuntimeError
    with writer(home, why="next", timeout_s=0) as con:
        assert con.execute("SELECT 1").fetchone() == (1,)
