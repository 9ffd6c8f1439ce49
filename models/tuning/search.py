"""One seeded study over all libraries: which learner, with which parameters, for how many rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
import optuna

from models.estimators.base import Estimator, Fit, Fold, Problem
from models.scoring.runtime import Array
from models.spec import Search
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
class Member:
    """A completed trial that is fitted again on all rows.

    Attributes:
        estimator: Its library.
        params: Its parameters as its `fit` takes them.
        rounds: Rounds of each fold's best iteration, averaged.
        value: Mean validation loss.
        fits: Its fit per fold, for out-of-fold predictions.
    """

    estimator: Estimator
    params: dict[str, Any]
    rounds: int
    value: float
    fits: list[Fit]


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


class _Objective:
    """Fits a trial on each fold; reports its progress in the first fold, then after each fold.

    Trials are compared at equal progress, rounds by learning rate: at equal rounds every slow learner would seem
    hopeless.
    """

    def __init__(self, estimators: dict[str, Estimator], problem: Problem, folds: list[Fold], search: Search) -> None:
        self.estimators = estimators
        self.problem = problem
        self.folds = folds
        self.search = search
        self.members: list[Member] = []
        self.sizes = np.asarray([len(fold.y_valid) if fold.y_valid is not None else 0 for fold in folds], dtype=float)

    def __call__(self, trial: Any) -> float:
        library = trial.suggest_categorical("library", list(self.estimators))
        estimator = self.estimators[library]
        params = estimator.suggest(trial)
        fits: list[Fit] = []
        losses: list[float] = []
        for place, fold in enumerate(self.folds):
            fits.append(self._fit(trial, estimator, fold, params, reports=place == 0 and library != "linear"))
            losses.append(min(fits[-1].curve))
            trial.set_user_attr("fold_rounds", [len(fit.curve) for fit in fits])
            if place + 1 < len(self.folds):
                trial.report(float(np.mean(losses)), self.search.max_rounds + 1 + place)
                if trial.should_prune():
                    raise optuna.TrialPruned
        value = float(np.average(losses, weights=self.sizes))
        rounds = round(float(np.mean([fit.rounds for fit in fits])))
        trial.set_user_attr("rounds", rounds)
        self._keep(Member(estimator, params, rounds, value, fits))
        return value

    def _keep(self, member: Member) -> None:
        """Hold the best trials; of the same parameters the first, for a second one would only weigh it double."""
        if any(other.estimator is member.estimator and other.params == member.params for other in self.members):
            return
        self.members = sorted([*self.members, member], key=lambda each: each.value)[: self.search.members]

    def _fit(self, trial: Any, estimator: Estimator, fold: Fold, params: dict[str, Any], *, reports: bool) -> Fit:
        told = 0

        def watch(rounds: int, value: float) -> None:
            nonlocal told
            reached = int(rounds * float(params["learning_rate"]))
            for step in range(told + 1, reached + 1):
                trial.report(value, step)
            if reached > told and trial.should_prune():
                trial.set_user_attr("fold_rounds", [rounds])
                raise optuna.TrialPruned
            told = max(told, reached)

        search = self.search
        return estimator.fit(
            self.problem, fold, params, search.max_rounds, search.early_stopping_rounds, watch if reports else None
        )


def _enqueue(study: Any, estimators: Sequence[Estimator], first: Sequence[dict[str, Any]]) -> None:
    """Known good starts before the sampler's own."""
    for params in first:
        if params.get("library") in {each.library for each in estimators}:
            study.enqueue_trial(params)
    if not first:
        # Every library's first start, then the second ones: a small budget tries each library once.
        rounds = zip_longest(*([(each.library, start) for start in each.starts()] for each in estimators))
        for library, start in (pair for pairs in rounds for pair in pairs if pair is not None):
            study.enqueue_trial({"library": library, **start})


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

    Returns:
        The best trials with their fits per fold, and the table of all trials.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    by_name = {each.library: each for each in estimators}
    objective = _Objective(by_name, problem, folds, budget)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=budget.seed + draw, n_startup_trials=max(4, min(10, trials // 2))),
        pruner=optuna.pruners.PercentilePruner(_KEEP_PERCENTILE, n_startup_trials=4, n_warmup_steps=_WARM_UP),
    )
    _enqueue(study, estimators, first)

    def told(_study: Any, trial: Any) -> None:
        tell("trials", trial.number + 1, trials)

    tell("trials", 0, trials)
    study.optimize(objective, n_trials=trials, catch=(), callbacks=[told])
    rows = [_row(trial) for trial in study.trials if trial.state.is_finished()]
    return Found(objective.members, dict(study.best_trial.params), rows, _best_by_library(rows))


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
