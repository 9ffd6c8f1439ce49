"""Records of lots, batches and rolls that a day's cells were the first to use, and of those scrapped before them."""

from __future__ import annotations

import numpy as np

from pipelines.control_plan.derive import characteristics, column_of
from pipelines.twin.certificate_text import documents
from pipelines.twin.clock import HOUR
from pipelines.twin.course import SPARE
from pipelines.twin.foil_splice import FEED as FOIL_SPLICE
from pipelines.twin.foil_splice import foil_of, foil_splices
from pipelines.twin.incoming import certificates, inspections
from pipelines.twin.losses import is_lost
from pipelines.twin.mixing_curve import mixing_records
from pipelines.twin.names import daughter_id, entity_id, lot_id
from pipelines.twin.rng import hash_uniform, salt
from pipelines.twin.table import Array, Bools, Floats, Ints, Table, codes, concat
from pipelines.twin.web_profile import FEED as WEB_PROFILE
from pipelines.twin.web_profile import web_profiles
from pipelines.twin.world import World

ELECTRODES = ("cathode", "anode")
COATING_H = 0.5  # of a mother roll: 2,000 m at 70 m/min


class Upstream:
    """Everything that came before the stackers, for one day's cells.

    Args:
        world: the plant.
        cells: running numbers of the day's cells, ascending.
        stacked_s: plant seconds at which they are stacked.
    """

    def __init__(self, world: World, cells: Ints, stacked_s: Floats) -> None:
        self._world = world
        self._cells = cells
        self._stacked_s = stacked_s

    def records(self) -> dict[str, Table]:
        """Tables by feed; each has event_s and known_s in plant seconds."""
        found: dict[str, list[Table]] = {}
        for material in sorted({row.variant for row in self._world.site.plan.rows if row.entity == "material_lot"}):
            lots, first, at = self.new(f"lot:{material}", "lead.lot_h")
            found.setdefault("erp__material_lot", []).append(self._lots(material, lots, at))
            found.setdefault("lims__material_result", []).append(self._lot_results(material, lots, first, at))
            ids = lot_id(material, lots).astype(object)
            certified = certificates(self._world, material, lots, first, at, ids)
            found.setdefault("lims__certificate", []).append(certified)
            printed = documents(self._world, material, certified, lots, ids, at)
            found.setdefault("lims__certificate_document", []).append(printed)
            found.setdefault("lims__lot_inspection", []).append(inspections(self._world, material, lots, at, ids))
        for electrode in ELECTRODES:
            self._batches(electrode, found)
            self._rolls(electrode, found)
        return {feed: concat(tables) for feed, tables in found.items()}

    def new(self, level: str, lead: str) -> tuple[Ints, Ints, Floats]:
        """Entities whose first cell is among the day's: numbers, first cells, and their time."""
        numbers, first = np.unique(self._world.numbers(level, self._cells), return_index=True)
        if self._cells[0] > 0:
            before = self._world.numbers(level, self._cells[:1] - 1)[0]
            is_new = numbers != before
            numbers, first = numbers[is_new], first[is_new]
        return numbers, self._cells[first], self._stacked_s[first] - self._world.p(lead) * HOUR

    def _lots(self, material: str, lots: Ints, at: Floats) -> Table:
        suppliers = int(self._world.p("plan.suppliers"))
        per_production = int(self._world.p("plan.lots_per_production"))
        return {
            "material_lot_id": lot_id(material, lots).astype(object),
            "material_code": np.full(len(lots), material, dtype=object),
            "supplier_code": np.array([f"{material}_supplier_{n % suppliers + 1}" for n in lots], dtype=object),
            "production_lot_code": np.array([f"P{n // per_production:05d}" for n in lots], dtype=object),
            "received_s": at,
            "quantity_kg": np.full(len(lots), self._world.p(f"lot_kg.{material}")),
            "event_s": at,
            "known_s": at + 0.5 * HOUR,
        }

    def _lot_results(self, material: str, lots: Ints, first: Ints, at: Floats) -> Table:
        names = {"material_lot_id": lot_id(material, lots).astype(object)}
        table = self._long("lims__material_result", names, first, lots, at + 4 * HOUR, variant=material)
        if table:
            table["material_code"] = np.full(len(table["value"]), material, dtype=object)
        return table

    def _long(
        self, feed: str, names: dict[str, Array], first: Ints, numbers: Ints, at: Floats, *, variant: str
    ) -> Table:
        """Laboratory results, one row per entity and characteristic."""
        world, memo = self._world, {}  # type: ignore[var-annotated]
        tables = []
        for row in characteristics(world.site, feed):
            if row.variant != variant or not len(numbers):
                continue
            jitter = 1 + 0.5 * hash_uniform(salt(world.seed, f"{row.code}@lab"), numbers)
            tables.append(
                {
                    **names,
                    "characteristic_code": np.full(len(numbers), row.code, dtype=object),
                    "sample_no": np.ones(len(numbers), dtype=np.int32),
                    "value": world.shown(row, first, memo, numbers),
                    "unit_code": np.full(len(numbers), row.unit, dtype=object),
                    "event_s": at,
                    "known_s": at + max(row.delay_s, 600.0) * jitter,
                }
            )
        return concat(tables)

    def _wide(self, world: World, feed: str, electrode: str, first: Ints, numbers: Ints) -> Table:
        memo: dict[str, Floats] = {}
        rows = [row for row in characteristics(world.site, feed) if row.variant == electrode]
        return {column_of(world.site, row): world.shown(row, first, memo, numbers) for row in rows}

    def _machine(self, machine_class: str, electrode: str, numbers: Ints) -> Array:
        machines = [m.id for m in self._world.site.machines(machine_class) if m.variant in ("", electrode)]
        return np.array(machines, dtype=object)[numbers % len(machines)]

    def lost(self, level: str, numbers: Ints, first: Ints) -> tuple[World, Bools]:
        """Of a day's new batches or rolls, those whose predecessor was scrapped, and the plant that made these."""
        world, memo = self._world.of_lost(level), {}  # type: ignore[var-annotated]
        lost = is_lost(world, level, numbers, lambda code: world.z(code, first, memo))
        # One that stands in for a held one comes from the store.
        return world, lost & (numbers < SPARE)

    def _scrapped(self, ids: Array, entity: str, step: str, reason: str, at: Floats) -> Table:
        return {
            "entity_id": ids,
            "entity_type_code": np.full(len(ids), entity, dtype=object),
            "step_code": np.full(len(ids), step, dtype=object),
            "reason_code": np.full(len(ids), reason, dtype=object),
            "event_s": at,
            "known_s": at + 600.0,
        }

    def _batches(self, electrode: str, found: dict[str, list[Table]]) -> None:
        level, took_s = f"{electrode}_batch", self._world.p("lead.mixing_h") * HOUR
        numbers, first, at = self.new(level, "lead.batch_h")
        self._mixed(self._world, electrode, first, at, found)
        world, lost = self.lost(level, numbers, first)
        ids = self._mixed(world, electrode, first[lost], at[lost] - took_s, found)
        scrapped = self._scrapped(ids, "slurry_batch", "mixing", "gel", at[lost] - took_s)
        found.setdefault("mes__scrap", []).append(scrapped)

    def _mixed(self, world: World, electrode: str, first: Ints, at: Floats, found: dict[str, list[Table]]) -> Array:
        """Add the records of batches, by the first cell of each; their identifiers."""
        numbers = world.numbers(f"{electrode}_batch", first)
        ids = entity_id(electrode, "B", numbers).astype(object)
        active = "lfp" if electrode == "cathode" else "graphite"
        started_s = at - world.p("lead.mixing_h") * HOUR
        names: Table = {
            "slurry_batch_id": ids,
            "electrode_code": np.full(len(ids), electrode, dtype=object),
            "machine_id": self._machine("mixer", electrode, numbers),
            "active_material_lot_id": lot_id(active, world.numbers(f"lot:{active}", first)).astype(object),
            "started_s": started_s,
        }
        found.setdefault("mes__slurry_batch", []).append(
            {
                **names,
                **self._wide(world, "mes__slurry_batch", electrode, first, numbers),
                "event_s": at,
                "known_s": at + 0.5 * HOUR,
            }
        )
        for feed, table in mixing_records(world, electrode, first, names).items():
            found.setdefault(feed, []).append(table)
        for material, mass_kg in world.p.under(f"batch_kg.{electrode}").items():
            lots = world.numbers(f"lot:{material}", first)
            found.setdefault("mes__batch_material", []).append(
                {
                    "slurry_batch_id": ids,
                    "material_lot_id": lot_id(material, lots).astype(object),
                    "material_code": np.full(len(ids), material, dtype=object),
                    "mass_kg": np.full(len(ids), mass_kg),
                    "event_s": started_s,
                    "known_s": started_s + 0.5 * HOUR,
                }
            )
        return ids

    def _rolls(self, electrode: str, found: dict[str, list[Table]]) -> None:
        level = f"{electrode}_roll"
        numbers, first, at = self.new(level, "lead.roll_h")
        ids = self._coated(self._world, electrode, first, at, found)
        self._after_coating(electrode, ids, numbers, first, at, found)
        self._lanes(electrode, ids, numbers, first, at, found)
        # Scrapped when it comes off the coater: the laboratory and the calender do not see it.
        world, lost = self.lost(level, numbers, first)
        at_lost = at[lost] - COATING_H * HOUR
        scrapped = self._coated(world, electrode, first[lost], at_lost, found)
        found.setdefault("mes__scrap", []).append(
            self._scrapped(scrapped, "mother_roll", "coating", "areal_weight", at_lost)
        )

    def _coated(self, world: World, electrode: str, first: Ints, at: Floats, found: dict[str, list[Table]]) -> Array:
        """Add the records of mother rolls, by the first cell of each; their identifiers."""
        numbers = world.numbers(f"{electrode}_roll", first)
        ids = entity_id(electrode, "R", numbers).astype(object)
        foil = foil_of(electrode)
        batches = world.numbers(f"{electrode}_batch", first)
        names: Table = {
            "mother_roll_id": ids,
            "electrode_code": np.full(len(ids), electrode, dtype=object),
            "machine_id": self._machine("coater", electrode, numbers),
            "event_s": at,
            "known_s": at + 120.0,
        }
        found.setdefault("mes__mother_roll", []).append(
            {
                **names,
                "slurry_batch_id": entity_id(electrode, "B", batches).astype(object),
                "foil_lot_id": lot_id(foil, world.numbers(f"lot:{foil}", first)).astype(object),
                "started_s": at - COATING_H * HOUR,
                "length_m": np.full(len(ids), world.p("plan.roll_length_m")),
                **self._wide(world, "mes__mother_roll", electrode, first, numbers),
            }
        )
        found.setdefault(WEB_PROFILE, []).append(web_profiles(world, electrode, first, names))
        found.setdefault(FOIL_SPLICE, []).append(foil_splices(world, electrode, first, names, COATING_H))
        return ids

    def _after_coating(
        self, electrode: str, ids: Array, numbers: Ints, first: Ints, at: Floats, found: dict[str, list[Table]]
    ) -> None:
        world = self._world
        names = {"mother_roll_id": ids, "electrode_code": np.full(len(ids), electrode, dtype=object)}
        found.setdefault("lims__roll_result", []).append(
            self._long("lims__roll_result", names, first, numbers, at + 0.5 * HOUR, variant=electrode)
        )
        calendered = at + (world.p("lead.roll_h") - world.p("lead.calender_h")) * HOUR
        found.setdefault("mes__calendering", []).append(
            {
                **names,
                "machine_id": self._machine("calender", electrode, numbers),
                **self._wide(world, "mes__calendering", electrode, first, numbers),
                "event_s": calendered,
                "known_s": calendered + 60.0,
            }
        )

    def _lanes(
        self, electrode: str, ids: Array, numbers: Ints, first: Ints, at: Floats, found: dict[str, list[Table]]
    ) -> None:
        slit = at + (self._world.p("lead.roll_h") - self._world.p("lead.daughter_h")) * HOUR
        knives = self._world.site.plan.by_code[f"{electrode}_knife_km"]
        for lane in (0, 1):
            cells = first + (first % 2 != lane)
            lanes = numbers * 2 + lane
            found.setdefault("mes__daughter_roll", []).append(
                {
                    "daughter_roll_id": daughter_id(electrode, numbers, np.full(len(ids), lane)),
                    "mother_roll_id": ids,
                    "electrode_code": np.full(len(ids), electrode, dtype=object),
                    "machine_id": self._machine("slitter", electrode, numbers),
                    "notcher_id": self._machine("notcher", electrode, lanes),
                    "knife_id": codes(f"K{electrode[0]}", self._world.tool(knives, cells)[0], 4).astype(object),
                    "lane_no": np.full(len(ids), lane + 1, dtype=np.int32),
                    "from_m": np.zeros(len(ids)),
                    "to_m": np.full(len(ids), self._world.p("plan.roll_length_m")),
                    "is_flipped": lanes % 4 == 1,
                    **self._wide(self._world, "mes__daughter_roll", electrode, cells, lanes),
                    "event_s": slit,
                    "known_s": slit + 60.0,
                }
            )
