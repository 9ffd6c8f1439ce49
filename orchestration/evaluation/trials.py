"""Do trials in a learnt order find better settings? On the twin's trials, beside a design that fills the space.

Both arms begin with the same trials and run as many; what is compared is the true result of the settings that each
would then recommend, by the same rule, or of today's recipe where there is none or those settings truly break a limit.
Mixes are judged by what the order brings over the space-filling trials; a protocol, which a line would run at once, by
what it brings over the recipe, and it must not cross what the line may not cross.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np

from models.optimizer.bayesian import kept_of, settings_of
from models.optimizer.bayesian_spec import Bayesian
from orchestration.benchmarks.outcome import over_draws
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from pipelines.control_plan.site import Site
from pipelines.optimizers.bayesian import least_trials, next_trials, recommended, spread_out
from pipelines.optimizers.runs import Floats
from pipelines.twin import formation_trials, laboratory
from pipelines.twin.formation_trials import FormationTrials
from pipelines.twin.laboratory import Laboratory

BATCHES = 4
_MARGIN, _EFFICIENCY = "plating_margin_ratio", "first_cycle_efficiency_pct"
_SAME_PCT = 0.05  # of efficiency, less than a trial of a few trays tells


class Trials(Protocol):
    """Trials of the twin: today's settings, and what settings truly bring and what is measured of it."""

    @property
    def standard(self) -> Floats:
        """Settings of today's recipe, shape (k,)."""

    def true(self, settings: Floats) -> Floats:
        """Results, shape (n, k) to (n, r)."""

    def measured(self, settings: Floats, first: int) -> Floats:
        """Results as measured in trials numbered from `first` on."""


@dataclass(frozen=True)
class Place:
    """Where trials are run: names of results, in their order."""

    trials: Trials
    results: tuple[str, ...]

    def true(self, settings: Floats) -> dict[str, Floats]:
        """True results by name."""
        return dict(zip(self.results, self.trials.true(settings).T, strict=True))

    def measured(self, settings: Floats) -> dict[str, Floats]:
        """Measured results by name."""
        return dict(zip(self.results, self.trials.measured(settings, 0).T, strict=True))


@dataclass(frozen=True)
class Arms:
    """True value of what is chosen after the learnt order and the space-filling one, and of today's recipe.

    `crossed` tells which limits of the line the true results of the learnt order's choice cross.
    """

    learnt: float
    filled: float
    recipe: float
    crossed: list[str] = field(default_factory=list)


def evaluate(kind: Bayesian, ground: Ground) -> Evaluation:
    """Pair the learnt order with the space-filling one, for every seed; the figure is the true value of the choice."""
    settings = tuple(one.of for one in kind.vary)
    results = {laboratory.SETTINGS: laboratory.RESULTS, formation_trials.SETTINGS: formation_trials.RESULTS}
    told = results.get(settings)
    if told is None or not {kind.improve.of, *(one.of for one in kind.keep)} <= set(told):
        return Evaluation("not_run", "the twin knows trials of a cathode's mix and of a formation protocol only")
    is_mix = settings == laboratory.SETTINGS
    arms = []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"trials {seed}", no, len(ground.seeds))
        place = Place((Laboratory if is_mix else FormationTrials)(ground.site, seed), told)
        arms.append(_arms(kind, place, ground.site, seed))
    return (_judged if is_mix else _judged_by_recipe)(kind, ground, arms)


def _arms(kind: Bayesian, place: Place, site: Site, seed: int) -> Arms:
    settings, first = settings_of(kind), least_trials(len(kind.vary))
    count = first + BATCHES * kind.batch
    filled = spread_out(settings, count, seed)
    learnt = filled[:first]
    for _ in range(BATCHES):
        done = place.measured(learnt)
        found = next_trials(
            settings, learnt, done[kind.improve.of], kept_of(kind, done),
            is_higher_better=kind.improve.to == "higher", count=kind.batch, seed=seed,
        )  # fmt: skip
        learnt = np.vstack([learnt, found.settings])
    today = place.true(place.trials.standard[None])
    standard = float(today[kind.improve.of][0])
    best, other = (_chosen(kind, place, each) for each in (learnt, filled))
    crossed = _crossed(site, place.true(best), today) if best is not None else []
    return Arms(_value(kind, place, best, standard), _value(kind, place, other, standard), standard, crossed)


