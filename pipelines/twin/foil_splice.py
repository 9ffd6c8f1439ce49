"""Where a lot of foil ends within a mother roll, and the coater splices the next lot on.

Foil comes as coils, and a lot is enough for `plan.rolls_per_foil_lot` mother rolls, but never to the metre: what is
left of it on its last roll runs out somewhere on the web, and the first coil of the next lot is spliced on while the
coater runs (domain 1.3). MES counts the splices of a roll; where it counted none, the lot was changed between two
rolls. So was one that was held: what stands in for it comes from the store. Some web around the splice is cut out and
is not among the roll's metres; the counter is set anew after that, so that what it tells is a little off (domain 5).
"""

from __future__ import annotations

import numpy as np

from pipelines.twin.clock import HOUR
from pipelines.twin.course import SPARE
from pipelines.twin.names import lot_id
from pipelines.twin.rng import hash_uniform
from pipelines.twin.table import Bools, Floats, Ints, Table, take
from pipelines.twin.world import World

FEED = "mes__foil_splice"
_FOIL = {"cathode": "aluminium_foil", "anode": "copper_foil"}


def foil_of(electrode: str) -> str:
    """Material that an electrode is coated on."""
    return _FOIL[electrode]


def is_spliced(world: World, electrode: str, first: Ints) -> Bools:
    """Whether the lot of foil that each roll begins with ends on it.

    Args:
        world: the plant, as it made these rolls.
        electrode: cathode or anode.
        first: first cell that each roll goes into.
    """
    level, lot = f"{electrode}_roll", f"lot:{foil_of(electrode)}"
    rolls, now = world.numbers(level, first), world.numbers(lot, first)
    follows = world.numbers(lot, first + world.cells_per(level)) == now + 1
    counted = world.shown(world.site.plan.by_code[f"{electrode}_splice_count"], first, {}, rolls)
    spliced: Bools = follows & (now < SPARE) & (rolls < SPARE) & (np.rint(counted) >= 1)
    return spliced


def foil_splices(world: World, electrode: str, first: Ints, ids: Table, coating_h: float) -> Table:
    """Records of the splices at which the lot of foil changes, and the metre where each truly lies, `true_at_m`.

    Args:
        world: the plant, as it made these rolls.
        electrode: cathode or anode.
        first: first cell that each roll goes into.
        ids: columns of the rolls' own records that these have too, `event_s` being when the coater had finished a roll.
        coating_h: hours that it needs for one.
    """
    rows = is_spliced(world, electrode, first)
    first, names = first[rows], take(ids, rows)
    lots = world.numbers(f"lot:{foil_of(electrode)}", first)
    p, length_m = world.p, world.p("plan.roll_length_m")

    def between(what: str, least: float, most: float) -> Floats:
        drawn: Floats = least + (most - least) * hash_uniform(world.salt(f"foil_splice_{electrode}_{what}"), lots)
        return drawn

    shortest_m, error_m = p("foil_splice.shortest_m"), p("foil_splice.error_m")
    true_m = between("at", shortest_m, length_m - shortest_m)
    return {
        **names,
        "splice_no": np.ones(len(first), dtype=np.int32),
        "ended_lot_id": lot_id(foil_of(electrode), lots).astype(object),
        "begun_lot_id": lot_id(foil_of(electrode), lots + 1).astype(object),
        "at_m": true_m + between("error", -error_m, error_m),
        "scrap_m": between("scrap", p("foil_splice.scrap_least_m"), p("foil_splice.scrap_most_m")),
        "true_at_m": true_m,
        "event_s": names["event_s"] - coating_h * HOUR * (1 - true_m / length_m),
    }
