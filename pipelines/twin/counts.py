"""What machines counted on a day: the cells that went through them, and which of these were good."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.twin.cells import Cells, DueCells
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

    A machine's cells come off it evenly over its time in Execute, in their order. A machine that never ran on the day
    counts none. In a sampled plant each cell stands for 1/scale cells of the line; a cabinet, which takes the cells of
    all its channels at a time, shows them in lumps there.

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
            machine = cells.machine(machine_class)[came]
            for each in np.unique(machine):
                runs = np.flatnonzero(is_running & (states["machine_id"] == each))
                if len(runs):
                    _spread(world, states, runs, is_good[came[machine == each]], produced, good)
    return states | {"produced_count": produced, "good_count": good}


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


def _spread(world: World, states: Table, runs: Ints, is_good: Bools, produced: Array, good: Array) -> None:
    """Add cells in their order to a machine's states in Execute, as many to each as its share of the time."""
    until_s: Floats = np.cumsum(states["end_s"][runs] - states["start_s"][runs])
    when_s = (np.arange(len(is_good)) + 0.5) / len(is_good) * until_s[-1]
    run = runs[np.searchsorted(until_s, when_s)]
    # Whole numbers of cells that add up to the line's.
    stands_for = np.diff(np.round(np.arange(len(is_good) + 1) / world.scale))
    np.add.at(produced, run, stands_for)
    np.add.at(good, run, stands_for * is_good)
