"""What a predictive search stands on: features with their contract, the problem, the folds and the learners."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.context import ModelContext
from models.estimators.base import Estimator, Fold, Problem
from models.estimators.choose import bins, candidates
from models.features.built import choose_built
from models.features.contract import learn_contract
from models.prepare import Prepared, newest_rows, prepare
from models.scoring.runtime import Array, matrix
from models.spec import PredictiveSpec
from models.splits.splits import inner_folds
from models.tuning.objective import Asked
from models.unseen import folds_of
from pipelines.control_plan.errors import CellworksError


@dataclass
class Ground:
    """Everything that a search is asked about, and what the final fit goes on with.

    Attributes:
        problem: What is learnt.
        features: The contract, built features included.
        dropped: Columns left out by it, with reasons.
        x: Feature matrix of all rows of the frame.
        folds: Time-forward folds of the newest development rows.
        valid: Validation rows of each fold, in the frame.
        n_rows: Rows that the folds part.
        learners: The libraries to try.
        notes: Remarks for the model card.
    """

    problem: Problem
    features: list[dict[str, Any]]
    dropped: dict[str, str]
    x: Array
    folds: list[Fold]
    valid: list[Array]
    n_rows: int
    learners: list[Estimator]
    notes: list[str]


def ground_of(spec: PredictiveSpec, ctx: ModelContext, prepared: Prepared) -> Ground:
    """Features, problem and folds of the development rows.

    Args:
        spec: the solution.
        ctx: threads and the plan's monotone signs.
        prepared: rows, labels and cut.

    Raises:
        CellworksError: the development rows hold one class only, or no column carries anything.
    """
    rows = prepared.split.development
    _refuse_one_class(spec, prepared)
    features, dropped = learn_contract(prepared.frame.take(rows))
    categories = tuple(place for place, f in enumerate(features) if f["kind"] == "category")
    monotone = _monotone(spec, ctx, features)
    shape = len(rows), len(features)
    problem = replace(problem_of(spec, ctx, prepared, shape), categories=categories, monotone=monotone)
    x = matrix(prepared.frame.table, features)
    newest = newest_rows(prepared, spec)
    pairs, notes = inner_folds(prepared.order, newest, prepared.labels.y, spec, prepared.split.cut)
    folds = folds_of(prepared, x, pairs)
    if spec.features.build and (built := choose_built(problem, features, folds)):
        problem, features, x = _with_built(prepared, problem, features, built)
        folds = folds_of(prepared, x, pairs)
    # No library fits the linear learner by parts.
    libraries = [each for each in spec.search.libraries if each != "linear" or prepared.training_set is None]
    learners = candidates(libraries, problem, len(newest), x.shape[1])
    valid = [rows for _, rows in pairs]
    return Ground(problem, features, dropped, x, folds, valid, len(newest), learners, notes)


def asked(spec: PredictiveSpec, ctx: ModelContext) -> Asked:
    """What a solution's search asks, for a worker that helps it."""
    ground = ground_of(spec, ctx, prepare(spec, ctx))
    return Asked(ground.learners, ground.problem, ground.folds, spec.search)


def problem_of(spec: PredictiveSpec, ctx: ModelContext, prepared: Prepared, shape: tuple[int, int]) -> Problem:
    """What is learnt from so many rows and columns, before it is known what these are."""
    return Problem(
        spec.task,
        len(prepared.labels.classes),
        quantile=spec.quantiles[1],
        n_threads=ctx.n_threads,
        seed=spec.search.seed,
        max_bin=bins(*shape),
    )


def _refuse_one_class(spec: PredictiveSpec, prepared: Prepared) -> None:
    rows, y = prepared.split.development, prepared.labels.y
    if spec.is_classification and len(np.unique(y[rows])) < 2:
        raise CellworksError(
            "the rows before the hold-out hold one class only",
            expected="at least two classes to learn from",
            found=prepared.labels.classes[int(y[rows][0])],
            mend="wait for more labelled rows",
            where=spec.solution,
        )


def _monotone(spec: PredictiveSpec, ctx: ModelContext, features: list[dict[str, Any]]) -> tuple[int, ...]:
    """Signs that the control plan knows, per feature."""
    if spec.monotone != "plan" or ctx.site is None:
        return ()
    from pipelines.control_plan.derive import column_sign

    plan, target = ctx.site.plan, spec.target.column
    signs = [column_sign(plan, f["name"], target) if f["kind"] == "number" else 0 for f in features]
    turned = -1 if spec.task == "binary" and spec.target.positive in (False, 0, "false", "0") else 1
    return tuple(turned * sign for sign in signs) if any(signs) else ()


def _with_built(
    prepared: Prepared, problem: Problem, features: list[dict[str, Any]], built: list[dict[str, Any]]
) -> tuple[Problem, list[dict[str, Any]], Array]:
    """Problem, contract and matrix with the features that the family builds."""
    signs = (*problem.monotone, *[0] * len(built)) if problem.monotone else ()
    features = [*features, *built]
    max_bin = bins(len(prepared.split.development), len(features))
    return replace(problem, monotone=signs, max_bin=max_bin), features, matrix(prepared.frame.table, features)
