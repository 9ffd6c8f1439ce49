"""The baseline's key figures over five seeds, from states, counts and meters with the formulas of marts.kpi_day."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import pytest

from pipelines.control_plan.site import Site
from pipelines.curation.plan_data import cost_data
from pipelines.twin.cells import Cells, DueCells
from pipelines.twin.clock import HOUR
from pipelines.twin.counts import with_cells
from pipelines.twin.course import Course
from pipelines.twin.energy import meters, weather
from pipelines.twin.equipment import Equipment
from pipelines.twin.interventions import Interventions
from pipelines.twin.line import LineDay, run_day
from pipelines.twin.losses import is_lost
from pipelines.twin.world import World

SEEDS, DAYS = range(1, 6), 12
FIRST = (
    9  # the first day on which every step has a whole day's cells: grading comes eight and a half days after stacking
)


@dataclass
class Kpis:
    oee: float
    premium_ratio: float
    good_cells_per_day: float
    conversion_cost_usd_per_kwh: float
    energy_kwh_per_kwh: float


def oee_of(site: Site, states: dict[str, np.ndarray]) -> float:
    """Availability and performance of the bottleneck, times the good share of all steps that count cells."""
    machine = np.array([site.machines_by_id[each].step for each in states["machine_id"]])
    seconds = states["end_s"] - states["start_s"]
    at, runs = machine == "stacking", states["state_code"] == "Execute"
    rate = np.array([site.machines_by_id[each].ideal_rate_per_h for each in states["machine_id"]])
    availability = seconds[at & runs].sum() / seconds[at & (states["state_code"] != "Stopped")].sum()
    performance = states["produced_count"][at].sum() / (seconds / HOUR * rate)[at & runs].sum()
    quality = 1.0
    for step in sorted({m.step for m in site.machines() if m.is_in_oee and m.rate_unit == "cell"}):
        if produced := states["produced_count"][machine == step].sum():  # nothing gets to grading in the first days
            quality *= states["good_count"][machine == step].sum() / produced
    return float(availability * performance * quality)


def cost_usd(
    site: Site, world: World, energy: dict[str, np.ndarray], cells: int, breakdowns: float, lost: np.ndarray
) -> float:
    """Conversion cost of a day: fixed, consumables, work orders, energy at its tariff and demand, scrap material."""
    cost = cost_data(site)
    hour = world.clock.local_hour(energy["event_s"])
    tariff = np.zeros(len(hour))
    for period in cost["tariff"]:
        tariff[hour >= period["from_hour"]] = period["usd_per_kwh"]
    hours = ((energy["event_s"] - energy["event_s"].min()) // HOUR).astype(int)
    peak_kw = np.bincount(hours, energy["energy_kwh"]).max()
    material = cost["lost_material_usd_per_cell"]
    return (
        cost["daily_usd"]
        + cells * cost["consumables_usd_per_cell"]
        + breakdowns * cost["work_order_usd"]["breakdown"]
        + float((energy["energy_kwh"] * tariff).sum())
        + peak_kw * cost["demand_usd_per_kw_month"] * 12 / 365
        + sum(material[step] for step in lost if step)
    )


def lost_electrode_usd(site: Site, world: World, begin: int, end: int) -> float:
    """Material of the mother rolls and batches that were scrapped before those that these cells were the first of."""
    cost, usd = cost_data(site), 0.0
    for electrode in ("cathode", "anode"):
        batch_kg = sum(world.p.under(f"batch_kg.{electrode}").values())
        for level, each_usd in (
            (f"{electrode}_batch", batch_kg * cost["lost_slurry_usd_per_kg"][electrode]),
            (f"{electrode}_roll", world.p("plan.roll_length_m") * cost["lost_roll_usd_per_m"][electrode]),
        ):
            size = world.cells_per(level)
            first = np.arange(-(-begin // size) * size, end, size)
            lost = is_lost(world, level, first // size, partial(world.of_lost(level).z, cells=first, memo={}))
            usd += lost.sum() * each_usd
    return float(usd)


@dataclass
class Line:
    """A plant's first days: each with its states and counts, and all cells that were begun."""

    world: World
    equipment: Equipment
    days: list[LineDay]
    cells: Cells

    @property
    def first_cells(self) -> list[int]:
        """First cell of each day, and of the one after the last."""
        return [0, *np.cumsum([len(day.stacked_s) for day in self.days]).tolist()]


