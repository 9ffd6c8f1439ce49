"""The twin's door: simulate the next production days and deliver what became known in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.control_plan.derive import characteristics
from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.twin import delivery, state
from pipelines.twin.cells import Cells
from pipelines.twin.clock import HOUR, Clock
from pipelines.twin.energy import meters, weather
from pipelines.twin.equipment import Failures
from pipelines.twin.line import run_day
from pipelines.twin.rng import Module, stream
from pipelines.twin.table import Array, Floats, Ints, Table
from pipelines.twin.telemetry import minute_values
from pipelines.twin.upstream import Upstream
from pipelines.twin.world import World

Progress = Callable[[str, int, int], None]


@dataclass
class SimulateReport:
    """What was simulated: production days (inclusive), files and rows delivered, cells begun."""

    days: int
    first_day: date
    last_day: date
    files: int = 0
    rows: int = 0
    cells_started: int = 0


def simulate(
    site: Site,
    home: Home,
    *,
    days: int,
    seed: int | None = None,
    scenario: str = "baseline",
    scale: float = 1.0,
    telemetry_days: int = 7,
    progress: Progress | None = None,
) -> SimulateReport:
    """Simulate the next production days; the same days in one call or in many are the same plant.

    Args:
        site: the site.
        home: the instance; deliveries go to its drop folder and ERP database.
        days: how many days, at least 1.
        seed: of a new plant (default 1); a plant that goes on keeps its own.
        scenario: one of twin.yaml.
        scale: size of the plant, 1 is the whole line; for tests.
        telemetry_days: of the days simulated, how many of the last bring minute values.
        progress: called with what is being done, days done and days in all.

    Raises:
        CellworksError: unknown scenario, or the plant was begun with another seed, scenario or scale.
    """
    home.ensure()
    here, pending = state.load(home, seed=seed, scenario=scenario, scale=scale)
    world = World(site, here.seed, here.scenario, here.scale)
    clock = Clock(site.zone, site.day_starts_at, site.start_day)
    failures = Failures(world)
    report = SimulateReport(days, clock.date_of(here.next_day), clock.date_of(here.next_day + days - 1))
    last = here.next_day + days
    for number in range(days):
        if progress is not None:
            progress(f"simulating {clock.date_of(here.next_day)}", number, days)
        with_telemetry = here.next_day >= last - telemetry_days
        pending = _Day(world, clock, failures, here, home, report).run(pending, with_telemetry)
        state.save(home, here, pending)
    return report


class _Day:
    """One production day, from the stackers to the delivery."""

    def __init__(
        self, world: World, clock: Clock, failures: Failures, here: state.State, home: Home, report: SimulateReport
    ) -> None:
        self._world, self._clock, self._failures = world, clock, failures
        self._here, self._home, self._report = here, home, report
        self._day = here.next_day

    def run(self, pending: dict[str, pa.Table], with_telemetry: bool) -> dict[str, pa.Table]:
        """Simulate, deliver, and return what stays pending."""
        records = self._records()
        end = np.datetime64(self._clock.starts_at(self._day + 1), "us")
        later: dict[str, pa.Table] = {}
        due: dict[str, pa.Table] = {}
        for name, feed in self._world.site.feeds.items():
            tables = [pending[name]] if name in pending else []
            if records.get(name):
                fresh = delivery.with_flaws(self._world, self._day, name, records[name])
                tables.append(delivery.arrow(self._world, feed, fresh, self._clock))
            if not tables:
                continue
            whole = pa.concat_tables(tables)
            is_due = pc.less_equal(whole["known_at"], pa.scalar(end, pa.timestamp("us")))
            due[name] = delivery.sort_known(whole.filter(is_due))
            later[name] = whole.filter(pc.invert(is_due))
        if with_telemetry:
            due["historian__telemetry"] = minute_values(self._world, self._clock, self._day)
        self._deliver(self._flawed_by_scenario(due))
        self._here.next_day += 1
        return later

    def _records(self) -> dict[str, Table]:
        world, here = self._world, self._here
        line = run_day(world, self._clock, self._failures, self._day)
        cells = here.next_cell + np.arange(len(line.stacked_s))
        if self._day >= world.scenario.from_day and here.shift_from_cell is None:
            here.shift_from_cell = int(cells[0])
        world.shift_from_cell = here.shift_from_cell
        lived = Cells(world, cells, line.stacked_s, line.stacker_no).simulate()
        here.next_cell += len(cells)
        self._report.cells_started += len(cells)
        outdoor = weather(world, self._clock, self._day)
        first = self._day - int(world.p("equipment.history_days")) if self._day == 0 else self._day
        states = {**line.states, "event_s": line.states["start_s"], "known_s": line.states["end_s"]}
        states["ended_s"] = states["end_s"]
        states["reason_code"] = np.array([reason or None for reason in states["reason_code"]], dtype=object)
        orders = self._failures.orders(self._clock, first, self._day)
        health = self._failures.health(self._clock, first, self._day)
        energy = meters(world, self._clock, self._day, line.stacked_s, outdoor)
        records = {
            **Upstream(world, cells, line.stacked_s).records(),
            **lived.records,
            **self._pack(lived.records["tester__grading"]),
            "scada__machine_state": states,
            "cmms__work_order": orders
            | {"type_code": np.full(len(orders["known_s"]), "breakdown", dtype=object), "event_s": orders["opened_s"]},
            "historian__machine_hour": health | {"known_s": health["event_s"] + 60.0},
            "ems__meter_interval": energy | {"known_s": energy["event_s"] + energy["interval_s"]},
            "ems__weather": outdoor | {"known_s": outdoor["event_s"] + 600.0},
        }
        self._tell_truth(lived.truth)
        return records

    def _pack(self, grading: Table) -> dict[str, Table]:
        """Premium cells go to modules in the order of grading, modules to racks and containers."""
        site, here = self._world.site, self._here
        premium = grading["grade_code"] == "A"
        here.module_pool += list(grading["cell_id"][premium])
        size = max(2, round(site.product.cells_per_module * min(1.0, self._world.scale * 4)))
        count = len(here.module_pool) // size
        if not count:
            return {}
        cells, here.module_pool = here.module_pool[: count * size], here.module_pool[count * size :]
        numbers = here.next_module + np.arange(count)
        here.next_module += count
        per_rack, per_container = site.product.modules_per_rack, site.product.racks_per_container
        rng = stream(self._world.seed, self._day, Module.PACK)
        at = float(grading["event_s"].max()) + 12 * HOUR + np.sort(rng.uniform(0, 20 * HOUR, count))
        modules = np.array([f"M{n:06d}" for n in numbers], dtype=object)
        racks = np.array([f"R{n // per_rack:05d}" for n in numbers], dtype=object)
        containers = np.array([f"X{n // per_rack // per_container:04d}" for n in numbers], dtype=object)
        full = np.flatnonzero(numbers % (per_rack * per_container) == per_rack * per_container - 1)
        return {
            "mes__module": {
                "cell_id": np.array(cells, dtype=object),
                "module_id": np.repeat(modules, size),
                "rack_id": np.repeat(racks, size),
                "container_id": np.repeat(containers, size),
                "position_no": np.tile(np.arange(1, size + 1, dtype=np.int32), count),
                "event_s": np.repeat(at, size),
                "known_s": np.repeat(at, size) + 60.0,
            },
            "tester__module": self._packed("tester__module", "module_id", modules, numbers, at + HOUR),
            "tester__container": self._packed(
                "tester__container", "container_id", containers[full], numbers[full], at[full] + 30 * HOUR
            ),
        }

    def _packed(self, feed: str, key: str, ids: Array, numbers: Ints, at: Floats) -> Table:
        world = self._world
        values = {
            row.code: world.measured(row, world.value(row, world.z(row.code, numbers, {})), numbers)
            for row in characteristics(world.site, feed)
        }
        return {key: ids, **values, "event_s": at, "known_s": at + 600.0} if len(ids) else {}

    def _flawed_by_scenario(self, due: dict[str, pa.Table]) -> dict[str, pa.Table]:
        scenario = self._world.scenario
        for code, stuck in ((scenario.unit_error, False), (scenario.stuck, True)):
            if not code or self._day < scenario.from_day:
                continue
            row = self._world.site.plan.by_code[code]
            table = due.get(row.feed)
            column = row.name if table is not None and row.name in table.column_names else row.code
            if table is None or column not in table.column_names:
                continue
            old = table[column]
            new = pa.array(np.full(table.num_rows, row.nominal or 0.0)) if stuck else pc.divide(old, 1000.0)
            due[row.feed] = table.set_column(table.column_names.index(column), column, new)
        return due

    def _deliver(self, due: dict[str, pa.Table]) -> None:
        erp = {}
        for name, table in due.items():
            feed = self._world.site.feeds[name]
            self._report.rows += table.num_rows
            if feed.delivery.format == "sql":
                erp[name] = table
            elif table.num_rows:
                label = f"{name}_{self._clock.date_of(self._day):%Y-%m-%d}"
                delivery.write_file(self._home.drop_dir / name, feed, label, table)
                self._report.files += 1
        delivery.write_erp(self._home, self._day, erp)

    def _tell_truth(self, truth: Table) -> None:
        folder = self._home.truth_dir / "cell"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(truth), folder / f"{self._clock.date_of(self._day):%Y-%m-%d}.parquet")
