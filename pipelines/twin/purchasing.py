"""Purchase orders and stock of materials: an order-up-to rule, suppliers' lead times, and one that drifts late.

The ledgers follow from the cells that were stacked and from the days of the orders alone: they are worked out anew when
a simulation begins, and nothing has to be kept.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pipelines.twin.clock import HOUR
from pipelines.twin.rng import DAY_OFFSET, hash_normal, hash_uniform
from pipelines.twin.table import Floats, Table, concat
from pipelines.twin.world import World

_DAYS_OF_YEAR = 365.0


@dataclass(frozen=True)
class Order:
    """A purchase order.

    Attributes:
        material: what. supplier_no: of whom, from 0. day: production day on which it is placed.
        quantity_kg: how much. lead_d: lead time that the supplier quotes. late_d: days after the promise, minus: early.
    """

    material: str
    supplier_no: int
    day: int
    quantity_kg: float
    lead_d: float
    late_d: float

    @property
    def id(self) -> str:
        """Identifier."""
        return f"PO-{self.material}-{self.day + DAY_OFFSET:04d}"

    @property
    def delivered_day(self) -> float:
        """Production day of delivery, with its part of the day."""
        return self.day + self.lead_d + self.late_d


@dataclass
class Ledger:
    """Open orders and daily balance of one material, in kg, day by day."""

    stock_kg: list[float]
    open_orders: list[Order] = field(default_factory=list)
    consumed_kg: list[float] = field(default_factory=list)
    received_kg: list[float] = field(default_factory=list)


class Purchasing:
    """The ledgers of all materials, from a while before the plant's history until the day that was added last.

    Args:
        world: the plant.
        cells_of_days: cells stacked on day 0 and each later one so far, of the plant at its scale.
    """

    def __init__(self, world: World, cells_of_days: Sequence[int]) -> None:
        self._world = world
        self._begin = -int(world.p("equipment.history_days") + world.p("equipment.run_in_days"))
        self._next_day = self._begin
        self._ledgers = {
            material: Ledger([self._target_kg(material)]) for material in world.p.under("purchase.usd_per_kg")
        }
        self._placed: defaultdict[int, list[Order]] = defaultdict(list)
        self._arrived: defaultdict[int, list[Order]] = defaultdict(list)
        noise = world.p("purchase.history_cells_sd") * hash_normal(world.salt("history_cells"), np.arange(-self._begin))
        for cells in world.site.standard.cells_per_day * (1 + noise):
            self._add(float(cells))
        for count in cells_of_days:
            self.add_day(count)

    def add_day(self, cells: int) -> None:
        """Book the next day: what arrived, what its cells took, and what is ordered in the evening."""
        self._add(cells / self._world.scale)

    def _add(self, cells: float) -> None:
        day, review_d = self._next_day, int(self._world.p("purchase.review_d"))
        for material, ledger in self._ledgers.items():
            arrived = [order for order in ledger.open_orders if order.delivered_day < day + 1]
            ledger.open_orders = [order for order in ledger.open_orders if order.delivered_day >= day + 1]
            self._arrived[day] += arrived
            ledger.received_kg.append(sum(order.quantity_kg for order in arrived))
            ledger.consumed_kg.append(cells * self._kg_per_cell(material))
            ledger.stock_kg.append(ledger.stock_kg[-1] + ledger.received_kg[-1] - ledger.consumed_kg[-1])
            if (day + zlib.crc32(material.encode())) % review_d == 0:
                self._refill(material, ledger, day)
        self._next_day += 1

    def _refill(self, material: str, ledger: Ledger, day: int) -> None:
        """Order what is lacking in stock and open orders, in whole packs."""
        ordered_kg, pack_kg = sum(order.quantity_kg for order in ledger.open_orders), self._world.p("purchase.pack_kg")
        packs = np.ceil((self._target_kg(material) - ledger.stock_kg[-1] - ordered_kg) / pack_kg)
        if packs > 0:
            order = self._order(material, day, float(packs) * pack_kg)
            self._placed[day].append(order)
            ledger.open_orders.append(order)

    def _target_kg(self, material: str) -> float:
        """What lasts for the lead time, the time between two reviews and some days more."""
        p = self._world.p
        days = p(f"purchase.lead_d.{material}") + p("purchase.review_d") + p("purchase.safety_d")
        return days * self._world.site.standard.cells_per_day * self._kg_per_cell(material)

    def _kg_per_cell(self, material: str) -> float:
        """What the line takes of a material for a stacked cell, with what is lost on the way (domain 1.1)."""
        return self._world.site.product.materials_kg_per_cell[material] / self._world.p(f"purchase.yield.{material}")

    def _order(self, material: str, day: int, quantity_kg: float) -> Order:
        world, p, of_material = self._world, self._world.p, zlib.crc32(material.encode())
        review_d, suppliers = int(p("purchase.review_d")), int(p("plan.suppliers"))
        supplier = (day + DAY_OFFSET) // review_d % suppliers
        of_supplier = p("purchase.supplier_lead_sd") * hash_normal(world.salt("lead"), of_material, supplier)
        lead_d = max(1.0, round(p(f"purchase.lead_d.{material}") * (1 + float(of_supplier))))
        late_d = self.drift_d(material, supplier, day) + p("purchase.late_sd_d") * float(
            hash_normal(world.salt("late"), of_material, day + DAY_OFFSET)
        )
        hour = p("purchase.gate_open_after_h") + p("purchase.gate_open_h") * float(
            hash_uniform(world.salt("gate"), of_material, day + DAY_OFFSET)
        )
        whole_d = round(min(max(late_d, -p("purchase.early_most_d")), p("purchase.late_most_d")))
        return Order(material, supplier, day, quantity_kg, lead_d, whole_d + hour / 24)

    def drift_d(self, material: str, supplier: int, day: int) -> float:
        """Days by which a supplier's deliveries have come to be late: most suppliers keep their promises."""
        since_day = self._drifting.get((material, supplier))
        return 0.0 if since_day is None else max(0.0, day - since_day) / 7 * self._world.p("purchase.drift_d_per_week")

    @cached_property
    def _drifting(self) -> dict[tuple[str, int], float]:
        """Suppliers that come later and later, and the day since when."""
        world, p = self._world, self._world.p
        every = [(material, no) for material in self._ledgers for no in range(int(p("plan.suppliers")))]
        luck = hash_uniform(world.salt("drifts"), np.arange(len(every)))
        begins = -p("purchase.drift_span_d") * hash_uniform(world.salt("drift_since"), np.arange(len(every)))
        return {every[at]: float(begins[at]) for at in np.argsort(luck)[: int(p("purchase.drift_count"))]}

    def orders(self, first_day: int, last_day: int) -> Table:
        """Records of these days, inclusive: one when an order is placed, another when it is delivered."""
        days = range(first_day, last_day + 1)
        placed, arrived = ([each for day in days for each in told[day]] for told in (self._placed, self._arrived))
        return concat(
            [self._order_records(placed, is_delivered=False), self._order_records(arrived, is_delivered=True)]
        )

    def _order_records(self, orders: list[Order], *, is_delivered: bool) -> Table:
        p, day = self._world.p, np.array([each.day for each in orders], dtype=np.float64)
        lead_d = np.array([each.lead_d for each in orders])
        ordered_s = self._seconds(day) + p("purchase.placed_after_h") * HOUR
        entered_s = ordered_s + p("purchase.entry_h") * HOUR
        arrived_s = self._seconds(np.array([each.delivered_day for each in orders]))
        return {
            "purchase_order_id": np.array([each.id for each in orders], dtype=object),
            "material_code": np.array([each.material for each in orders], dtype=object),
            "supplier_code": np.array([f"{o.material}_supplier_{o.supplier_no + 1}" for o in orders], dtype=object),
            "ordered_s": ordered_s,
            "first_known_s": entered_s,
            "promised_s": self._seconds(day + lead_d + 1),
            "delivered_s": arrived_s if is_delivered else np.full(len(orders), np.nan),
            "quantity_kg": np.array([each.quantity_kg for each in orders]),
            "price_usd_per_kg": np.array([self._price(each) for each in orders]),
            "event_s": ordered_s,
            "known_s": arrived_s + p("purchase.entry_h") * HOUR if is_delivered else entered_s,
        }

    def _seconds(self, day: Floats) -> Floats:
        """Plant seconds of a production day and its part."""
        whole = np.floor(day).astype(np.int64)
        begin = np.array([self._world.clock.bounds(int(each))[0] for each in whole], dtype=np.float64)
        seconds: Floats = begin + (day - whole) * 24 * HOUR
        return seconds

    def _price(self, order: Order) -> float:
        """US$/kg: the market goes up and down over the year, and each order is bargained for."""
        world, p, of_material = self._world, self._world.p, zlib.crc32(order.material.encode())
        phase = order.day / _DAYS_OF_YEAR + float(hash_uniform(world.salt("market"), of_material))
        market = p("purchase.market_swing") * np.sin(2 * np.pi * phase)
        own = p("purchase.price_sd") * float(hash_normal(world.salt("price"), of_material, order.day + DAY_OFFSET))
        return float(np.round(p(f"purchase.usd_per_kg.{order.material}") * (1 + market + own), 4))

    def material_days(self, first_day: int, last_day: int) -> Table:
        """Balance of each material at the end of these days, inclusive."""
        days = np.arange(first_day, last_day + 1)
        end_s = np.array([self._world.clock.bounds(int(each))[1] for each in days])
        rows = days - self._begin
        tables = []
        for material, ledger in self._ledgers.items():
            tables.append(
                {
                    "material_code": np.full(len(days), material, dtype=object),
                    "consumed_kg": np.round(np.array(ledger.consumed_kg)[rows], 3),
                    "received_kg": np.round(np.array(ledger.received_kg)[rows], 3),
                    "stock_kg": np.round(np.array(ledger.stock_kg)[rows + 1], 3),
                    "event_s": end_s - 60.0,  # the last minute of its production day
                    "known_s": end_s,
                }
            )
        return concat(tables)