def run(site: Site, seed: int, days: int, scale: float = 1.0) -> Line:
    world = World(site, seed, "baseline", scale)
    equipment = Equipment(world, Interventions(world, []), until_s=world.clock.bounds(days)[1])
    ran = [run_day(world, equipment, day) for day in range(days)]
    counts = [len(day.stacked_s) for day in ran]
    first = tuple(int(n) for n in np.concatenate([[0], np.cumsum(counts)[:-1]]))
    world.course = Course(first, 0, np.concatenate([day.stackers for day in ran]))
    cells = Cells(world, np.arange(sum(counts)), np.concatenate([day.stacked_s for day in ran]))
    whole = DueCells(*[cells] * len(fields(DueCells)))
    ran = [replace(each, states=with_cells(world, each.states, whole, day)) for day, each in enumerate(ran)]
    return Line(world, equipment, ran, cells)


@pytest.fixture(scope="module")
def kpis(site: Site) -> dict[int, Kpis]:
    return {seed: measured(site, seed) for seed in SEEDS}


def measured(site: Site, seed: int) -> Kpis:
    """Key figures of twelve days of a line that is filled, and of the cells stacked in them."""
    line = run(site, seed, FIRST + DAYS)
    world, first, days = line.world, line.first_cells, range(FIRST, FIRST + DAYS)
    lost = line.cells.lost_at()
    is_premium = ((lost == "") & line.cells.is_premium)[first[FIRST] :]
    breakdowns = line.equipment.truth(FIRST, FIRST + DAYS - 1)["is_failure"].sum() / DAYS
    energy = {day: meters(world, day, line.days[day].stacked_s, weather(world, day), {}) for day in days}
    usd = sum(
        cost_usd(site, world, energy[day], first[day + 1] - first[day], breakdowns, lost[first[day] : first[day + 1]])
        for day in days
    )
    usd += lost_electrode_usd(site, world, first[FIRST], first[-1])
    kwh = is_premium.sum() * site.product.nominal_energy_kwh
    return Kpis(
        oee=float(np.mean([oee_of(site, line.days[day].states) for day in days])),
        premium_ratio=float(is_premium.mean()),
        good_cells_per_day=is_premium.sum() / DAYS,
        conversion_cost_usd_per_kwh=usd / kwh,
        energy_kwh_per_kwh=sum(each["energy_kwh"].sum() for each in energy.values()) / kwh,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "low", "high", "slack"),
    [
        ("oee", 0.66, 0.70, 0.0),
        ("premium_ratio", 0.92, 0.94, 0.012),
        ("good_cells_per_day", 3200, 3400, 120),
        ("conversion_cost_usd_per_kwh", 11.0, 13.0, 0.3),
        ("energy_kwh_per_kwh", 20.3, 37.5, 0.0),
    ],
)
def test_the_baseline_lands_in_the_bands_of_the_domain(
    kpis: dict[int, Kpis], name: str, low: float, high: float, slack: float
) -> None:
    """The mean of the seeds inside, each seed within what twelve days' lots scatter around it."""
    found = [getattr(each, name) for each in kpis.values()]
    assert low <= np.mean(found) <= high, found
    assert all(low - slack <= each <= high + slack for each in found), found


@pytest.mark.slow
def test_the_oee_means_the_same_at_any_scale(site: Site) -> None:
    """Availability and performance are the line's; quality is that of a tenth of its cells: a sample."""
    whole, part = (run(site, 3, FIRST + 3, scale) for scale in (1.0, 0.1))
    for day in (0, FIRST):
        first, sampled = whole.days[day], part.days[day]
        assert len(sampled.stacked_s) == pytest.approx(0.1 * len(first.stacked_s), abs=4)
        machines = [first.states["machine_id"], sampled.states["machine_id"]]
        is_stacker = [np.char.startswith(each.astype(str), "stacker") for each in machines]
        for column in ("produced_count", "start_s", "end_s"):
            assert (first.states[column][is_stacker[0]] == sampled.states[column][is_stacker[1]]).all()
    settled = range(FIRST, FIRST + 3)
    oee = [np.mean([oee_of(site, line.days[day].states) for day in settled]) for line in (whole, part)]
    assert oee[1] == pytest.approx(oee[0], abs=0.03)


def test_a_step_that_made_nothing_leaves_the_oee_as_it_is(site: Site) -> None:
    """Nothing has got to grading on the first day."""
    states = run(site, 3, 1).days[0].states
    at_grading = np.char.startswith(states["machine_id"].astype(str), "grading_cabinet")
    assert states["produced_count"][at_grading].sum() == 0
    without = {name: column[~at_grading] for name, column in states.items()}
    assert 0.6 < oee_of(site, states) == oee_of(site, without) < 0.8
