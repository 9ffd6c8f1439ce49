"""From prepared rows to a bundle: search, final fit, calibration, interval, threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from models.context import ModelContext
from models.estimators.base import Fold, Problem
from models.estimators.choose import bins, candidates
from models.evaluation.calibration import fit_calibration
from models.evaluation.conformal import fit_interval
from models.evaluation.costs import choose_threshold
from models.evaluation.metrics import cost_matrix
from models.features.built import choose_built
from models.features.contract import learn_contract
from models.prepare import Prepared
from models.scoring.runtime import FORMAT, Array, Scorer, calibrate, matrix
from models.spec import PredictiveSpec
from models.splits.splits import inner_folds
from models.tuning.search import Found, out_of_fold, search, warm_starts
from models.unseen import as_final, folds_of, outer_quantiles
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.progress import Progress

_CLEARLY_BETTER = 0.01  # share of the validation loss from which the plan's signs are doubted
_MORE_ROWS = 1.1  # the final fit sees all development rows, so it may grow a little longer than the folds did


@dataclass(frozen=True)
class History:
    """What an earlier version leaves to a refit: its library, best study parameters and trial rows."""

    library: str
    best_by_library: dict[str, dict[str, Any]]
    trials: list[dict[str, Any]]


@dataclass
class Fitted:
    """A fitted bundle in memory.

    Attributes:
        scorer: The predictor.
        found: The search's result.
        problem: What was learnt.
        dropped: Columns left out, with reasons.
        notes: Remarks for the model card.
        fold_sizes: Training rows and validation loss of each fold of the best trial.
        x_development: Feature matrix of the development rows.
    """

    scorer: Scorer
    found: Found
    problem: Problem
    dropped: dict[str, str]
    notes: list[str]
    fold_sizes: list[tuple[int, float]]
    x_development: Array

    def save(self, folder: Path) -> None:
        """Write native boosters and `bundle.json`."""
        import json

        folder.mkdir(parents=True, exist_ok=True)
        names = [booster.save(folder, f"booster_{n}") for n, booster in enumerate(self.scorer.boosters)]
        self.scorer.bundle["boosters"] = names
        (folder / "bundle.json").write_text(json.dumps(self.scorer.bundle, indent=1, allow_nan=False), encoding="utf-8")


def _monotone(spec: PredictiveSpec, ctx: ModelContext, features: list[dict[str, Any]]) -> tuple[int, ...]:
    """Signs that the control plan knows, per feature."""
    if spec.monotone != "plan" or ctx.site is None:
        return ()
    from pipelines.control_plan.derive import column_sign

    plan, target = ctx.site.plan, spec.target.column
    signs = [column_sign(plan, f["name"], target) if f["kind"] == "number" else 0 for f in features]
    turned = -1 if spec.task == "binary" and spec.target.positive in (False, 0, "false", "0") else 1
    return tuple(turned * sign for sign in signs) if any(signs) else ()


def newest_rows(prepared: Prepared, spec: PredictiveSpec) -> Array:
    """Development rows for the trials: the newest `max_rows`, or as many drawn without time."""
    rows = prepared.split.development
    if len(rows) <= spec.search.max_rows:
        return rows
    order = prepared.order
    rank = order.finish[rows] if order.finish is not None else -order.draw[rows]
    return np.sort(rows[np.argsort(rank, kind="stable")[-spec.search.max_rows :]])


def _with_built(
    spec: PredictiveSpec, prepared: Prepared, problem: Problem, features: list[dict[str, Any]], x: Array
) -> tuple[Problem, list[dict[str, Any]], Array]:
    """Problem, contract and matrix with the features that the family builds."""
    pairs, _ = inner_folds(prepared.order, newest_rows(prepared, spec), prepared.labels.y, spec, prepared.split.cut)
    built = choose_built(problem, features, folds_of(prepared, x, pairs))
    if not built:
        return problem, features, x
    signs = (*problem.monotone, *[0] * len(built)) if problem.monotone else ()
    features = [*features, *built]
    max_bin = bins(len(prepared.split.development), len(features))
    return replace(problem, monotone=signs, max_bin=max_bin), features, matrix(prepared.frame.table, features)


def _run_search(
    spec: PredictiveSpec, prepared: Prepared, problem: Problem, x: Array, history: History | None, tell: Progress
) -> tuple[Found, list[Fold], list[Array], list[str]]:
    """The study on time-forward folds of the development rows; `x` holds all rows of the frame."""
    rows = newest_rows(prepared, spec)
    pairs, notes = inner_folds(prepared.order, rows, prepared.labels.y, spec, prepared.split.cut)
    folds = folds_of(prepared, x, pairs)
    learners = candidates(spec.search.libraries, problem, len(rows), x.shape[1])
    first: list[dict[str, Any]] = []
    trials, draw = spec.search.trials, 0
    if history is not None:
        draw = len(rows)  # other rows than last night's
        first = warm_starts(history.trials, history.best_by_library, history.library)
        trials = spec.search.refit_trials
    found = search(learners, problem, folds, spec.search, trials=trials, first=first, draw=draw, tell=tell)
    if not first:
        notes += _doubt_of_signs(spec, problem, found, folds[-1])
    return found, folds, [valid for _, valid in pairs], notes


def _doubt_of_signs(spec: PredictiveSpec, problem: Problem, found: Found, fold: Fold) -> list[str]:
    """A remark when the winner does clearly better without the plan's signs; a wrong one is costly and silent."""
    best = found.best
    if not any(problem.monotone) or spec.task not in ("regression", "binary") or best.estimator.library == "linear":
        return []
    bare = Fold(fold.x, fold.y, fold.x_valid, fold.y_valid)
    budget = spec.search
    free = best.estimator.fit(
        replace(problem, monotone=()), bare, best.params, budget.max_rounds, budget.early_stopping_rounds
    )
    gain = 1 - min(free.curve) / min(best.fits[-1].curve)
    if gain < _CLEARLY_BETTER:
        return []
    return [f"without the control plan's signs the loss is {100 * gain:.1f} % lower: one of them may be wrong"]


