"""From prepared lives to a bundle: features, search, final fit, intervals, the life below which to act."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.context import ModelContext
from models.estimators.base import Problem
from models.features.contract import learn_contract
from models.features.fused import fused_features
from models.features.sequence import window_names
from models.fitting import Fitted, History, final_rounds, record_of
from models.ground import problem_of
from models.scoring.runtime import FORMAT, Array, Scorer, matrix
from models.splits.splits import inner_folds
from models.survival_model.bands import fit_life
from models.survival_model.censoring import known_weights
from models.survival_model.folds import LifeFold
from models.survival_model.learners import LifeLightGBM, life_candidates
from models.survival_model.lives import PreparedLives, prepare_lives
from models.survival_model.policy import best_threshold, histories
from models.survival_model.spec import SurvivalSpec
from models.tuning.objective import Asked
from models.tuning.search import Found, search, warm_starts
from models.tuning.shared import sharing_of
from pipelines.control_plan.errors import CellworksError

# Quick and the same for all feature sets; leaves of many rows and few rows in all, for the rows of one life are alike.
_TRIED_WITH = {
    "learning_rate": 0.08,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "lambda_l2": 1.0,
}
_TRIED_ROUNDS, _PATIENCE, _TRIED_FOLDS = 120, 15, 2  # sets differ by far more than folds do
_TRIED_ROWS, _TRIED_BINS = 6000, 63


@dataclass(frozen=True)
class _Ground:
    """Rows to learn from, their bounds, and the folds they are parted in."""

    rows: Array
    pairs: list[tuple[Array, Array]]
    cap: float

    def folds(self, prepared: PreparedLives, x: Array) -> list[LifeFold]:
        """The folds of a feature matrix that holds all rows of the frame."""
        return [self._fold(prepared, x, train, valid) for train, valid in self.pairs]

    def sample(self, rows: int) -> _Ground:
        """Every n-th row of each part, so that a fold has at most so many."""
        every = max(1, -(-max(len(train) + len(valid) for train, valid in self.pairs) // rows))
        return replace(self, pairs=[(train[::every], valid[::every]) for train, valid in self.pairs])

    def whole(self, prepared: PreparedLives, x: Array) -> LifeFold:
        """All rows, nothing to validate with."""
        known = prepared.learnt
        return LifeFold(x[self.rows], known.lower[self.rows], upper=known.upper[self.rows], cap=self.cap)

    def _fold(self, prepared: PreparedLives, x: Array, train: Array, valid: Array) -> LifeFold:
        known = prepared.learnt
        return LifeFold(
            x[train],
            known.lower[train],
            x[valid],
            known.lower[valid],
            upper=known.upper[train],
            cap=self.cap,
            weights_valid=known_weights(known.take(valid)),
        )


def _ground(spec: SurvivalSpec, prepared: PreparedLives) -> tuple[_Ground, list[str]]:
    """Development rows, at most `max_rows` of them drawn evenly over all lives, and folds that keep lives whole.

    The newest rows would be those of the lives that go on, whose ends are not known.
    """
    rows = prepared.split.development
    notes = []
    if len(rows) > spec.search.max_rows:
        drawn = np.random.default_rng(spec.search.seed).choice(len(rows), spec.search.max_rows, replace=False)
        notes.append(f"{spec.search.max_rows:,} of {len(rows):,} rows, drawn over all lives, are learnt from")
        rows = np.sort(rows[drawn])
    # Folds by life: few lives end within a fold in time, and those that do are the short ones.
    draw = np.random.default_rng(spec.search.seed).random(int(prepared.order.group.max()) + 1)[prepared.order.group]
    by_life = replace(prepared.order, finish=None, start=None, draw=draw)
    pairs, more = inner_folds(by_life, rows, prepared.learnt.lower, spec, prepared.split.cut)
    cap = np.inf if spec.target.at_most is None else spec.target.at_most
    return _Ground(rows, pairs, cap), notes + more


def _choose_features(
    spec: SurvivalSpec, prepared: PreparedLives, problem: Problem, ground: _Ground, plain: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], str]:
    """The windows of each number, the condition indices, or both: what validates best; and a remark."""
    if spec.sequence is None:
        return plain, ""
    names = {feature["name"] for feature in plain if feature["kind"] == "number"}
    windows = {name: set(window_names(name, spec.sequence).values()) for name in prepared.frame.selection.numbers}
    # What never varies has windows all the same: the rounding of its mean.
    blank = {window for name, own in windows.items() if name not in names for window in own}
    plain = [feature for feature in plain if feature["name"] not in blank]
    measured = [name for name in sorted(names) if windows[name] & names and _is_whole(windows[name], names)]
    fused = fused_features(prepared.frame.take(ground.rows), spec.sequence, measured, spec.sequence.fused)
    if not fused:
        return plain, ""
    replaced = {*measured, *(window for name in measured for window in windows[name])}
    rest = [feature for feature in plain if feature["name"] not in replaced]
    sets = {"windows of each number": plain, "condition indices": [*rest, *fused], "both": [*plain, *fused]}
    losses = {name: _loss(prepared, problem, ground, features) for name, features in sets.items()}
    best = min(losses, key=lambda name: losses[name])
    told = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
    return sets[best], f"features: {best} (validation loss: {told})"


def _is_whole(windows: set[str], names: set[str]) -> bool:
    """Whether all means and slopes of a number are there; a spread or a change may be missing."""
    return all(name in names for name in windows if "_mean_" in name or "_slope_" in name)


def _loss(prepared: PreparedLives, problem: Problem, ground: _Ground, features: list[dict[str, Any]]) -> float:
    x = matrix(prepared.frame.table, features)
    folds = ground.sample(_TRIED_ROWS).folds(prepared, x)[:_TRIED_FOLDS]
    own = replace(problem, categories=_categories(features), max_bin=_TRIED_BINS)
    fits = [LifeLightGBM().fit(own, fold, _TRIED_WITH, _TRIED_ROUNDS, _PATIENCE) for fold in folds]
    return float(np.mean([min(fit.curve) for fit in fits]))


def _categories(features: list[dict[str, Any]]) -> tuple[int, ...]:
    return tuple(place for place, feature in enumerate(features) if feature["kind"] == "category")


def _search(
    spec: SurvivalSpec, problem: Problem, ground: _Ground, folds: list[LifeFold], history: History | None, ctx: Any
) -> Found:
    first: list[dict[str, Any]] = []
    trials, draw = spec.search.trials, 0
    if history is not None:
        draw = len(ground.rows)  # other rows than last night's
        first = warm_starts(history.trials, history.best_by_library, history.library)
        trials = spec.search.refit_trials
    learners = life_candidates(list(spec.search.libraries))
    return search(
        learners,
        problem,
        list(folds),
        spec.search,
        trials=trials,
        first=first,
        draw=draw,
        tell=ctx.tell,
        sharing=sharing_of(spec, ctx),
    )


def _unseen(prepared: PreparedLives, ground: _Ground, found: Found, x: Array) -> Array:
    """Answers for every development row by what its life did not teach; NaN elsewhere.

    Every row and not only those that were drawn: it is at each of them that a policy may act.
    """
    group, rows = prepared.order.group, prepared.split.development
    out = np.full(len(x), np.nan)
    for place, (_, valid) in enumerate(ground.pairs):
        own = rows[np.isin(group[rows], group[valid])]
        out[own] = np.mean([member.fits[place].booster.predict(x[own]) for member in found.members], axis=0)
    return out


def _life(spec: SurvivalSpec, prepared: PreparedLives, oof: Array, cap: float) -> dict[str, Any]:
    """What follows from out-of-fold predictions: intervals, chances, and where to act."""
    seen = np.flatnonzero(~np.isnan(oof))
    predicted = np.clip(oof[seen], 0.0, cap)
    groups = prepared.order.group[seen]
    target = spec.target
    life = fit_life(
        predicted, prepared.learnt.take(seen), groups, target.horizon, spec.interval_coverage, target.at_most
    )
    life["at_most"] = target.at_most
    life["act_below"] = None
    if spec.policy is not None:
        past = histories(prepared.learnt_whole.take(seen), groups)
        life["act_below"] = best_threshold(past, predicted, spec.policy)
    return life


def _refuse_without_ends(spec: SurvivalSpec, prepared: PreparedLives) -> None:
    known = prepared.learnt.take(prepared.split.development)
    if not known.is_exact.any():
        raise CellworksError(
            "no life to learn from has an end that is known, so nothing tells how long lives are",
            expected="lives that ended at a known moment, or lasted beyond target.at_most, before the hold-out",
            found=f"{len(known.lower):,} rows whose lives went on then, or ended between bounds",
            mend="wait until lives have ended, or set a smaller target.at_most or split.holdout_ratio",
            where=spec.solution,
        )


@dataclass
class _Learnable:
    """Rows, features, problem and folds; `x` holds all rows of the frame."""

    ground: _Ground
    features: list[dict[str, Any]]
    dropped: dict[str, str]
    problem: Problem
    x: Array
    folds: list[LifeFold]
    notes: list[str]


def _learnable(spec: SurvivalSpec, ctx: ModelContext, prepared: PreparedLives) -> _Learnable:
    ground, notes = _ground(spec, prepared)
    plain, dropped = learn_contract(prepared.frame.take(ground.rows))
    problem = problem_of(spec, ctx, prepared, (len(ground.rows), len(plain)))
    features, told = _choose_features(spec, prepared, problem, ground, plain)
    problem = replace(problem, categories=_categories(features))
    x = matrix(prepared.frame.table, features)
    folds = ground.folds(prepared, x)
    return _Learnable(ground, features, dropped, problem, x, folds, [*notes, *([told] if told else [])])


def asked(spec: SurvivalSpec, ctx: ModelContext) -> Asked:
    """What a solution's search asks, for a worker that helps it."""
    prepared = prepare_lives(spec, ctx, None)
    _refuse_without_ends(spec, prepared)
    it = _learnable(spec, ctx, prepared)
    return Asked(life_candidates(list(spec.search.libraries)), it.problem, list(it.folds), spec.search)


