"""One production day, from the stackers to the delivery."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.lake.home import Home
from pipelines.twin import delivery, dry_room
from pipelines.twin.ageing_store import AgeingStore
from pipelines.twin.alarms import Alarms
from pipelines.twin.cells import DueCells, life_h
from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.counts import with_cells, with_rolls
from pipelines.twin.course import Course
from pipelines.twin.cycling_laboratory import cycling_records
from pipelines.twin.energy import meters, weather
from pipelines.twin.equipment import Equipment
from pipelines.twin.foil_splice import FEED as FOIL_SPLICE
from pipelines.twin.interventions import Interventions
from pipelines.twin.leak_test import leak_tests
from pipelines.twin.line import LineDay, run_day
from pipelines.twin.orders import customer_orders, tariff_hours
from pipelines.twin.pack import pack
from pipelines.twin.purchasing import Purchasing
from pipelines.twin.recipe_line import recipe_records
from pipelines.twin.state import Carried, State
from pipelines.twin.table import Array, Floats, Ints, Table, concat
from pipelines.twin.telemetry import Telemetry
from pipelines.twin.truth import cell_truth, splice_truth, truth_dir
from pipelines.twin.upkeep import calibrations, spare_part_counts, spare_part_uses
from pipelines.twin.upstream import Upstream
from pipelines.twin.workplace import Stacked
from pipelines.twin.world import World


class Plant:
    """The plant from day to day.

    Args:
        world: the plant's causes.
        here: where it stands; moved on by each day.
        interventions: what was decided.

    Attributes:
        truth: tables by name of the last day that the plant itself cannot see.
    """

    def __init__(self, world: World, here: State, interventions: Interventions) -> None:
        self._world, self._here, self._interventions = world, here, interventions
        self._telemetry = Telemetry(world)
        self._store = AgeingStore(world, here.slots)
        self._purchasing = Purchasing(world, np.diff([*here.first_cells, here.next_cell]).tolist())
        self.truth: dict[str, Table] = {}

    def run_day(self, carried: Carried, *, with_telemetry: bool) -> tuple[dict[str, pa.Table], Carried]:
        """Simulate the next day.

        Returns:
            Records by feed that became known, and what is carried on.
        """
        world, day = self._world, self._here.next_day
        equipment = Equipment(world, self._interventions, until_s=world.clock.bounds(day)[1])
        line = run_day(world, equipment, day)
        cells, stacked_s, stackers = self._begin(line, carried.under_way)
        due = DueCells.of_day(world, cells, stacked_s, *world.clock.bounds(day))
        records = self._of_cells(line, cells, due)
        records |= self._of_machines(line, equipment, due, records)
        records |= self._of_business(len(line.stacked_s))
        records |= cycling_records(world, day) | recipe_records(world, day)
        known, later = self._known(records, carried.pending)
        if with_telemetry:
            first = int(cells[0]) if len(cells) else self._here.next_cell
            stacked = Stacked(first, stacked_s, world.clock.bounds(day)[1], DAY / world.cells_per_day)
            known["historian__telemetry"] = self._telemetry.of_day(day, line, stacked)
        self._here.next_day += 1
        self._here.decisions = [each.as_json() for each in self._interventions.taken]
        over = stacked_s + life_h(world) * HOUR < world.clock.bounds(day)[1]
        self.truth = {
            "cell": cell_truth(world, cells[over], stacked_s[over]),
            "machine_life": equipment.truth(self._oldest(day), day),
            "foil_splice": splice_truth(records.get(FOIL_SPLICE, {})),
        }
        columns = {"cell": cells[~over], "stacked_s": stacked_s[~over], "stacker": stackers[~over]}
        return delivery.flawed_by_scenario(world, day, known), Carried(later, pa.table(columns))

    def _oldest(self, day: int) -> int:
        """The first day brings the history of machines, orders and stocks."""
        return -int(self._world.p("equipment.history_days")) if day == 0 else day

    def _begin(self, line: LineDay, under_way: pa.Table | None) -> tuple[Ints, Floats, Ints]:
        """Cells under way with those that the day begins; the decisions find the cells that they act on."""
        here, world = self._here, self._world
        fresh = here.next_cell + np.arange(len(line.stacked_s))
        here.first_cells.append(here.next_cell)
        here.next_cell += len(fresh)
        old = {name: under_way[name].to_numpy() for name in under_way.column_names} if under_way is not None else {}
        empty: Array = np.zeros(0)
        cells = np.concatenate([old.get("cell", fresh[:0]), fresh])
        stacked_s = np.concatenate([old.get("stacked_s", empty), line.stacked_s])
        stackers = np.concatenate([old.get("stacker", line.stackers[:0]), line.stackers])
        end_s = world.clock.bounds(here.next_day)[1]
        self._interventions.settle(int(cells[0]) if len(cells) else here.next_cell, stacked_s, end_s)
        course = Course(tuple(here.first_cells), int(cells[0]) if len(cells) else 0, stackers)
        world.course = self._interventions.course(course)
        return cells, stacked_s, stackers

    def _of_cells(self, line: LineDay, cells: Ints, due: DueCells) -> dict[str, Table]:
        world, here, count = self._world, self._here, len(line.stacked_s)
        records = due.records()
        if count:
            upstream = Upstream(world, cells[-count:], line.stacked_s).records()
            upstream["mes__scrap"] = concat([upstream["mes__scrap"], records["mes__scrap"]])
            records |= upstream
        grading = records["tester__grading"]
        records["tester__leak_test"] = leak_tests(world, due.assembled)
        records["wms__tray_move"] = self._store.moves(due.formed)
        return records | (pack(world, here, here.next_day, grading) if len(grading["cell_id"]) else {})

    def _of_machines(
        self, line: LineDay, equipment: Equipment, due: DueCells, records: dict[str, Table]
    ) -> dict[str, Table]:
        world, day = self._world, self._here.next_day
        outdoor = weather(world, day)
        orders, health = equipment.orders(self._oldest(day), day), equipment.health(self._oldest(day), day)
        dried_to = {room: self._interventions.setpoints(dry_room.SETPOINT, room) for room in dry_room.rooms(world)}
        energy = meters(world, day, line.stacked_s, outdoor, dried_to)
        states = with_rolls(with_cells(world, line.states, due, day), records)
        states |= {"event_s": states["start_s"], "known_s": states["end_s"], "ended_s": states["end_s"]}
        states["reason_code"] = np.array([reason or None for reason in states["reason_code"]], dtype=object)
        return {
            "scada__machine_state": states,
            "scada__alarm": Alarms(world, equipment, day).records(line.states, health, records),
            "cmms__work_order": orders | {"event_s": orders["opened_s"]},
            "historian__machine_hour": health | {"known_s": health["event_s"] + 60.0},
            "cmms__spare_part_use": spare_part_uses(world, equipment, self._oldest(day), day),
            "erp__spare_part": spare_part_counts(world, equipment, self._oldest(day), day),
            "lims__calibration": calibrations(world, self._oldest(day), day),
            "ems__meter_interval": energy | {"known_s": energy["event_s"] + energy["interval_s"]},
            dry_room.FEED: dry_room.hours(world, day, outdoor, dried_to),
            "ems__weather": outdoor | {"known_s": outdoor["event_s"] + 600.0},
        }

    def _of_business(self, cells: int) -> dict[str, Table]:
        """Orders, purchases and tariff; the first day brings their history."""
        world, day = self._world, self._here.next_day
        self._purchasing.add_day(cells)
        first = self._oldest(day)
        return {
            "erp__customer_order": customer_orders(world, first, day),
            "erp__purchase_order": self._purchasing.orders(first, day),
            "erp__material_day": self._purchasing.material_days(first, day),
            "ems__tariff_hour": tariff_hours(world, day),
        }

    def _known(
        self, records: dict[str, Table], pending: dict[str, pa.Table]
    ) -> tuple[dict[str, pa.Table], dict[str, pa.Table]]:
        """Records that are known by the end of the day, and the others."""
        world, day = self._world, self._here.next_day
        end = pa.scalar(np.datetime64(world.clock.starts_at(day + 1), "us"), pa.timestamp("us"))
        due: dict[str, pa.Table] = {}
        later: dict[str, pa.Table] = {}
        for name, feed in world.site.feeds.items():
            tables = [pending[name]] if name in pending else []
            if records.get(name):
                fresh = delivery.with_flaws(world, day, name, records[name])
                tables.append(delivery.arrow(world, feed, fresh))
            if tables:
                whole = pa.concat_tables(tables)
                is_due = pc.less_equal(whole["known_at"], end)
                due[name] = delivery.sort_known(whole.filter(is_due))
                later[name] = whole.filter(pc.invert(is_due))
        return due, later


def deliver(world: World, home: Home, day: int, due: dict[str, pa.Table], truth: dict[str, Table]) -> tuple[int, int]:
    """Write a day's records to drop folder and ERP database, and the truth to its folder.

    Returns:
        Files and rows delivered.
    """
    erp: dict[str, pa.Table] = {}
    files, stamp = 0, f"{world.clock.date_of(day):%Y-%m-%d}"
    for name, table in due.items():
        feed = world.site.feeds[name]
        if feed.delivery.format == "sql":
            erp[name] = table
        elif table.num_rows:
            delivery.write_file(home.drop_dir / name, feed, f"{name}_{stamp}", table)
            files += 1
    delivery.write_erp(home, day, erp)
    for name, columns in truth.items():
        if columns and len(next(iter(columns.values()))):
            folder = truth_dir(home) / name
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), folder / f"{stamp}.parquet")
    return files, sum(table.num_rows for table in due.values())
