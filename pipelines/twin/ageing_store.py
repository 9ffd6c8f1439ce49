"""The ageing store: trays put into the first free slot after formation and taken out for the OCV test."""

from __future__ import annotations

import heapq

import numpy as np

from pipelines.twin.cells import Cells
from pipelines.twin.clock import HOUR
from pipelines.twin.table import Array, Floats, Table, codes, concat
from pipelines.twin.world import World


def tray_moves(world: World, formed: Cells, free_after_s: dict[str, float]) -> Table:
    """Records of the trays that came out of formation: one when a tray is put in, another when it is taken out.

    A tray comes with its last cell. The rule of the store today: the first free slot, in the order of the slots.

    Args:
        world: the plant.
        formed: the day's cells at the end of formation.
        free_after_s: by slot, plant seconds at which its last tray is taken out; moved on by these trays.
    """
    tray, last_s = formed.full_trays()
    put_s = last_s + (world.p("lead.formation_h") + world.p("store.put_in_after_h")) * HOUR
    out_s = last_s + (world.p("lead.ageing_h") - world.p("store.taken_out_before_h")) * HOUR
    slots = _slots(world)
    chosen = [slots[each] for each in _first_free(slots, put_s, out_s, free_after_s)]
    table: dict[str, Array] = {
        "tray_id": codes("T", tray, 7).astype(object),
        "store_id": np.array([store for store, _ in chosen], dtype=object),
        "slot_code": np.array([slot for _, slot in chosen], dtype=object),
        "put_in_s": put_s,
    }
    unknown = np.full(len(put_s), np.nan)
    put_in = table | {"taken_out_s": unknown, "event_s": put_s, "known_s": put_s + 60.0}
    taken_out = table | {"taken_out_s": out_s, "event_s": put_s, "known_s": out_s + 60.0}
    return concat([put_in, taken_out])


def _slots(world: World) -> list[tuple[str, str]]:
    """Store and code of each slot, zone by zone, column by column, from below."""
    columns, levels = int(world.p("store.columns_of_zone")), int(world.p("store.levels"))
    return [
        (store.id, f"Z{zone:02d}-{column:02d}-{level:02d}")
        for store in world.site.machines("ageing_store")
        for zone in range(1, store.positions_by_name["zone"] + 1)
        for column in range(1, columns + 1)
        for level in range(1, levels + 1)
    ]


def _first_free(
    slots: list[tuple[str, str]], put_s: Floats, out_s: Floats, free_after_s: dict[str, float]
) -> list[int]:
    """Number of the first slot that is free when each tray comes; the one that is free soonest when none is."""
    taken = [
        (free_after_s.get(_key(slot), 0.0), number) for number, slot in enumerate(slots) if _key(slot) in free_after_s
    ]
    free = [number for number, slot in enumerate(slots) if _key(slot) not in free_after_s]
    heapq.heapify(taken)
    chosen = []
    for come_s, leave_s in zip(put_s.tolist(), out_s.tolist(), strict=True):
        while taken and (taken[0][0] <= come_s or not free):
            heapq.heappush(free, heapq.heappop(taken)[1])
        number = heapq.heappop(free)
        heapq.heappush(taken, (leave_s, number))
        chosen.append(number)
    free_after_s.clear()
    free_after_s.update({_key(slots[number]): until for until, number in taken})
    return chosen


def _key(slot: tuple[str, str]) -> str:
    return "/".join(slot)
