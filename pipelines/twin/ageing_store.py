"""The ageing store: trays put into the first free slot after formation and taken out for the OCV test."""

from __future__ import annotations

import heapq

import numpy as np

from pipelines.twin.cells import Cells
from pipelines.twin.clock import HOUR
from pipelines.twin.table import Array, Floats, Table, codes, concat
from pipelines.twin.world import World


class AgeingStore:
    """The slots of a site, and which of them have a tray.

    Args:
        world: the plant.
        until_s: of the slots that have a tray, by code, plant seconds at which it is taken out; moved on by each day.
    """

    def __init__(self, world: World, until_s: dict[str, float]) -> None:
        self._world, self._until_s = world, until_s
        self._codes = _slots(world)
        self._number = {code: number for number, code in enumerate(self._codes)}

    def moves(self, formed: Cells) -> Table:
        """Records of the trays that came out of formation: one when a tray is put in, another when it is taken out.

        A tray comes with its last cell. The rule of the store today: the first free slot, in the order of the slots.

        Args:
            formed: the day's cells at the end of formation.
        """
        p, (tray, last_s) = self._world.p, formed.full_trays()
        put_s = last_s + (p("lead.formation_h") + p("store.put_in_after_h")) * HOUR
        out_s = last_s + (p("lead.ageing_h") - p("store.taken_out_before_h")) * HOUR
        places = [code.split("/") for code in self._first_free(put_s, out_s)]
        table: dict[str, Array] = {
            "tray_id": codes("T", tray, 7).astype(object),
            "store_id": np.array([store for store, _ in places], dtype=object),
            "slot_code": np.array([slot for _, slot in places], dtype=object),
            "put_in_s": put_s,
        }
        unknown = np.full(len(put_s), np.nan)
        put_in = table | {"taken_out_s": unknown, "event_s": put_s, "known_s": put_s + 60.0}
        taken_out = table | {"taken_out_s": out_s, "event_s": put_s, "known_s": out_s + 60.0}
        return concat([put_in, taken_out])

    def _first_free(self, put_s: Floats, out_s: Floats) -> list[str]:
        """The first slot that is free when each tray comes; the one that is free soonest when none is."""
        taken = [(until, self._number[code]) for code, until in self._until_s.items()]
        free = [number for code, number in self._number.items() if code not in self._until_s]
        heapq.heapify(taken)
        chosen = []
        for come_s, leave_s in zip(put_s.tolist(), out_s.tolist(), strict=True):
            while taken and (taken[0][0] <= come_s or not free):
                heapq.heappush(free, heapq.heappop(taken)[1])
            number = heapq.heappop(free)
            heapq.heappush(taken, (leave_s, number))
            chosen.append(self._codes[number])
        self._until_s.clear()
        self._until_s.update({self._codes[number]: until for until, number in taken})
        return chosen


def _slots(world: World) -> list[str]:
    """`store/slot` of each slot, zone by zone, column by column, from below."""
    columns, levels = int(world.p("store.columns_of_zone")), int(world.p("store.levels"))
    return [
        f"{store.id}/Z{zone:02d}-{column:02d}-{level:02d}"
        for store in world.site.machines("ageing_store")
        for zone in range(1, store.positions_by_name["zone"] + 1)
        for column in range(1, columns + 1)
        for level in range(1, levels + 1)
    ]
