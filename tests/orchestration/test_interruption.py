"""Ctrl-C in the middle of a query is no failure of the query."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pytest

from orchestration.interruption import heard

# A query that no machine finishes, interrupted once it has taken processor time.
SCRIPT = """
import os, signal, threading, time
import duckdb
from orchestration.interruption import heard

def interrupt(begun):
    while time.process_time() < begun + 0.3:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a parallel runner of tests has children ignore it
con = duckdb.connect(config={"threads": 1})  # so that the main thread, which hears the signal, works
threading.Thread(target=interrupt, args=(time.process_time(),)).start()
try:
    with heard():
        con.execute("SELECT count(*) FROM range(100_000_000_000_000) t(i) WHERE i * i % 7 = 3")
except BaseException as error:
    print(type(error).__name__)
"""


def test_an_interrupted_query_leaves_as_the_interruption() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "KeyboardInterrupt\n", done.stderr


# A destructor in which the signal arrives: what its handler raises there is printed and gone.
SWALLOWING = """
import os, signal, sys
from orchestration.interruption import heard, remembered

class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):  # where the interpreter looks for signals
            pass

signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with remembered():
        with heard():
            Closing()
            print("went on", flush=True)
            if len(sys.argv) > 1:
                raise ValueError(sys.argv[1])
        print("a step after it", flush=True)
except BaseException as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("then", [[], ["what the query left unfinished"]])
def test_an_interruption_that_somebody_swallowed_ends_the_step_all_the_same(then: list[str]) -> None:
    command = [sys.executable, "-c", SWALLOWING, *then]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "went on\nKeyboardInterrupt\n", done.stderr


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(duckdb.BinderException), heard():
        duckdb.sql("SELECT nothing")
