"""The coating line under another recipe: what a run of it at a speed and a load comes out as, and trials so far.

Formulas are of the domain's sections 1.3 and 1.4: solvent to be evaporated follows from areal weight, solids and speed;
what is dried faster holds less; thick slurry streaks at speed; porosity falls exponentially with the line load. Each
seed has a line of its own.
"""

from __future__ import annotations

import numpy as np

from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.rng import hash_normal, hash_uniform
from pipelines.twin.table import Floats, Ints, Table, codes, take
from pipelines.twin.world import World

RECIPE = ("solids_pct", "viscosity_mpa_s", "areal_weight_g_m2", "density_g_cm3")
SETTINGS = ("web_speed_m_min", "line_load_n_mm")
OUTCOMES = ("residual_solvent_ppm", "exhaust_lel_pct", "peel_strength_n_m", "defect_count_m2", "density_g_cm3")


class RecipeLine:
    """The cathode line of one plant.

    Args:
        world: the plant; its seed makes the line its own.
    """

    def __init__(self, world: World) -> None:
        self._world, self._p = world, world.p
        plan = world.site.plan.by_code
        names = (*RECIPE, *SETTINGS)
        self.today = {name: plan[f"cathode_{name}"].nominal or 0.0 for name in names}
        self._levels = [plan[f"cathode_{name}"].nominal or 0.0 for name in OUTCOMES[:4]]

    def true(self, recipes: Floats, speed_m_min: Floats, load_n_mm: Floats) -> Floats:
        """Means of a run, shape (n, 5).

        Args:
            recipes: as `RECIPE`, shape (n, 4); the density that is wanted changes nothing.
            speed_m_min: of the web.
            load_n_mm: of the calender.
        """
        solids, viscosity, weight, _ = recipes.T
        today = self.today
        heavier = weight / today["areal_weight_g_m2"]
        wetter = (100 - solids) / solids * today["solids_pct"] / (100 - today["solids_pct"])
        faster = speed_m_min / today["web_speed_m_min"]
        load = heavier * wetter * faster
        residual, lel, peel, defects = (
            level * self._own(name) for name, level in zip(OUTCOMES, self._levels, strict=False)
        )
        residual = residual * np.exp(self._effect("residual.per_load") * (load - 1))
        residual = residual * heavier ** self._effect("residual.by_weight")
        peel = peel * load ** -self._effect("peel.by_load") * heavier ** -self._effect("peel.by_weight")
        streaks = viscosity / today["viscosity_mpa_s"] * faster
        defects = defects * np.exp(self._effect("defects.per_shear") * (streaks - 1))
        return np.column_stack([residual, lel * load, peel, defects, self._density(heavier, load_n_mm)])

    def rolls(self, recipes: Floats, speed_m_min: Floats, load_n_mm: Floats, numbers: Ints) -> Floats:
        """Rolls of runs as they come out, shape (n, 5); the scatter follows from the rolls' numbers.

        Args:
            recipes: as of `true`, one row for each roll.
            speed_m_min: likewise.
            load_n_mm: likewise.
            numbers: of the rolls.
        """
        true = self.true(recipes, speed_m_min, load_n_mm)
        chance = [hash_normal(self._world.salt(f"recipe_{name}@roll"), numbers) for name in OUTCOMES]
        spread = [self._p(f"recipe.scatter.{name}") for name in OUTCOMES]
        scattered: Floats = true * np.exp(np.column_stack(chance) * spread)
        return scattered

    def _density(self, heavier: Floats, load_n_mm: Floats) -> Floats:
        least, loose = self._p("recipe.porosity.least"), self._p("recipe.porosity.loose")
        scale = self._effect("porosity.load_n_mm") * heavier ** self._p("recipe.porosity.by_weight")
        porosity = least + (loose - least) * np.exp(-load_n_mm / scale)
        density: Floats = self._p("recipe.porosity.solid_g_cm3") * (1 - porosity)
        return density

    def _own(self, name: str) -> float:
        return float(np.exp(self._p("recipe.level_sd") * self._normal(f"{name}@level")))

    def _effect(self, name: str) -> float:
        """An effect as this line has it."""
        return self._p(f"recipe.{name}") * float(np.exp(self._p("recipe.effect_sd") * self._normal(name)))

    def _normal(self, name: str) -> float:
        return float(hash_normal(self._world.salt(f"recipe.{name}"), np.zeros(1, dtype=np.int64))[0])


