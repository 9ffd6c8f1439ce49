"""The twin's door: simulate the next production days and deliver what became known in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.lake.progress import Progress
from pipelines.twin import state
from pipelines.twin.day import Plant, deliver
from pipelines.twin.decisions import Decision, checked
from pipelines.twin.interventions import Interventions, Taken, taken_in
from pipelines.twin.world import World


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
    decisions: Sequence[Decision] = (),
    progress: Progress | None = None,
) -> SimulateReport:
    """Simulate the next production days; the same days in one call or in many are the same plant.

    Args:
        site: the site.
        home: the instance; deliveries go to its drop folder and ERP database.
        days: how many days, at least 1.
        seed: of a new plant (default 1); a plant that goes on keeps its own.
        scenario: one of twin.yaml.
        scale: share of the line's cells that is followed, 1 is all of them; below 1 for tests.
        telemetry_days: of the days simulated, how many of the last bring minute values.
        decisions: about days to come; those that the plant knows already may be among them.
        progress: called with what is being done, days done and days in all.

    Raises:
        CellworksError: unknown scenario, the plant was begun with another seed, scenario or scale, or a decision
            that the plant cannot follow or that comes after its day.
    """
    home.ensure()
    here, carried = state.load(home, seed=seed, scenario=scenario, scale=scale)
    world = World(site, here.seed, here.scenario, here.scale)
    known = [Taken.of(each) for each in here.decisions]
    given = taken_in(known, checked(decisions, site), world.clock.date_of(here.next_day))
    plant = Plant(world, here, Interventions(world, given))
    report = SimulateReport(days, world.clock.date_of(here.next_day), world.clock.date_of(here.next_day + days - 1))
    first, last = here.next_cell, here.next_day + days
    for number in range(days):
        if progress is not None:
            progress(f"simulating {world.clock.date_of(here.next_day)}", number, days)
        day = here.next_day
        due, carried = plant.run_day(carried, with_telemetry=day >= last - telemetry_days)
        files, rows = deliver(world, home, day, due, plant.truth)
        report.files += files
        report.rows += rows
        state.save(home, here, carried)
    report.cells_started = here.next_cell - first
    return report
