"""Studies that several workers share over PostgreSQL: one opens and fills a study, others join it while it runs.

Every trial that is asked for waits in the study from the beginning, and PostgreSQL gives each to one worker. A worker
tells by a heartbeat that it lives; when that stops, its trial waits again for the others. The study is a place of work
and no record: all trials are logged with the version that comes of them.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import optuna
from optuna.trial import TrialState

from models.context import ModelContext
from models.registry.provenance import code_revision
from models.solution import SolutionSpec
from pipelines.lake.home import Home
from pipelines.lake.servers import ensure_stores

HEARTBEAT_S: Final = 15
_GRACE: Final = 4  # heartbeats that may be missing: a busy machine is late, and a trial taken from the living is lost
_RETRIES: Final = 3  # of the same parameters; they may be what ends the workers, so others are drawn after that
_ASKED, _WORKER = "asked", "worker"
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

Objective = Callable[[Any], float]
Advanced = Callable[[int], None]
"""Called after each trial of this worker with the trials that all workers have finished."""


class _OvertakenError(Exception):
    """Another worker took the last trial that waited."""


@dataclass(frozen=True)
class Board:
    """Where an instance's studies are.

    Attributes:
        url: address of their database, without a password.
        heartbeat_s: seconds between two heartbeats; a worker that misses four is taken for dead.
    """

    url: str
    heartbeat_s: int = HEARTBEAT_S

    @property
    def grace_s(self) -> int:
        """Seconds without a heartbeat after which a worker is taken for dead."""
        return _GRACE * self.heartbeat_s

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A storage with connections of its own, which asks before each use whether the server is still there."""
        with _without_warnings():
            storage = optuna.storages.RDBStorage(
                self.url,
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=self.heartbeat_s,
                grace_period=self.grace_s,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES),
            )
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def under_way(self, storage: Any, solution: str) -> list[tuple[str, dict[str, Any]]]:
        """Names and marks of a solution's studies that nobody has closed, the newest first."""
        found = [(each.study_name, each.user_attrs) for each in _summaries(storage)]
        return sorted(
            ((name, marks) for name, marks in found if marks.get("solution") == solution and "closed_at" not in marks),
            key=lambda each: str(each[1]["opened_at"]),
            reverse=True,
        )


@dataclass(frozen=True)
class Sharing:
    """How a search shares its study.

    Attributes:
        board: where.
        solution: `<stage>/<slug>`, by which it is found.
        marks: what who joins needs to ask the same: the solution's spec, snapshot and moment.
    """

    board: Board
    solution: str
    marks: Mapping[str, Any]

    @contextmanager
    def opened(self, digest: str, trials: Sequence[Mapping[str, Any]], how: Mapping[str, Any]) -> Iterator[Any]:
        """A study with so many trials to do; closed with the block, however that ends.

        A study that asks the same and was left open, since whoever led it was killed, goes on where it stood.

        Args:
            digest: see `models.tuning.objective.Asked.digest`.
            trials: parameters of each trial; empty where the sampler is to draw them.
            how: sampler and pruner.
        """
        marks = {"digest": digest, "trials": len(trials), "code": code_revision()}
        with self.board.connected() as storage:
            study = self._left(storage, marks, how) or self._new(storage, marks, trials, how)
            try:
                yield study
            finally:
                close(study)

    def _left(self, storage: Any, marks: Mapping[str, Any], how: Mapping[str, Any]) -> Any | None:
        """The newest study that asks the same and was left open; all others of the solution are closed."""
        found = None
        for name, told in self.board.under_way(storage, self.solution):
            study = joined(name, storage, how)
            if found is None and marks.items() <= told.items():
                found = study
            else:
                close(study)
        return found

    def _new(
        self, storage: Any, marks: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], how: Mapping[str, Any]
    ) -> Any:
        study = optuna.create_study(study_name=f"{self.solution}/{uuid.uuid4().hex[:12]}", storage=storage, **how)
        for name, value in {"opened_at": _now().isoformat(), **self.marks, **marks}.items():
            study.set_user_attr(name, value)
        for params in trials:
            _enqueue(study, params)
        study.set_user_attr("solution", self.solution)  # found from here on, when it is whole
        return study