def wanted(world: World, numbers: Ints) -> Floats:
    """Recipes that research asks for, as `RECIPE`, shape (n, 4), by their numbers."""
    columns = [
        np.round(_between(world, name, numbers) / step) * step
        for name, step in ((name, world.p(f"recipe.asked.{name}.step")) for name in RECIPE)
    ]
    return np.column_stack(columns)


def recipe_records(world: World, day: int) -> dict[str, Table]:
    """Requests and trials of a production day by feed; the first day brings those that there were before."""
    return {"erp__recipe_request": _requests(world, day), "mes__recipe_trial": _trials(world, day)}


def _requests(world: World, day: int) -> Table:
    numbers, at_s = _numbered(world, day, "request")
    recipes = wanted(world, numbers)
    table: Table = {"recipe_id": codes("RQ", numbers, 5).astype(object), **_columns(recipes), **_told(world, at_s)}
    return take(table, _on(world, day, "request", at_s))


def _trials(world: World, day: int) -> Table:
    """Trials are runs of a roll at settings that were tried; their recipes are others than those that wait."""
    numbers, at_s = _numbered(world, day, "trial")
    recipes = wanted(world, -1 - numbers)
    speed, load = (np.round(_between(world, name, -1 - numbers)) for name in SETTINGS)
    shown = RecipeLine(world).rolls(recipes, speed, load, -1 - numbers)
    asked = {name: values for name, values in _columns(recipes).items() if name != "density_g_cm3"}
    table: Table = {
        "recipe_trial_id": codes("RT", numbers, 5).astype(object),
        **asked,
        "web_speed_m_min": speed,
        "line_load_n_mm": load,
        **{name: np.round(shown[:, place], 4) for place, name in enumerate(OUTCOMES)},
        **_told(world, at_s),
    }
    return take(table, _on(world, day, "trial", at_s))


def _columns(recipes: Floats) -> Table:
    return {name: np.round(recipes[:, place], 6) for place, name in enumerate(RECIPE)}


def _numbered(world: World, day: int, kind: str) -> tuple[Ints, Floats]:
    """Numbers from the first one that is kept, and when each was."""
    every_s = world.p(f"recipe.{kind}.every_d") * DAY
    since_s = -world.p(f"recipe.{kind}.history_d") * DAY
    last = int((world.clock.bounds(day)[1] - since_s) // every_s)
    first = 0 if day == 0 else max(0, int((world.clock.bounds(day)[0] - since_s) // every_s) - 1)
    numbers: Ints = np.arange(first, last + 1, dtype=np.int64)
    at_s: Floats = since_s + numbers.astype(np.float64) * every_s + 2 * HOUR
    return numbers, at_s


def _on(world: World, day: int, kind: str, at_s: Floats) -> np.ndarray:
    begin, end = world.clock.bounds(day)
    since = -world.p(f"recipe.{kind}.history_d") * DAY if day == 0 else begin
    found: np.ndarray = (at_s >= since) & (at_s < end)
    return found


def _told(world: World, at_s: Floats) -> Table:
    return {"event_s": at_s, "known_s": at_s + world.p("recipe.booked_after_h") * HOUR}


def _between(world: World, name: str, numbers: Ints) -> Floats:
    low, high = world.p(f"recipe.asked.{name}.low"), world.p(f"recipe.asked.{name}.high")
    values: Floats = low + (high - low) * hash_uniform(world.salt(f"recipe_{name}@asked"), numbers)
    return values
