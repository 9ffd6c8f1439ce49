"""The coat's weight across the web: what a slot die, its bolts, heat and dried slurry make of it, lip by lip.

With the recipe's bolts a roll is as uneven as its record says (`cross_web_range_pct`); where it is thick and thin
follows from the die: a lasting shape, a slow drift, the bow of a warmer or colder die, and slurry that dries on a lip
until that is cleaned (domain 1.3). A bolt bends the lip: most where it sits, less beside it. The pump doses the slurry,
so that what one lip gets less of, the others get more of.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pipelines.twin.rng import hash_normal, hash_uniform
from pipelines.twin.table import Floats, Ints, Table
from pipelines.twin.world import World

FEED = "mes__web_profile"
_WAVES = 6


class WebProfile:
    """The die of one electrode's coater.

    Args:
        world: the plant.
        electrode: cathode or anode.
    """

    def __init__(self, world: World, electrode: str) -> None:
        self._world, self._electrode = world, electrode
        rows = world.site.plan.by_code
        self._weight, self._range = rows[f"{electrode}_areal_weight_g_m2"], rows[f"{electrode}_cross_web_range_pct"]
        self._lip_weight, self._bolt = rows[f"{electrode}_lip_weight_g_m2"], rows[f"{electrode}_die_bolt_um"]
        coater = world.site.machines_by_id[world.machines(self._weight)[0]]
        self._lips: Ints = np.arange(coater.positions_by_name["lip"])

    @property
    def lip_count(self) -> int:
        """Lips across the web, each with a bolt."""
        return len(self._lips)

    @cached_property
    def response_pct_um(self) -> Floats:
        """% of the weight of each lip per um of each bolt, shape (lips, bolts); a bolt's sum over the lips is 0."""
        p = self._world.p
        gain = p("web_profile.bolt_pct_um") * np.exp(p("web_profile.bolt_sd") * self._hashed("bolt_gain", self._lips))
        reach = p("web_profile.bolt_lips") * np.exp(p("web_profile.bolt_sd") * self._hashed("bolt_reach", self._lips))
        bent = gain * np.exp(-0.5 * ((self._lips[:, None] - self._lips) / reach) ** 2)
        found: Floats = bent - bent.mean(axis=0)
        return found

    def recipe_pct(self, first: Ints) -> Floats:
        """How far the weight of each lip lies from the roll's mean with the recipe's bolts, %, shape (rolls, lips).

        Args:
            first: first cell that each roll goes into.
        """
        shape = self._standing + self._drifted(first) + self._bowed(first) - self._dried(first)
        shape = shape - shape.mean(axis=1, keepdims=True)
        uneven = self._world.value(self._range, self._world.z(self._range.code, first, {}))
        found: Floats = shape * (uneven / np.ptp(shape, axis=1))[:, None]
        return found

    def true_pct(self, first: Ints, bolt_um: Floats) -> Floats:
        """The same with bolts that stand elsewhere.

        Args:
            first: as of `recipe_pct`.
            bolt_um: how far each bolt stands from the recipe's place, shape (rolls, bolts) or (bolts,).
        """
        moved = np.broadcast_to(bolt_um, (len(first), self.lip_count))
        found: Floats = self.recipe_pct(first) + moved @ self.response_pct_um.T
        return found

    def shown(self, first: Ints, numbers: Ints, bolt_um: Floats) -> tuple[Floats, Floats]:
        """What the gauges show of rolls: weight of each lip in g/m2, and where its bolt stands in um.

        Args:
            first: as of `recipe_pct`.
            numbers: of the rolls; the gauges' errors follow from them.
            bolt_um: as of `true_pct`.
        """
        world, lip = self._world, self._lip_weight
        mean = world.value(self._weight, world.z(self._weight.code, first, {}))[:, None]
        weight = mean * (1 + self.true_pct(first, bolt_um) / 100)
        weight = weight + lip.gauge_sd * self._noise("weight", numbers)
        stands = (self._bolt.nominal or 0.0) + np.broadcast_to(bolt_um, weight.shape)
        stands = stands + self._bolt.gauge_sd * self._noise("bolt", numbers)
        return _read(weight, lip.resolution), _read(stands, self._bolt.resolution)

    def bolts_um(self, first: Ints) -> Floats:
        """How far each bolt stands from the recipe's place as it was set when a roll was made, um, (rolls, bolts)."""
        found: Floats = np.zeros((len(first), self.lip_count))
        for move in self._world.course.moves.get(self._bolt.code, ()):
            bolts = slice(None) if move.position is None else slice(move.position - 1, move.position)
            found[first >= move.from_cell, bolts] = move.value - (self._bolt.nominal or 0.0)
        return found

    def _hashed(self, name: str, *keys: Ints) -> Floats:
        return hash_normal(self._world.salt(f"web_profile_{self._electrode}_{name}"), *keys)

    def _noise(self, name: str, numbers: Ints) -> Floats:
        return self._hashed(f"{name}@gauge", numbers[:, None], self._lips)

    def _waves(self, weights: Floats) -> Floats:
        """Smooth shapes over the lips: waves whose size falls with their number, shape (..., waves) to (..., lips)."""
        number = np.arange(1, _WAVES + 1)
        over = np.cos(np.pi * number[:, None] * (self._lips + 0.5) / self.lip_count)
        found: Floats = (weights / number) @ over
        return found

    @cached_property
    def _standing(self) -> Floats:
        p = self._world.p
        smooth = self._waves(self._hashed("standing", np.arange(_WAVES)))
        rough = p("web_profile.rough") * self._hashed("rough", self._lips)
        found: Floats = p("web_profile.standing") * (smooth + rough)
        return found

    def _drifted(self, first: Ints) -> Floats:
        """A shape that goes from one to the next over days."""
        p = self._world.p
        place = self._rolls_before(first) / p("web_profile.drift_rolls")
        knot, between = np.floor(place).astype(np.int64), (place % 1)[:, None]
        waves = np.arange(_WAVES)
        before, after = (self._waves(self._hashed("drift", knot[:, None] + step, waves)) for step in (0, 1))
        found: Floats = p("web_profile.drift") * (before * (1 - between) + after * between)
        return found

    def _bowed(self, first: Ints) -> Floats:
        """Warm slurry opens the die in its middle."""
        world = self._world
        warm = world.z(f"{self._electrode}_coater_slurry_temp_c", first, {})
        across = (self._lips + 0.5) / self.lip_count * 2 - 1
        found: Floats = world.p("web_profile.bow") * warm[:, None] * (1 - across**2)
        return found

    def _dried(self, first: Ints) -> Floats:
        """Slurry dries on a lip, another one each time, until the die is cleaned."""
        p, rolls = self._world.p, self._rolls_before(first)
        span = int(p("web_profile.cleaned_after_rolls"))
        salted = self._world.salt(f"web_profile_{self._electrode}_dried_lip")
        lip = hash_uniform(salted, rolls // span) * self.lip_count
        grown = (rolls % span / span)[:, None]
        near = np.exp(-0.5 * ((self._lips + 0.5 - lip[:, None]) / p("web_profile.dried_lips")) ** 2)
        found: Floats = p("web_profile.dried") * grown * near
        return found

    def _rolls_before(self, first: Ints) -> Ints:
        """Rolls that the die made before, the scrapped ones not counted."""
        return first // self._world.cells_per(f"{self._electrode}_roll")


def web_profiles(world: World, electrode: str, first: Ints, ids: Table) -> Table:
    """Records of rolls, one for each lip.

    Args:
        world: the plant, as it made these rolls.
        electrode: cathode or anode.
        first: first cell that each roll goes into.
        ids: columns of the rolls' own records that these have too.
    """
    profile = WebProfile(world, electrode)
    numbers, count = world.numbers(f"{electrode}_roll", first), profile.lip_count
    weight, bolt = profile.shown(first, numbers, profile.bolts_um(first))
    return {
        **{name: np.repeat(values, count) for name, values in ids.items()},
        "lip_no": np.tile(np.arange(1, count + 1, dtype=np.int32), len(first)),
        "lip_weight_g_m2": weight.ravel(),
        "die_bolt_um": bolt.ravel(),
    }


def _read(values: Floats, resolution: float) -> Floats:
    found: Floats = np.round(np.round(values / resolution) * resolution, 12)
    return found
