"""Where protocols run: quick or whole, in how many processes, and whom progress is told. Light: a worker loads it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from orchestration.environment import prepare_process
from pipelines.lake.progress import Progress, silent

J = TypeVar("J")
R = TypeVar("R")

# Each of these libraries takes all cores unless told otherwise while it is loaded.
_ONE_THREAD = {"CELLWORKS_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Ground:
    """What every protocol gets beside its table.

    Attributes:
        folder: for files, gone afterwards.
        is_quick: one seed or split only: whether it works, not how well.
        processes: that work side by side, one thread each.
        tell: called with what is done, parts done and parts in all.
    """

    folder: Path
    is_quick: bool = False
    processes: int = 2
    tell: Progress = silent

    def each(self, work: Callable[[J], R], jobs: Sequence[J]) -> list[R]:
        """Independent work, side by side; results in the order of the jobs.

        New interpreters (spawn) and not forks: this process has threads of DuckDB and OpenMP already.

        Args:
            work: a function of a module.
            jobs: its argument, one after the other; they and the results go from process to process.
        """
        if len(jobs) < 2 or self.processes < 2:
            return [self._one(work, job, place, len(jobs)) for place, job in enumerate(jobs)]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self.processes, len(jobs)), context, _alone) as pool:
            try:
                waiting = {pool.submit(work, job): place for place, job in enumerate(jobs)}
                found: dict[int, R] = {}
                for done in as_completed(waiting):
                    found[waiting[done]] = done.result()
                    self.tell("", len(found), len(jobs))
            except BaseException:
                # Leaving the block waits for minutes of work that nobody wants any more.
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
        return [found[place] for place in range(len(jobs))]

    def _one(self, work: Callable[[J], R], job: J, place: int, total: int) -> R:
        result = work(job)
        self.tell("", place + 1, total)
        return result


def _alone() -> None:
    os.environ.update(_ONE_THREAD)
    prepare_process()