def fit(spec: SurvivalSpec, ctx: ModelContext, prepared: PreparedLives, history: History | None = None) -> Fitted:
    """Search, fit and finish a model on the development rows.

    Args:
        spec: the solution.
        ctx: mode and threads.
        prepared: rows, lives and cut.
        history: an earlier version's best parameters; a refit without one searches.

    Returns:
        The bundle in memory.

    Raises:
        CellworksError: of no life that began before the hold-out the end was known then.
    """
    _refuse_without_ends(spec, prepared)
    it = _learnable(spec, ctx, prepared)
    ground, problem, x, folds = it.ground, it.problem, it.x, it.folds
    found = _search(spec, problem, ground, folds, history, ctx)
    oof = _unseen(prepared, ground, found, x)
    bundle = {
        "format": FORMAT,
        "name": spec.name,
        "task": spec.task,
        "library": found.best.estimator.library,
        "libraries": found.libraries,
        "features": it.features,
        "classes": [],
        "quantiles": [],
        "threshold": 0.5,
        "calibration": {"kind": "none"},
        "interval": {"by": "predicted life"},
        "life": _life(spec, prepared, oof, ground.cap),
        "record": record_of(ctx, prepared, found),
    }
    whole = ground.whole(prepared, x)
    boosters = [
        each.estimator.fit(problem, whole, each.params, final_rounds(each.rounds)).booster for each in found.members
    ]
    sizes = [(len(fold.y), min(fit.curve)) for fold, fit in zip(folds, found.best.fits, strict=True)]
    return Fitted(
        Scorer(bundle, boosters),
        found,
        problem,
        {**prepared.frame.selection.dropped, **it.dropped},
        [*prepared.split.notes, *it.notes],
        sizes,
        x[ground.rows],
    )
