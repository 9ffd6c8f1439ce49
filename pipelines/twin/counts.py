"""What machines counted on a day: the cells that went through them, and which of these were good."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pipelines.twin.cells import Cells, DueCells
from pipelines.twin.clock import HOUR
from pipelines.twin.table import Array, Bools, Floats, Ints, Table
from pipelines.twin.world import World

# Who counts cells after the stackers, by when it does: a group of `DueCells` and the moment of its records.
_AT: tuple[tuple[str, Callable[[Cells], Floats], tuple[str, ...]], ...] = (
    ("stacked", lambda cells: cells.stacked_s, ("hot_press", "hipot_tester")),
    ("assembled", lambda cells: cells.at("assembly_h"), ("tab_welder", "seam_welder", "leak_tester")),
    ("filled", lambda cells: cells.at("filling_h"), ("bake_oven", "filler")),
    ("formed", lambda cells: cells.at("formation_h"), ("formation_cabinet", "degasser")),
    ("graded", lambda cells: cells.graded_s, ("grading_cabinet",)),
)


def with_cells(world: World, states: Table, due: DueCells, day: int) -> Table:
    """States of a day with the counts of the machines that count cells after the stackers.

    A machine's cells come off it evenly over its time in Execute, in their order. What is more than it can do in this
    time at its ideal rate, since it broke down or since a cabinet of a sampled plant gets the cells of all its channels
    at once, the other machines of its step count; what all of them can't, as on a day of a planned stop, nobody does.
    In a sampled plant each cell stands for 1/scale cells of the line.

    Good is, after ISO 22400-2, what meets its specification the first time: at a step what goes on to the next one;
    at grading the cells that the first test grades premium. A B-grade cell is sold by concession and one that is
    premium only at a second test was worked over: both were produced, neither was good (domain 1.16 has them among
    the losses of grading).

    Args:
        world: the plant.
        states: of the day.
        due: its cells; others among them are left out.
        day: the production day.
    """
    begin, end = world.clock.bounds(day)
    produced, good = states["produced_count"].copy(), states["good_count"].copy()
    is_running = states["state_code"] == "Execute"
    for group, moment, classes in _AT:
        cells: Cells = getattr(due, group)
        at_s = moment(cells)
        rows = np.flatnonzero((at_s >= begin) & (at_s < end))
        rows = rows[np.argsort(at_s[rows], kind="stable")]
        for machine_class in classes:
            through, is_good = _passed(world, cells, machine_class)
            came = rows[through[rows]]
            # Whole numbers of cells that add up to the line's.
            came = np.repeat(came, np.diff(np.round(np.arange(len(came) + 1) / world.scale)).astype(int))
            machines = world.site.machines(machine_class)
            runs = [np.flatnonzero(is_running & (states["machine_id"] == each.id)) for each in machines]
            hours = np.array([(states["end_s"][run] - states["start_s"][run]).sum() for run in runs]) / HOUR
            room = np.floor(hours * [each.ideal_rate_per_h or 0.0 for each in machines]).astype(int)
            machine = _taken_by(cells.machine_no(machine_class)[came], room)
            for no, run in enumerate(runs):
                _spread(states, run, is_good[came[machine == no]], produced, good)
    return states | {"produced_count": produced, "good_count": good}


def with_rolls(states: Table, records: Mapping[str, Table]) -> Table:
    """States of a day with the metres that coaters made in vain, of the rolls that the day's cells were the first of.

    These were coated the day before: which rolls are scrapped of what is coated today is not known before their cells.
    """
    rolls = records.get("mes__mother_roll")
    if rolls is None:
        return states
    good, is_lost = states["good_count"].copy(), np.isin(rolls["mother_roll_id"], records["mes__scrap"]["entity_id"])
    for coater in np.unique(rolls["machine_id"]):
        own = rolls["machine_id"] == coater
        ratio = rolls["length_m"][own & ~is_lost].sum() / rolls["length_m"][own].sum()
        at = states["machine_id"] == coater
        good[at] = np.floor(states["produced_count"][at] * ratio)
    return states | {"good_count": good}


def _passed(world: World, cells: Cells, machine_class: str) -> tuple[Bools, Bools]:
    """Cells that got to a machine of a class, and those of them that were good there."""
    order = {step.code: step.order for step in world.site.plan.steps}
    here = order[world.site.machines(machine_class)[0].step]
    lost_at = cells.lost_at()
    lost_order = np.array([order[step] if step else np.inf for step in lost_at])
    through, is_good = lost_order >= here, lost_order > here
    if machine_class == "grading_cabinet":
        is_good = is_good & cells.is_premium
    return through, is_good


def _taken_by(wanted: Ints, room: Ints) -> Ints:
    """Machine that counts each cell: the one it is meant for as long as that has room, then others; -1 for none."""
    order = np.argsort(wanted, kind="stable")
    count = np.bincount(wanted, minlength=len(room))
    rank = np.empty(len(wanted), dtype=np.int64)
    rank[order] = np.arange(len(wanted)) - np.repeat(np.cumsum(count) - count, count)
    machine: Ints = np.where(rank < room[wanted], wanted, -1)
    free = np.repeat(np.arange(len(room)), room - np.minimum(count, room))
    others = np.flatnonzero(machine < 0)[: len(free)]
    machine[others] = free[np.arange(len(others)) * len(free) // max(len(others), 1)]
    return machine


def _spread(states: Table, runs: Ints, is_good: Bools, produced: Array, good: Array) -> None:
    """Add cells in their order to a machine's states in Execute, as many to each as its share of the time."""
    if not len(is_good):
        return
    until_s: Floats = np.cumsum(states["end_s"][runs] - states["start_s"][runs])
    when_s = (np.arange(len(is_good)) + 0.5) / len(is_good) * until_s[-1]
    run = runs[np.searchsorted(until_s, when_s)]
    np.add.at(produced, run, 1)
    np.add.at(good, run, is_good)