def board_of(home: Home) -> Board | None:
    """Where the instance's studies are; None where a search is one process's own, as on the embedded stores.

    Raises:
        CellworksError: the server does not answer.
    """
    stores = home.stores
    if stores.optuna_url is None:
        return None
    ensure_stores(stores)  # an instance that is older than this has no such database
    return Board(stores.optuna_url)


def sharing_of(spec: SolutionSpec, ctx: ModelContext) -> Sharing | None:
    """How a solution's search is shared; None on the embedded stores, and for a refit, whose few trials are soon over.

    Raises:
        CellworksError: the server does not answer.
    """
    board = board_of(ctx.home) if ctx.mode == "search" else None
    if board is None:
        return None
    as_of = None if ctx.as_of is None else ctx.as_of.isoformat()
    return Sharing(board, spec.solution, {"spec": spec.model_dump_json(), "snapshot": ctx.snapshot, "as_of": as_of})


def work(study: Any, objective: Objective, advanced: Advanced, board: Board, *, lead: int | None = None) -> int:
    """Do trials of a study until none is left or it is closed; waits for those that others are at.

    Args:
        study: of `opened` or `joined`.
        objective: fits a trial and returns its loss.
        advanced: told after each trial.
        board: where the study is.
        lead: of whoever opened it: how many trials are to be finished; lost ones are asked for again.

    Returns:
        Trials that this worker has finished, pruned ones included.
    """
    done = 0

    def asked_for(trial: Any) -> float:
        # Optuna hands out a new trial where none waits: two that saw the same last one would do one too many.
        if _ASKED not in trial.user_attrs:
            raise _OvertakenError
        trial.set_user_attr(_WORKER, f"{socket.gethostname()}:{os.getpid()}")
        return objective(trial)

    def told(study: Any, trial: Any) -> None:
        nonlocal done
        done += trial.state in _FINISHED
        advanced(finished(study))

    while "closed_at" not in study.user_attrs:
        states = Counter(each.state for each in study.get_trials(deepcopy=False))
        lost = 0 if lead is None else lead - states[TrialState.COMPLETE] - states[TrialState.PRUNED]
        if states[TrialState.WAITING]:
            study.optimize(asked_for, n_trials=1, catch=(_OvertakenError,), callbacks=[told])
        elif states[TrialState.RUNNING]:
            time.sleep(min(1.0, board.heartbeat_s / 4))
            _give_back(study, board)
        elif lost > 0:
            for _ in range(lost):
                _enqueue(study, {})
        else:
            break
    return done


def finished(study: Any) -> int:
    """Trials of a study that are done, pruned ones included."""
    return len(study.get_trials(deepcopy=False, states=_FINISHED))


def close(study: Any) -> None:
    """Let nobody begin a trial of it any more."""
    study.set_user_attr("closed_at", _now().isoformat())


def old_studies(board: Board, keep: timedelta) -> list[str]:
    """Names of the studies that are older than `keep`, closed or left open."""
    oldest = (_now() - keep).isoformat()
    with board.connected() as storage:
        return [each.study_name for each in _summaries(storage) if str(each.user_attrs.get("opened_at", "")) < oldest]


def prune(board: Board, keep: timedelta) -> list[str]:
    """Delete the studies that are older than `keep`; returns their names."""
    old = old_studies(board, keep)
    with board.connected() as storage:
        for name in old:
            optuna.delete_study(study_name=name, storage=storage)
    return old


def joined(name: str, storage: Any, how: Mapping[str, Any]) -> Any:
    """A study of another worker, with a sampler and a pruner of one's own."""
    return optuna.load_study(study_name=name, storage=storage, **how)


def _enqueue(study: Any, params: Mapping[str, Any]) -> None:
    study.enqueue_trial(dict(params), user_attrs={_ASKED: True})


def _give_back(study: Any, board: Board) -> None:
    """Let the trials of the dead wait again: Optuna's own, and those whose worker died before its first heartbeat."""
    with _without_warnings():
        optuna.storages.fail_stale_trials(study)
    oldest = datetime.now() - timedelta(seconds=board.grace_s)  # noqa: DTZ005 - Optuna's times are local and naive
    for each in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _WORKER not in each.user_attrs and each.datetime_start < oldest:
            study.tell(each.number, state=TrialState.FAIL, skip_if_finished=True)


def _summaries(storage: Any) -> list[Any]:
    return list(optuna.get_all_study_summaries(storage, include_best_trial=False))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Heartbeats have been experimental by name since Optuna 2.6, and are what it documents for killed workers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
