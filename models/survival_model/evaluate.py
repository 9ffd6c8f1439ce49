"""A model on lives it has not seen: figures with intervals, beside what one would say and do without it."""

from __future__ import annotations

import numpy as np

from models.evaluation.evaluate import Evaluation, answer
from models.evaluation.metrics import with_intervals
from models.prepare import Prepared
from models.scoring.runtime import Array, Scorer
from models.spec import PredictiveSpec
from models.survival_model.lives import Lives, PreparedLives
from models.survival_model.metrics import concordance, cost_rate, life_figures, squared_loss
from models.survival_model.policy import (
    Bill,
    Histories,
    best_interval,
    by_prediction,
    fixed_interval,
    histories,
    run_to_failure,
)
from models.survival_model.spec import Policy, SurvivalSpec

_AGES = 20


def lives_of(spec: PredictiveSpec, prepared: Prepared) -> tuple[SurvivalSpec, PreparedLives]:
    """The family's own spec and rows.

    Raises:
        TypeError: they are another family's.
    """
    if not isinstance(spec, SurvivalSpec) or not isinstance(prepared, PreparedLives):
        raise TypeError("a solution of remaining life is judged on prepared lives")
    return spec, prepared


def evaluate_lives(spec: PredictiveSpec, prepared: Prepared, scorer: Scorer, rows: Array) -> Evaluation:
    """All figures of a model on some rows.

    Args:
        spec: the solution.
        prepared: the frame the rows belong to.
        scorer: the model.
        rows: rows the model has not seen, of lives that are known at least in part.
    """
    own, ground = lives_of(spec, prepared)
    outputs = answer(own, ground, scorer, rows)
    lives, groups = ground.lives.take(rows), ground.order.group[rows]
    life = scorer.bundle["life"]
    figures = life_figures(lives, outputs.predicted, outputs.finished, groups, life, own.target.horizon)
    if own.policy is not None:
        past = histories(ground.whole.take(rows), groups)
        bill = by_prediction(past, outputs.finished["value"], life["act_below"], own.policy)
        figures["policy_cost"] = cost_rate(bill, past.order[past.first], len(rows))
    naive = naive_lives(ground, rows)
    losses = {name: float(squared_loss(lives, each).mean()) for name, each in naive.items()}
    mine = float(squared_loss(lives, outputs.finished["value"]).mean())
    best = min(losses, key=lambda name: losses[name])
    ones = np.ones(len(rows))
    return Evaluation(
        outputs=outputs,
        metrics=with_intervals(figures, groups, own.search.seed),
        baselines=naive,
        baseline_metrics={name: concordance(lives, each, groups)(ones) for name, each in naive.items()},
        best_baseline=best,
        skill=1 - float(np.sqrt(mine / losses[best])) if losses[best] > 0 else 0.0,
    )


def naive_lives(prepared: PreparedLives, rows: Array) -> dict[str, Array]:
    """What one would say without a model: the mean life left, over all, and of lives of the same age.

    Means are restricted to the cap and made of development lives by Kaplan and Meier, so that lives that go on count.
    """
    development = prepared.split.development
    learnt = prepared.learnt.take(development)
    out = {"prior": np.full(len(rows), _mean_life(learnt))}
    age, age_then = prepared.lives.age, learnt.age
    if age is not None and age_then is not None:
        edges = np.unique(np.nanquantile(age_then, np.linspace(0, 1, _AGES + 1)))[1:-1]
        place, asked = np.searchsorted(edges, age_then), np.searchsorted(edges, age[rows])
        means = [
            _mean_life(learnt.take(np.flatnonzero(place == each))) if (place == each).any() else out["prior"][0]
            for each in range(len(edges) + 1)
        ]
        out["life_left_at_age"] = np.asarray(means)[asked]
    return out


def _mean_life(lives: Lives) -> float:
    """Mean life until the last one that was seen: the area under Kaplan and Meier's curve."""
    from scipy.stats import CensoredData, ecdf

    ended = np.isfinite(lives.upper)
    if not ended.any():
        return float(lives.lower.max())
    middle = (lives.lower[ended] + lives.upper[ended]) / 2
    alive = ecdf(CensoredData(uncensored=middle, right=lives.lower[~ended])).sf
    longest = float(max(middle.max(), lives.lower.max()))
    steps = np.concatenate([[0.0], alive.quantiles, [longest]])
    return float(np.diff(steps) @ np.concatenate([[1.0], alive.probabilities]))


def other_policies(spec: SurvivalSpec, prepared: PreparedLives, rows: Array) -> dict[str, tuple[Histories, Bill]]:
    """What running to failure and the best fixed interval of the development lives cost on some rows.

    Raises:
        ValueError: the solution has no policy.
    """
    policy: Policy | None = spec.policy
    if policy is None:
        raise ValueError("the solution prices nothing")
    group = prepared.order.group
    before = prepared.split.development
    interval = best_interval(histories(prepared.learnt_whole.take(before), group[before]), policy)
    past = histories(prepared.whole.take(rows), group[rows])
    return {
        "run_to_failure": (past, run_to_failure(past, policy)),
        "fixed_interval": (past, fixed_interval(past, interval, policy)),
    }