def _chosen(kind: Bayesian, place: Place, settings: Floats) -> Floats | None:
    """Settings that are recommended after trials, shape (1, k); None where none is likely enough to keep the limits."""
    done = place.measured(settings)
    best = recommended(
        settings_of(kind), settings, done[kind.improve.of], kept_of(kind, done),
        is_higher_better=kind.improve.to == "higher",
    )  # fmt: skip
    return settings[best : best + 1] if best >= 0 else None


def _value(kind: Bayesian, place: Place, chosen: Floats | None, standard: float) -> float:
    """True value of what is chosen; today's recipe's where there is none, or it truly breaks a limit."""
    if chosen is None:
        return standard
    true = place.true(chosen)
    keeps = all(each.holds[0] for each in kept_of(kind, true))
    return float(true[kind.improve.of][0]) if keeps else standard


def _crossed(site: Site, true: dict[str, Floats], today: dict[str, Floats]) -> list[str]:
    """What the line may not cross and the true results of a protocol do: the plan's limits, plating, lost lithium."""
    found = []
    for name, values in true.items():
        row, value = site.plan.by_code.get(name), float(values[0])
        low, high = (-np.inf, np.inf) if row is None else (row.lsl or -np.inf, row.usl or np.inf)
        if not low <= value <= high:
            found.append(f"{name} {value:.4g}, by the plan {low:g} to {high:g}")
    if _MARGIN in true and true[_MARGIN][0] <= 0:
        found.append(f"lithium plates: {_MARGIN} {true[_MARGIN][0]:.3f}")
    if _EFFICIENCY in true and true[_EFFICIENCY][0] < today[_EFFICIENCY][0] - _SAME_PCT:
        found.append(f"{_EFFICIENCY} {true[_EFFICIENCY][0]:.2f}, today {today[_EFFICIENCY][0]:.2f}")
    return found


def _judged(kind: Bayesian, ground: Ground, arms: list[Arms]) -> Evaluation:
    values = np.array([(one.learnt, one.filled, one.recipe) for one in arms])
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


def _judged_by_recipe(kind: Bayesian, ground: Ground, arms: list[Arms]) -> Evaluation:
    values = np.array([(one.learnt, one.filled, one.recipe) for one in arms])
    sign = 1.0 if kind.improve.to == "higher" else -1.0
    gain = over_draws((sign * (values[:, 0] - values[:, 2])).tolist(), "plants")
    over_filled = over_draws((sign * (values[:, 0] - values[:, 1])).tolist(), "plants")
    low, high = cast("float", gain.low), cast("float", gain.high)
    crossed = [f"plant {seed}: {text}" for seed, one in zip(ground.seeds, arms, strict=True) for text in one.crossed]
    trials = least_trials(len(kind.vary)) + BATCHES * kind.batch
    told = f"after {trials} trials {gain.value:.2f} [{low:.2f}, {high:.2f}] better than the fixed recipe"
    return Evaluation(
        "working" if low > 0 and not crossed else "failing",
        told + (f"; crossed: {crossed[0]}" if crossed else ""),
        metric=f"{kind.improve.of}: true value of what is chosen",
        value=float(values[:, 0].mean()),
        baseline=float(values[:, 2].mean()),
        threshold=0.0,
        interval=(low, high),
        figures={
            "gain": gain.value,
            "interval_of": "true value with the recipe less after the learnt order, Student's t over plants",
            "seeds": list(ground.seeds),
            "gain_by_seed": list(gain.values),
            "gain_over_space_filling": {"value": over_filled.value, "low": over_filled.low, "high": over_filled.high},
            "trials": trials,
            "crossed": crossed,
        },
    )
