"""What a step loses: the share follows from drivers in the causal graph, and whether one is lost from its identity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.twin.rng import hash_uniform
from pipelines.twin.table import Bools, Floats, Ints
from pipelines.twin.world import World


def is_lost(world: World, loss: str, numbers: Ints, z: Callable[[str], Floats]) -> Bools:
    """Whether each of some cells, rolls or batches is lost.

    Args:
        world: the plant.
        loss: its name in twin.yaml, under `scrap_drivers` and, with `_ratio`, under `scrap`.
        numbers: of the cells, rolls or batches.
        z: their standardised values of a characteristic.
    """
    drivers = world.graph.loss_drivers[loss]
    effect = sum((weight * z(code) for code, weight in drivers.items()), np.zeros(len(numbers)))
    # exp(w z) has the mean exp(w^2/2): divided out, so that the ratio stays the share that is lost.
    size = float(np.sqrt(sum(weight**2 for weight in drivers.values())))
    share = world.p(f"scrap.{loss}_ratio") * np.exp(effect - size**2 / 2)
    uniform = hash_uniform(world.salt(f"lost_{loss}"), numbers)
    lost: Bools = uniform < np.clip(share, 0, world.p("scrap.most"))
    return lost
