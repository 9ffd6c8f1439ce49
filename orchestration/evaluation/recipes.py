"""Do recipes run better where they are told to? Released ones are run on the twin's line, beside today's speed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np

from models.optimizer.recipe_spec import DENSITY, OUTCOMES, SETTINGS, RecipeTransfer
from models.optimizer.recipe_transfer import learnt, limits_of, line_of, recipes_of, windows
from models.optimizer.spec import OptimizerSpec
from orchestration.benchmarks.outcome import over_draws
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from pipelines.optimizers.recipe_window import Limit, Line
from pipelines.optimizers.runs import Bools, Floats
from pipelines.twin.recipe_line import OUTCOMES as SHOWN
from pipelines.twin.recipe_line import RECIPE, RecipeLine, recipe_records, wanted
from pipelines.twin.world import World

RECIPES, ROLLS = 60, 40


@dataclass
class Arms:
    """A line: good metres per hour of its released recipes, as told and at today's speed.

    Attributes:
        told, today: mean over recipes, m/h. released: how many of `RECIPES`.
        held_in_vain: recipes on hold whose mean outcomes keep every limit at some speed and load.
        outside: by outcome, share of the rolls that are beyond its limit.
        crossed: sentences, one for each range of a set-point that was left, and each limit that a recipe's true mean is
            beyond.
    """

    told: float
    today: float
    released: int
    held_in_vain: int
    outside: dict[str, float]
    crossed: list[str] = field(default_factory=list)


def evaluate(spec: OptimizerSpec, kind: RecipeTransfer, ground: Ground) -> Evaluation:
    """Pair each released recipe at the speed that it is told with today's, on the same rolls, for every seed.

    Both run at the load that is told: at today's load another density would miss its limits anyhow. Of the rolls of all
    lines no more may be beyond a limit than the intervals leave: they promise that of trials and rolls together, not of
    each line.
    """
    arms = []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"line {seed}", no, len(ground.seeds))
        arms.append(_arms(spec, kind, ground, seed))
    return _judged(kind, ground, arms)


def _arms(spec: OptimizerSpec, kind: RecipeTransfer, ground: Ground, seed: int) -> Arms:
    site, where = ground.site, spec.solution
    world = World(site, seed, "baseline", 1.0)
    trials = recipe_records(world, 0)["mes__recipe_trial"]
    line, plant = line_of(kind, site, where), RecipeLine(world)
    names = ("solids_pct", "viscosity_mpa_s", "areal_weight_g_m2", *SETTINGS, *SHOWN)
    fits = learnt(line, {name: np.asarray(trials[name], dtype=np.float64) for name in names})
    asked = wanted(world, np.arange(RECIPES))
    columns = {name: asked[:, place] for place, name in enumerate(RECIPE)}
    told = windows(kind, site, line, fits, recipes_of(columns), columns[DENSITY], where)
    is_released = np.array([each.verdict == "release" for each in told])
    limits = limits_of(kind, site, where)
    speed, load = (np.array([getattr(each, name) for each in told]) for name in ("speed_m_min", "load_n_mm"))
    out, good = {}, {}
    rows = np.repeat(np.flatnonzero(is_released), ROLLS)
    for arm, speeds in (("told", speed), ("today", np.full(RECIPES, line.speed_m_min))):
        rolls = plant.rolls(asked[rows], speeds[rows], load[rows], np.arange(len(rows)))
        keeps = _keeps(kind, limits, rolls, asked[rows, -1])
        good[arm] = float(np.mean(speeds[rows] * 60 * np.all(list(keeps.values()), axis=0))) if len(rows) else 0.0
        out[arm] = {name: float(1 - each.mean()) for name, each in keeps.items()} if len(rows) else {}
    crossed = _left(line, speed[is_released], load[is_released])
    means = _keeps(kind, limits, plant.true(asked, speed, load), asked[:, -1])
    crossed += [f"{name}: a mean beyond its limit" for name, keeps in means.items() if not keeps[is_released].all()]
    in_vain = sum(_could_run(kind, limits, line, plant, asked[row]) for row in np.flatnonzero(~is_released))
    return Arms(good["told"], good["today"], int(is_released.sum()), in_vain, out["told"], crossed)


def _keeps(
    kind: RecipeTransfer, limits: list[Limit], values: Floats, density_g_cm3: Floats | float
) -> dict[str, Bools]:
    """By outcome, which rows are within its limit."""
    found: dict[str, Bools] = {}
    for limit in limits:
        shown = values[:, SHOWN.index(limit.name)]
        found[limit.name] = shown <= limit.at if limit.is_upper else shown >= limit.at
    found[DENSITY] = np.abs(values[:, SHOWN.index(DENSITY)] - density_g_cm3) <= kind.density_tolerance_g_cm3
    return found


def _could_run(kind: RecipeTransfer, limits: list[Limit], line: Line, plant: RecipeLine, recipe: Floats) -> bool:
    speeds, loads = (each.ravel() for each in np.meshgrid(line.speeds_m_min, line.loads_n_mm))
    true = plant.true(np.repeat(recipe[None], len(speeds), axis=0), speeds, loads)
    return bool(np.all(list(_keeps(kind, limits, true, recipe[-1]).values()), axis=0).any())


def _left(line: Line, speed: Floats, load: Floats) -> list[str]:
    """Ranges of set-points that were left, from what was run and not from what was meant."""
    return [
        f"{name} outside its range"
        for name, values, able in zip(SETTINGS, (speed, load), (line.speeds_m_min, line.loads_n_mm), strict=True)
        if np.any((values < able[0] - 1e-9) | (values > able[-1] + 1e-9))
    ]


def _outside(arms: list[Arms]) -> dict[str, float]:
    """By outcome, share of all rolls that are beyond its limit."""
    every = max(sum(one.released for one in arms), 1)
    return {
        name: sum(one.released * one.outside.get(name, 0.0) for one in arms) / every for name in (*OUTCOMES, DENSITY)
    }


def _judged(kind: RecipeTransfer, ground: Ground, arms: list[Arms]) -> Evaluation:
    shares = [one.told / one.today - 1 if one.today else 0.0 for one in arms]
    gain = over_draws(shares, "lines")
    low, high = cast("float", gain.low), cast("float", gain.high)
    crossed = [f"line {seed}: {text}" for seed, one in zip(ground.seeds, arms, strict=True) for text in one.crossed]
    outside = _outside(arms)
    crossed += [f"{name}: {share:.1%} of the rolls" for name, share in outside.items() if share > 1 - kind.confidence]
    told = f"{gain.value:.1%} [{low:.1%}, {high:.1%}] more good metres per hour than at today's speed"
    if crossed:
        told += f"; crossed: {crossed[0]}"
    held = sum(RECIPES - one.released for one in arms)
    return Evaluation(
        "working" if low > 0 and not crossed else "failing",
        told,
        metric="good metres per hour of released recipes",
        value=float(np.mean([one.told for one in arms])),
        baseline=float(np.mean([one.today for one in arms])),
        threshold=0.0,
        interval=(low, high),
        figures={
            "gain": gain.value,
            "interval_of": "share of today's good metres per hour, Student's t over lines",
            "seeds": list(ground.seeds),
            "gain_by_seed": shares,
            "recipes": RECIPES * len(arms),
            "released": sum(one.released for one in arms),
            "held": held,
            "held_in_vain": sum(one.held_in_vain for one in arms),
            "rolls_outside": outside,
            "rolls_outside_on_the_worst_line": {
                name: max(one.outside.get(name, 0.0) for one in arms) for name in outside
            },
            "crossed": crossed,
        },
    )
