"""Readers of models in C and C++, which some damaged files end, or keep busy for ever: each file is read in a fork."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np

from tests.security.fuzzing import GUARD

X: Final = np.random.default_rng(7).normal(size=(5, 3))
_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["__main__", "lightgbm", "xgboost", "models.scoring.boosters", "tests.security.fuzzing"])
WAITS_S: Final = 60.0
_CPU_S: Final = 2
"""Processor time that a file may take; a good one takes a hundredth of it."""
_MEMORY_BYTES: Final = 1 << 30


class Reader:
    """A forked process that reads one file after the other; another one follows when a file has ended it.

    Args:
        file: where each content is laid; its ending says which library reads it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._begin()

    def _begin(self) -> None:
        self.here, there = _FORKS.Pipe()
        self.process = _FORKS.Process(target=_read_all, args=(there, self.file), daemon=True)
        self.process.start()
        there.close()
        assert self.here.poll(WAITS_S), "no reader began"
        assert self.here.recv() == "ready"

    def ask(self, content: bytes) -> str:
        """What reading and predicting ended with: `read`, `refused: why`, `ended: exit code`, or `endless`."""
        self.here.send_bytes(content)
        assert self.here.poll(WAITS_S), "a reader waits for something"
        try:
            return str(self.here.recv())
        except (EOFError, ConnectionResetError):
            self.process.join(WAITS_S)
            code = self.process.exitcode
            self._begin()
            return "endless" if code == -signal.SIGXCPU else f"ended: {code}"

    def close(self) -> None:
        """End the process."""
        self.here.close()
        self.process.kill()
        self.process.join()


@contextmanager
def reader(file: Path) -> Iterator[Reader]:
    """A reader that is gone afterwards, in a folder that it must not leave."""
    opened = Reader(file)
    try:
        yield opened
    finally:
        opened.close()


def _read_all(asked: Connection, file: Path) -> None:
    from models.scoring.boosters import LOADERS

    loader = LOADERS[file.suffix]
    # A length that was damaged may ask for more memory than there is.
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    asked.send("ready")
    while True:
        try:
            content = asked.recv_bytes()
        except EOFError:
            return
        file.write_bytes(content)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + _CPU_S, most))
        try:
            with GUARD.only(file.parent):
                np.asarray(loader(file, 1).predict(X))
        except AssertionError as escaped:
            asked.send(f"escaped: {escaped}")
        except Exception as error:  # noqa: BLE001 - a library refuses in its own words
            asked.send(f"refused: {type(error).__name__}")
        else:
            asked.send("read")
