"""One seeded study over all libraries: which learner, with which parameters, for how many rounds."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
import optuna

from models.estimators.base import Estimator, Fold, Problem
from models.scoring.runtime import Array
from models.spec import Search
from models.tuning import shared
from models.tuning.objective import Asked, Member, Objective
from pipelines.lake.progress import Progress, silent

_MAX_WARM = 2  # of a refit's few trials; the others are the sampler's
_WARM_UP = 3  # progress (rounds by learning rate) before which nothing is pruned
_KEEP_PERCENTILE = 60.0  # gentle: median pruning ended worse on 2 of 3 seeds (docs/decisions)


@dataclass
class Trial:
    """One trial as a row of the table that is logged."""

    number: int
    library: str
    state: str
    value: float | None
    rounds: int
    seconds: float
    params: dict[str, float | int]
    fold_rounds: list[int] = field(default_factory=list)

    def as_row(self) -> dict[str, Any]:
        """Plain values; the parameters keep the study's names."""
        return {
            "number": self.number,
            "library": self.library,
            "state": self.state,
            "value": self.value,
            "rounds": self.rounds,
            "seconds": round(self.seconds, 4),
            "params": self.params,
            "fold_rounds": self.fold_rounds,
        }


@dataclass
class Found:
    """What the search found.

    Attributes:
        members: The trials whose answers are averaged, best first: at most as many as `search.members` says.
        study_params: The best one's parameters by the study's names, to start the next night from.
        trials: Every trial.
        best_by_library: Study parameters of the best trial of each library.
    """

    members: list[Member]
    study_params: dict[str, Any]
    trials: list[Trial]
    best_by_library: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def best(self) -> Member:
        """The winner."""
        return self.members[0]

    @property
    def libraries(self) -> list[str]:
        """Libraries of the members, each once."""
        return sorted({member.estimator.library for member in self.members})


