"""Do trials in a learnt order find better mixes? In the twin's laboratory, beside a design that fills the space.

Both arms begin with the same trials and run as many; what is compared is the true result of the mix that each would
then recommend, by the same rule, or of today's recipe where there is none or that mix truly breaks a limit.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from models.optimizer.bayesian import kept_of, settings_of
from models.optimizer.bayesian_spec import Bayesian
from orchestration.benchmarks.outcome import over_draws
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from pipelines.optimizers.bayesian import least_trials, next_trials, recommended, spread_out
from pipelines.optimizers.runs import Floats
from pipelines.twin.laboratory import RESULTS, SETTINGS, Laboratory

BATCHES = 4


def evaluate(kind: Bayesian, ground: Ground) -> Evaluation:
    """Pair the learnt order with the space-filling one, for every seed; the figure is the true value of the choice."""
    if tuple(one.of for one in kind.vary) != SETTINGS or not {kind.improve.of, *_kept(kind)} <= set(RESULTS):
        return Evaluation("not_run", "the twin's laboratory knows mixes of a cathode only")
    pairs = []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"laboratory {seed}", no, len(ground.seeds))
        pairs.append(_arms(kind, Laboratory(ground.site, seed), seed))
    return _judged(kind, ground, np.array(pairs))


def _kept(kind: Bayesian) -> list[str]:
    return [one.of for one in kind.keep]


def _arms(kind: Bayesian, laboratory: Laboratory, seed: int) -> tuple[float, float, float]:
    """True value of what is chosen after the learnt order, after the space-filling one, and of today's recipe."""
    settings, first = settings_of(kind), least_trials(len(kind.vary))
    count = first + BATCHES * kind.batch
    filled = spread_out(settings, count, seed)
    learnt = filled[:first]
    for _ in range(BATCHES):
        done = _measured(laboratory, learnt)
        found = next_trials(
            settings, learnt, done[kind.improve.of], kept_of(kind, done),
            is_higher_better=kind.improve.to == "higher", count=kind.batch, seed=seed,
        )  # fmt: skip
        learnt = np.vstack([learnt, found.settings])
    standard = _true(laboratory, laboratory.standard[None])[kind.improve.of][0]
    chosen = (_chosen(kind, laboratory, each, float(standard)) for each in (learnt, filled))
    return (*chosen, float(standard))  # type: ignore[return-value]


def _measured(laboratory: Laboratory, settings: Floats) -> dict[str, Floats]:
    return dict(zip(RESULTS, laboratory.measured(settings, 0).T, strict=True))


def _true(laboratory: Laboratory, settings: Floats) -> dict[str, Floats]:
    return dict(zip(RESULTS, laboratory.true(settings).T, strict=True))


def _chosen(kind: Bayesian, laboratory: Laboratory, settings: Floats, standard: float) -> float:
    """True value of the mix that is chosen; today's recipe's where there is none, or it truly breaks a limit."""
    done = _measured(laboratory, settings)
    best = recommended(
        settings_of(kind), settings, done[kind.improve.of], kept_of(kind, done),
        is_higher_better=kind.improve.to == "higher",
    )  # fmt: skip
    if best < 0:
        return standard
    true = _true(laboratory, settings[best : best + 1])
    keeps = all(each.holds[0] for each in kept_of(kind, true))
    return float(true[kind.improve.of][0]) if keeps else standard


def _judged(kind: Bayesian, ground: Ground, values: Floats) -> Evaluation:
    sign = 1.0 if kind.improve.to == "higher" else -1.0
    gain = over_draws((sign * (values[:, 0] - values[:, 1])).tolist(), "laboratories")
    over_recipe = over_draws((sign * (values[:, 0] - values[:, 2])).tolist(), "laboratories")
    low, high = cast("float", gain.low), cast("float", gain.high)
    trials = least_trials(len(kind.vary)) + BATCHES * kind.batch
    return Evaluation(
        "working" if low > 0 else "failing",
        f"after {trials} trials {gain.value:.2f} [{low:.2f}, {high:.2f}] better than as many that fill the space",
        metric=f"{kind.improve.of}: true value of the mix that is chosen",
        value=float(values[:, 0].mean()),
        baseline=float(values[:, 1].mean()),
        threshold=0.0,
        interval=(low, high),
        figures={
            "gain": gain.value,
            "interval_of": "true value after the learnt order less after the space-filling one, Student's t",
            "seeds": list(ground.seeds),
            "gain_by_seed": list(gain.values),
            "recipe": float(values[:, 2].mean()),
            "gain_over_recipe": {"value": over_recipe.value, "low": over_recipe.low, "high": over_recipe.high},
            "trials": trials,
        },
    )
