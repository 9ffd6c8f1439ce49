"""What a search asks and how a trial answers: a fit on each fold, and the best of them held."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna

from models.estimators.base import Estimator, Fit, Fold, Problem
from models.spec import Search


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


@dataclass(frozen=True)
class Asked:
    """What a search is asked: the same for every worker of a study.

    Attributes:
        estimators: The libraries to try.
        problem: What is learnt.
        folds: Training and validation rows.
        budget: Rounds, early stopping and seed.
    """

    estimators: Sequence[Estimator]
    problem: Problem
    folds: list[Fold]
    budget: Search

    def digest(self) -> str:
        """Hash of all of it but the threads: two that differ would find other losses for the same parameters."""
        libraries = [each.library for each in self.estimators]
        told = (libraries, replace(self.problem, n_threads=1), self.budget.model_dump())
        found = hashlib.blake2b(repr(told).encode(), digest_size=16)
        for fold in self.folds:
            for part in (fold.x, fold.y, fold.x_valid, fold.y_valid):
                if part is not None:
                    found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()


class Objective:
    """Fits a trial on each fold; reports its progress in the first fold, then after each fold.

    Trials are compared at equal progress, rounds by learning rate: at equal rounds every slow learner would seem
    hopeless.
    """

    def __init__(self, asked: Asked) -> None:
        self.estimators = {each.library: each for each in asked.estimators}
        self.problem = asked.problem
        self.folds = folds = asked.folds
        self.search = asked.budget
        self.members: list[Member] = []
        self.sizes = np.asarray([len(fold.y_valid) if fold.y_valid is not None else 0 for fold in folds], dtype=float)

    def __call__(self, trial: Any) -> float:
        """Fit a trial; its loss.

        Raises:
            optuna.TrialPruned: it is hopeless.
        """
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
        member = self._member(estimator, params, fits)
        trial.set_user_attr("rounds", member.rounds)
        self._keep(member)
        return member.value

    def _member(self, estimator: Estimator, params: dict[str, Any], fits: list[Fit]) -> Member:
        value = float(np.average([min(fit.curve) for fit in fits], weights=self.sizes))
        return Member(estimator, params, round(float(np.mean([fit.rounds for fit in fits]))), value, fits)

    def recall(self, trials: Sequence[Any]) -> None:
        """Hold the best of these trials: those of other workers are fitted again, for their fits stayed there."""
        done = sorted((each for each in trials if each.state.name == "COMPLETE"), key=lambda each: each.value)
        best: list[tuple[Estimator, dict[str, Any]]] = []
        for trial in done:
            estimator = self.estimators[trial.params["library"]]
            each = (estimator, estimator.suggest(trial))
            if each not in best:
                best.append(each)
        held = self.members
        self.members = [
            next((own for own in held if own.estimator is estimator and own.params == params), None)
            or self._member(estimator, params, [self._again(estimator, fold, params) for fold in self.folds])
            for estimator, params in best[: self.search.members]
        ]

    def _again(self, estimator: Estimator, fold: Fold, params: dict[str, Any]) -> Fit:
        search = self.search
        return estimator.fit(self.problem, fold, params, search.max_rounds, search.early_stopping_rounds)

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