def _final(spec: PredictiveSpec, problem: Problem, found: Found, x: Array, y: Array) -> list[Any]:
    """Boosters on all development rows: of each member one, or one per quantile."""
    fold = Fold(x, y)
    levels = spec.quantiles if spec.task == "quantile" else [problem.quantile]
    return [
        each.estimator.fit(replace(problem, quantile=level), fold, each.params, final_rounds(each.rounds)).booster
        for each in found.members
        for level in levels
    ]


def _finish(spec: PredictiveSpec, prepared: Prepared, oof: Array) -> dict[str, Any]:
    """Calibration, threshold and interval from out-of-fold predictions."""
    has = ~np.isnan(oof if oof.ndim == 1 else oof[:, 0])
    y, seen = prepared.labels.y[has], oof[has]
    out: dict[str, Any] = {"calibration": fit_calibration(spec.task, seen, y), "threshold": 0.5}
    out["interval"] = {"below": 0.0, "above": 0.0}
    if spec.task == "binary":
        costs = None if spec.primary_metric == "f1" else spec.costs
        out["threshold"] = choose_threshold(calibrate(seen, out["calibration"]), y, costs)
    if not spec.is_classification:
        out["interval"] = fit_interval(spec.task, seen, y, prepared.order.group[has], spec.nominal_coverage)
    if spec.task == "multiclass" and spec.costs is not None:
        out["cost_matrix"] = cost_matrix(spec, prepared.labels.classes).tolist()
    return out


def final_rounds(rounds: int) -> int:
    """Rounds of the final fit, which sees all development rows, from those of the folds."""
    return max(1, round(rounds * _MORE_ROWS))


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


def record_of(ctx: ModelContext, prepared: Prepared, found: Found) -> dict[str, Any]:
    """What the version remembers of its making."""
    split, finish = prepared.split, prepared.order.finish
    return {
        "cut": split.cut.as_json(),
        "trained_until": split.cut.after,
        "last_label": None if finish is None else str(finish[split.development].max()),
        "rows": len(split.development),
        "snapshot": ctx.snapshot,
        "digest": prepared.frame.digest,
        "plan_hash": ctx.plan_hash,
        "mode": ctx.mode,
        "library": found.best.estimator.library,
        "best_by_library": found.best_by_library,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def fit(spec: PredictiveSpec, ctx: ModelContext, prepared: Prepared, history: History | None = None) -> Fitted:
    """Search, fit and finish a model on the development rows.

    Args:
        spec: the solution.
        ctx: mode, threads and the plan's monotone signs.
        prepared: rows, labels and cut.
        history: an earlier version's best parameters; a refit without one searches.

    Returns:
        The bundle in memory.

    Raises:
        CellworksError: the development rows hold one class only.
    """
    rows, y = prepared.split.development, prepared.labels.y
    if spec.is_classification and len(np.unique(y[rows])) < 2:
        raise CellworksError(
            "the rows before the hold-out hold one class only",
            expected="at least two classes to learn from",
            found=prepared.labels.classes[int(y[rows][0])],
            mend="wait for more labelled rows",
            where=spec.solution,
        )
    features, dropped = learn_contract(prepared.frame.take(rows))
    categories = tuple(place for place, f in enumerate(features) if f["kind"] == "category")
    monotone = _monotone(spec, ctx, features)
    shape = len(rows), len(features)
    problem = replace(problem_of(spec, ctx, prepared, shape), categories=categories, monotone=monotone)
    x = matrix(prepared.frame.table, features)
    if spec.features.build:
        problem, features, x = _with_built(spec, prepared, problem, features, x)
    found, folds, valid, notes = _run_search(spec, prepared, problem, x, history, ctx.tell)
    sizes = [(len(fold.y), min(fit.curve)) for fold, fit in zip(folds, found.best.fits, strict=True)]
    if not spec.is_classification and len(rows) > spec.search.max_rows:
        found, folds, valid = as_final(spec, prepared, problem, found, x)
    if spec.task == "quantile":
        oof = outer_quantiles(spec, problem, found, folds, valid, len(x))
    else:
        oof = out_of_fold(found, folds, valid, len(x))
    bundle = {
        "format": FORMAT,
        "name": spec.name,
        "task": spec.task,
        "library": found.best.estimator.library,
        "libraries": found.libraries,
        "features": features,
        "classes": prepared.labels.classes,
        "quantiles": spec.quantiles,
        **_finish(spec, prepared, oof),
        "record": record_of(ctx, prepared, found),
    }
    scorer = Scorer(bundle, _final(spec, problem, found, x[rows], y[rows]))
    return Fitted(
        scorer,
        found,
        problem,
        {**prepared.frame.selection.dropped, **dropped},
        prepared.split.notes + notes,
        sizes,
        x[rows],
    )
