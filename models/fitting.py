"""From prepared rows to a bundle: search, final fit, calibration, interval, threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from models.context import ModelContext
from models.estimators.base import Fold, Problem
from models.evaluation.calibration import fit_calibration
from models.evaluation.conformal import fit_interval
from models.evaluation.costs import choose_threshold
from models.evaluation.metrics import cost_matrix
from models.ground import Ground, ground_of
from models.prepare import Prepared
from models.scoring.runtime import FORMAT, Array, Scorer, calibrate
from models.spec import PredictiveSpec
from models.tuning.search import Found, out_of_fold, search, warm_starts
from models.tuning.shared import sharing_of
from models.unseen import as_final, outer_quantiles

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


def _search(spec: PredictiveSpec, ctx: ModelContext, ground: Ground, history: History | None) -> Found:
    """The study on the ground's folds; a remark joins the ground's where the plan's signs are doubted."""
    first: list[dict[str, Any]] = []
    trials, draw = spec.search.trials, 0
    if history is not None:
        draw = ground.n_rows  # other rows than last night's
        first = warm_starts(history.trials, history.best_by_library, history.library)
        trials = spec.search.refit_trials
    found = search(
        ground.learners,
        ground.problem,
        ground.folds,
        spec.search,
        trials=trials,
        first=first,
        draw=draw,
        tell=ctx.tell,
        sharing=sharing_of(spec, ctx),
    )
    if not first:
        ground.notes += _doubt_of_signs(spec, ground.problem, found, ground.folds[-1])
    return found


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


def _final(spec: PredictiveSpec, ctx: ModelContext, prepared: Prepared, ground: Ground, found: Found) -> list[Any]:
    """Boosters on all development rows: of each member one, or one per quantile."""
    problem = ground.problem
    levels = spec.quantiles if spec.task == "quantile" else [problem.quantile]
    wanted = [(each, replace(problem, quantile=level)) for each in found.members for level in levels]
    if prepared.training_set is not None:
        from models.distributed.fit import Wanted, fit_on_workers

        asked = [Wanted(each.estimator.library, own, each.params, final_rounds(each.rounds)) for each, own in wanted]
        return list(fit_on_workers(spec, ctx, ground.features, prepared.training_set, asked))
    rows = prepared.split.development
    fold = Fold(ground.x[rows], prepared.labels.y[rows])
    return [each.estimator.fit(own, fold, each.params, final_rounds(each.rounds)).booster for each, own in wanted]


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


def record_of(ctx: ModelContext, prepared: Prepared, found: Found) -> dict[str, Any]:
    """What the version remembers of its making."""
    split, finish = prepared.split, prepared.order.finish
    return {
        "cut": split.cut.as_json(),
        "trained_until": split.cut.after,
        "last_label": None if finish is None else str(finish[split.development].max()),
        "rows": prepared.n_learnt,
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
    rows = prepared.split.development
    ground = ground_of(spec, ctx, prepared)
    problem, x, folds, valid = ground.problem, ground.x, ground.folds, ground.valid
    found = _search(spec, ctx, ground, history)
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
        "features": ground.features,
        "classes": prepared.labels.classes,
        "quantiles": spec.quantiles,
        **_finish(spec, prepared, oof),
        "record": record_of(ctx, prepared, found),
    }
    scorer = Scorer(bundle, _final(spec, ctx, prepared, ground, found))
    return Fitted(
        scorer,
        found,
        problem,
        {**prepared.frame.selection.dropped, **ground.dropped},
        prepared.split.notes + ground.notes,
        sizes,
        x[rows],
    )
