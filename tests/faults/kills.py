"""SIGKILL at random moments of a job, each in the same home as it was before, and what the next run makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.lake.home import Home

ROOT = Path(__file__).parents[2]
SEED = 7
PATIENCE_S = 300.0
State = dict[str, Any]


class Worker:
    """The process of `work.py`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def _line(self) -> str:
        out = self._process.stdout
        assert out is not None
        assert select.select([out], [], [], PATIENCE_S)[0], f"no word for {PATIENCE_S:g} s: {self._log.read_text()}"
        return out.readline().strip()

    def run(
        self, home: Home, job: dict[str, Any], kill_after_s: float | None = None, *, may_fail: bool = False
    ) -> tuple[bool, float]:
        """Do a job, and kill it after a while; whether it was killed (or failed), and how long it ran in seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**job, "home": str(home.root)}) + "\n")
        self._process.stdin.flush()
        pid = int(self._line())
        begun = time.monotonic()
        # The moment of the kill is what is being tested: the clock ends this wait, or the job that says it ended.
        select.select([self._process.stdout], [], [], PATIENCE_S if kill_after_s is None else kill_after_s)
        lasted_s = time.monotonic() - begun
        if kill_after_s is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = int(self._line())
        fine = {0, signal.SIGKILL, *({1 << 8} if may_fail else ())}  # as os.waitpid tells it
        assert status in fine, self._log.read_text()
        return status != 0, lasted_s

    def state(self, home: Home, job: dict[str, Any]) -> State:
        """What a job left, see `states.py`."""
        self.run(home, {**job, "do": "state", "of": job["do"], "into": str(self._log.with_suffix(".json"))})
        state: State = json.loads(self._log.with_suffix(".json").read_text(encoding="utf-8"))
        return state


@contextlib.contextmanager
def worker(folder: Path) -> Iterator[Worker]:
    """A worker whose jobs' own words go to a file of the folder."""
    log = folder / "worker.log"
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.work"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        )
        try:
            made = Worker(process, log)
            assert made._line() == "ready", log.read_text()
            yield made
        finally:
            process.communicate(timeout=60)


@dataclass(frozen=True)
class Killed:
    """What the kills of one job came to.

    Attributes:
        kills: Runs that died of SIGKILL.
        recovered: Those whose next run ended by itself with what an undisturbed run holds.
        lost, doubled: What the next runs lost and doubled together, as the states count it.
        slowest_s: Seconds of the slowest next run.
        odd: What the next runs left that it should not be.
    """

    kills: int
    recovered: int
    lost: int
    doubled: int
    slowest_s: float
    odd: list[State]


def killed(doing: Worker, base: Home, job: dict[str, Any], kills: int, same: Callable[[State, State], bool]) -> Killed:
    """Kill a job in each of so many equal parts of its time, at a random moment of it; then run it again.

    Args:
        doing: Who does it.
        base: The home before it, and after it.
        job: See `work.py`.
        kills: How many.
        same: Whether the state of its second argument is what it should be after the undisturbed one of its first.
    """
    rng = random.Random(SEED)
    pristine = base.root.with_name("pristine")
    copied(base.root, pristine)
    _, lasts_s = doing.run(base, job)
    calm = doing.state(base, job)
    slowest_s, left = 0.0, list[State]()
    for part in range(kills):
        share, died = (part + rng.random()) / kills, False
        while not died:
            restore(pristine, base)
            died, ran_s = doing.run(base, job, share * lasts_s)
            if not died:
                lasts_s = ran_s  # it ended before its moment came: the moment stays, the measure is mended
        _, again_s = doing.run(base, job)
        slowest_s = max(slowest_s, again_s)
        left.append(doing.state(base, job))
    restore(pristine, base)
    shutil.rmtree(pristine)
    return Killed(len(left), **recovery(left, calm, same), slowest_s=round(slowest_s, 2))


def recovery(left: Sequence[State], calm: State, same: Callable[[State, State], bool]) -> dict[str, Any]:
    """What the runs after a fault came to: recovered, lost, doubled and odd of `Killed`.

    Args:
        left: the state after each.
        calm: the state after an undisturbed run.
        same: Whether the state of its second argument is what it should be after that of its first.
    """
    counts = [_counts(calm, found) for found in left]
    odd = [found for found, count in zip(left, counts, strict=True) if any(count) or not same(calm, found)]
    lost, doubled = (sum(count[part] for count in counts) for part in (0, 1))
    return {"recovered": len(left) - len(odd), "lost": lost, "doubled": doubled, "odd": odd}


def _counts(calm: State, found: State) -> tuple[int, int]:
    """What was lost and what doubled: as the state tells, or rows of its tables beside those of the undisturbed run."""
    if "tables" not in found:
        return found["lost"], found["doubled"]
    lost = doubled = 0
    for name in calm["tables"].keys() | found["tables"].keys():
        (_, rows, differing), (_, rows_now, differing_now) = (
            state["tables"].get(name, ("", 0, 0)) for state in (calm, found)
        )
        lost += max(0, differing - differing_now)
        doubled += max(0, (rows_now - differing_now) - (rows - differing))
    return lost, doubled


def restore(pristine: Path, home: Home) -> None:
    """The home as it was, at its own place: a registered version knows where its bundle lies."""
    shutil.rmtree(home.root)
    copied(pristine, home.root)


def copied(source: Path, place: Path) -> None:
    """A folder copied whole; where the disk can, its files share their blocks until one is written to."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(place)], check=True)
