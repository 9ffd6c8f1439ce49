"""Nights of several solutions, each in a process of its own: one that hangs, dies or eats memory is ended alone.

Work of a second or two is no step of Dagster's; a process of a fork server whose preload has everything costs 0.2 s.
Small fits gain little from threads, so as many solutions run side by side as there are threads to give.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from models.families import Part
from models.solution import SolutionSpec
from orchestration import logs, progress
from orchestration.executor import PRELOAD
from orchestration.night import give_up, solve
from orchestration.plant import plant
from orchestration.solving import Outcome
from pipelines.lake.connection import THREADS_VARIABLE, threads

_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Task:
    """One solution's night to come.

    Attributes:
        spec: the solution.
        parts: what to do, of the parts that its family has.
        domain: whose published snapshot it reads; None for a file of the user's own.
        full_search: spend the whole search budget.
        actor: who runs this, for audits.
        run: id of the run that it belongs to, for the log; None outside one.
    """

    spec: SolutionSpec
    parts: Sequence[Part]
    domain: str | None
    full_search: bool
    actor: str
    run: str | None = None


def run_nights(tasks: Sequence[Task], limit_s: float) -> Iterator[tuple[Task, Outcome]]:
    """Do the nights of solutions side by side and yield each as it ends, in the order of the tasks.

    One that asks others for their champions follows them, and begins when theirs are over. Whoever listens to progress
    hears of the first that has not ended; the others' time is in its shadow.

    Args:
        tasks: what to do.
        limit_s: how long one solution may take, s; one that takes longer is ended and told as failed.
    """
    cores = threads()
    workers = max(1, min(cores, len(tasks)))
    environment = os.environ | {THREADS_VARIABLE: str(max(1, cores // workers))}
    tasks = in_order(tasks)
    to_come = list(enumerate(tasks))[::-1]
    running: dict[int, _Running] = {}
    done: dict[int, Outcome] = {}
    with _ended(running):
        for place, task in enumerate(tasks):
            progress.begin(f"learning {task.spec.solution}")
            while place not in done:
                while to_come and len(running) < workers and not _waits(to_come[-1][1], running):
                    number, following = to_come.pop()
                    running[number] = _start(following, environment, limit_s)
                done |= _heard(running, place)
            yield task, done.pop(place)


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks with each behind those that it asks, else in the order given."""
    names = {task.spec.solution for task in tasks}
    left, found = list(tasks), list[Task]()
    while left:
        told = {task.spec.solution for task in found}
        following = next((task for task in left if set(task.spec.asks) & names <= told), left[0])
        left.remove(following)
        found.append(following)
    return found


def _waits(task: Task, running: Mapping[int, _Running]) -> bool:
    """Whether one that the task asks is still at work."""
    return any(child.task.spec.solution in task.spec.asks for child in running.values())


@dataclass
class _Running:
    """A child at work: its process, the end of the pipe that it tells by, and when its time is over."""

    task: Task
    process: ForkServerProcess
    told: Connection
    ends_at: float
    limit_s: float
    advanced: tuple[str, int, int] | None = field(default=None)


def _start(task: Task, environment: Mapping[str, str], limit_s: float) -> _Running:
    _CONTEXT.set_forkserver_preload(list(PRELOAD))
    told, tells = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_child, args=(task, dict(environment), tells), name=task.spec.solution)
    process.start()
    tells.close()
    return _Running(task, process, told, time.monotonic() + limit_s, limit_s)


def _child(task: Task, environment: dict[str, str], tells: Connection) -> None:
    """In the child: the night of one solution, told to the parent. A Ctrl-C is the parent's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The fork server keeps the environment that it was started with.
    os.environ.clear()
    os.environ.update(environment)
    logs.configure()
    with logs.bound(run=task.run), progress.listening(_Teller(tells)):
        outcome = solve(
            task.spec,
            plant(),
            parts=task.parts,
            domain=task.domain,
            full_search=task.full_search,
            actor=task.actor,
        )
    tells.send(outcome)
    tells.close()


@dataclass(frozen=True)
class _Teller:
    """Sends a child's progress to its parent."""

    tells: Connection

    def begin(self, title: str) -> None:
        """Steps within a solution's night are parts of it."""
        self.tells.send((title, 0, 0))

    def advance(self, what: str, done: int, total: int) -> None:
        """How far the night is."""
        self.tells.send((what, done, total))


def _heard(running: dict[int, _Running], shown: int) -> dict[int, Outcome]:
    """Wait until a child tells something or its time is over; the nights that ended meanwhile."""
    patience_s = max(0.0, min(child.ends_at for child in running.values()) - time.monotonic())
    ready = wait([child.told for child in running.values()], timeout=patience_s)
    done = {}
    for number, child in list(running.items()):
        outcome = _told(child, is_shown=number == shown) if child.told in ready else None
        if outcome is None and time.monotonic() >= child.ends_at:
            _kill(child)
            why = f"took longer than {child.limit_s:g} s (solution_time_limit_s of site.yaml) and was ended"
            outcome = _given_up(child.task, why)
        if outcome is not None:
            child.told.close()
            child.process.join()
            del running[number]
            done[number] = outcome
    return done


def _told(child: _Running, *, is_shown: bool) -> Outcome | None:
    """What a child tells: None for progress, its outcome at its end, and a failure when it ended without one."""
    try:
        message = child.told.recv()
    except EOFError:
        child.process.join()
        code = child.process.exitcode or 0
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        return _given_up(child.task, f"its process ended {how} before its night was over")
    if isinstance(message, Outcome):
        return message
    if is_shown:
        progress.advance(*message)
    return None


def _given_up(task: Task, why: str) -> Outcome:
    with logs.bound(run=task.run):
        return give_up(task.spec, plant(), why)


@contextmanager
def _ended(running: dict[int, _Running]) -> Iterator[None]:
    """Whatever ends the block, no child outlives it."""
    try:
        yield
    finally:
        for child in running.values():
            _kill(child)
            child.told.close()


def _kill(child: _Running) -> None:
    child.process.kill()
    child.process.join()