def _starts(estimators: Sequence[Estimator], first: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Known good starts before the sampler's own."""
    if first:
        libraries = {each.library for each in estimators}
        return [params for params in first if params.get("library") in libraries]
    # Every library's first start, then the second ones: a small budget tries each library once.
    rounds = zip_longest(*([(each.library, start) for start in each.starts()] for each in estimators))
    return [{"library": pair[0], **pair[1]} for pairs in rounds for pair in pairs if pair is not None]


def warm_starts(
    history: Sequence[dict[str, Any]], known: dict[str, dict[str, Any]], winner: str
) -> list[dict[str, Any]]:
    """What a refit tries first: the best known parameters, then the next best different ones of the last night.

    Args:
        history: trial rows of the version that is refitted.
        known: best study parameters per library.
        winner: library of that version.

    Returns:
        Study parameters, best first.
    """
    out = [known[winner]] if winner in known else []
    done = [row for row in history if row["state"] == "COMPLETE" and row["value"] is not None]
    for row in sorted(done, key=lambda each: float(each["value"])):
        if row["params"] not in out:
            out.append(row["params"])
    return out[:_MAX_WARM]


def search(
    estimators: Sequence[Estimator],
    problem: Problem,
    folds: list[Fold],
    budget: Search,
    *,
    trials: int,
    first: Sequence[dict[str, Any]] = (),
    draw: int = 0,
    tell: Progress = silent,
    sharing: shared.Sharing | None = None,
) -> Found:
    """Run the study.

    Args:
        estimators: the libraries to try.
        problem: what is learnt.
        folds: training and validation rows.
        budget: rounds, early stopping and seed.
        trials: how many trials.
        first: study parameters tried before any other (the best known ones in a refit).
        draw: which of the seed's sequences the sampler draws from; a refit of few trials would else try the same
            point every night.
        tell: called after each trial with trials done and trials in all.
        sharing: where other workers may join; None: the study is this process's own.

    Returns:
        The best trials with their fits per fold, and the table of all trials.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    asked = Asked(estimators, problem, folds, budget)
    objective, how = Objective(asked), _how(trials, budget.seed + draw)
    starts = _starts(estimators, first)
    tell("trials", 0, trials)
    if sharing is None:
        study = optuna.create_study(**how)
        for params in starts:
            study.enqueue_trial(params)

        def told(_study: Any, trial: Any) -> None:
            tell("trials", trial.number + 1, trials)

        study.optimize(objective, n_trials=trials, catch=(), callbacks=[told])
        every_trial, best = study.trials, study.best_trial
    else:
        every = [*starts, *[{} for _ in range(trials)]][:trials]
        with sharing.opened(asked.digest(), every, how) as study:
            shared.work(study, objective, lambda done: tell("trials", done, trials), sharing.board, lead=trials)
            every_trial, best = study.trials, study.best_trial
            objective.recall(every_trial)
    rows = [_row(trial) for trial in every_trial if trial.state.name in ("COMPLETE", "PRUNED")]
    return Found(objective.members, dict(best.params), rows, _best_by_library(rows))


def help_search(
    asked: Asked, name: str, trials: int, board: shared.Board, storage: Any, tell: Progress
) -> tuple[int, float | None]:
    """Do trials of a study that another process leads, until none is left.

    Args:
        asked: the same as the leader's, by its digest.
        name: the study.
        trials: how many it has in all.
        board: where it is.
        storage: a connection to it.
        tell: called after each of this worker's trials with the trials that all have finished, and trials in all.

    Returns:
        Trials done here, and the least loss that any worker found; None where no trial has ended.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # With the leader's seed both would draw the same points.
    own = int.from_bytes(hashlib.blake2b(f"{socket.gethostname()} {os.getpid()}".encode(), digest_size=4).digest())
    study = shared.joined(name, storage, _how(trials, asked.budget.seed + own))
    done = shared.work(study, Objective(asked), lambda done: tell("trials", done, trials), board)
    ended = [each.value for each in study.trials if each.state.name == "COMPLETE"]
    return done, min(ended, default=None)


def _how(trials: int, seed: int) -> dict[str, Any]:
    """Sampler and pruner of a study."""
    return {
        "sampler": optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=max(4, min(10, trials // 2))),
        "pruner": optuna.pruners.PercentilePruner(_KEEP_PERCENTILE, n_startup_trials=4, n_warmup_steps=_WARM_UP),
    }


def _row(trial: Any) -> Trial:
    seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
    library = str(trial.params.get("library", ""))
    value = None if trial.value is None else float(trial.value)
    attributes = trial.user_attrs
    return Trial(
        number=trial.number,
        library=library,
        state=trial.state.name,
        value=value,
        rounds=int(attributes.get("rounds", 0)),
        seconds=seconds,
        params=dict(trial.params),
        fold_rounds=list(attributes.get("fold_rounds", [])),
    )


def _best_by_library(rows: list[Trial]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    done = [row for row in rows if row.state == "COMPLETE" and row.value is not None]
    for row in sorted(done, key=lambda each: each.value or 0.0):
        out.setdefault(row.library, dict(row.params))
    return out


def out_of_fold(found: Found, folds: list[Fold], rows: list[Array], n_rows: int) -> Array:
    """Predictions of the members' mean for rows that each fold did not train on.

    Args:
        found: the search's result.
        folds: the folds it was made with.
        rows: validation row numbers per fold, in `n_rows`.
        n_rows: rows of the frame.

    Returns:
        (n_rows,) or (n_rows, outputs); NaN where no fold validated.
    """
    parts = [
        np.mean([member.fits[place].booster.predict(fold.x_valid) for member in found.members], axis=0)
        for place, fold in enumerate(folds)
        if fold.x_valid is not None
    ]
    shape = (n_rows, *parts[0].shape[1:])
    out = np.full(shape, np.nan)
    for index, part in zip(rows, parts, strict=True):
        out[index] = part
    return out
