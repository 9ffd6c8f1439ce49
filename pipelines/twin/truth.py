"""What the plant could not see, written to the truth folder only: tests and evaluation read it, nothing else may."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.lake.home import Home
from pipelines.twin.cells import LOSSES, Cells, grade
from pipelines.twin.table import Array, Floats, Ints, Table
from pipelines.twin.world import World

OUTCOMES = ("capacity_ah", "dcir_mohm", "acir_mohm", "k_value_mv_h", "thickness_mm")
SPLICE = ("mother_roll_id", "true_at_m", "ended_lot_id", "begun_lot_id")


def truth_dir(home: Home) -> Path:
    """The truth folder of an instance.

    Only this package knows where it lies: an import rule can hold a package off, it can't hold off a folder.
    """
    return home.root / "truth"


def cell_truth(world: World, cells: Ints, stacked_s: Floats) -> Table:
    """Of cells whose life is over: true values and causes, why they were lost, and what would have been.

    Returns:
        cell_id; true_<code> of the outcomes in their units; z_<code> of every node of the graph in standard
        deviations; lost_step_code and loss_cause_code of lost cells; grade_code at the first grading, true_grade_code
        without the gauges' errors, failed_code (first premium limit that the shown values broke); and
        counterfactual_grade_code, the grade without scenario and decisions (empty: lost).
    """
    lived = Cells(world, cells, stacked_s)
    plan, nodes = world.site.plan.by_code, world.graph.nodes
    lost = lived.lost_at()
    graded = lived.graded() | {code: values for code, values in lived.aged().items() if code in plan}
    shown_grade = np.where(lost == "", graded["grade_code"], "")
    limits = {code for each in world.site.grades for code in each.limits}
    true = {code: world.value(plan[code], lived.z(code)) for code in limits}
    return {
        "cell_id": lived.ids,
        **{f"true_{code}": world.value(plan[code], lived.z(code)) for code in OUTCOMES},
        **{f"z_{code}": lived.z(code).astype(np.float32) for code in nodes if _is_of_cells(world, code)},
        "lost_step_code": lost,
        "loss_cause_code": _causes(world, lived, lost),
        "grade_code": shown_grade,
        "true_grade_code": np.where(lost == "", grade(world.site.grades, true, 1), ""),
        "failed_code": np.where(shown_grade == "", "", _failed(world, graded)),
        "counterfactual_grade_code": _undisturbed_grade(world, cells, stacked_s, shown_grade),
    }


def _is_of_cells(world: World, code: str) -> bool:
    row = world.site.plan.by_code.get(code)
    return row is None or row.entity not in ("module", "container", "machine_hour")


def _causes(world: World, lived: Cells, lost: Array) -> Array:
    """The driver that did most for the loss of each lost cell."""
    cause: Array = np.full(len(lost), "", dtype=object)
    for step, _, loss in LOSSES:
        drivers = world.graph.loss_drivers[loss]
        pushes = np.array([weight * lived.z(code) for code, weight in drivers.items()])
        strongest = np.array(list(drivers), dtype=object)[pushes.argmax(axis=0)]
        cause = np.where(lost == step, strongest, cause)
    return cause


def _failed(world: World, values: Table) -> Array:
    failed: Array = np.full(len(values["cell_id"]), "", dtype=object)
    premium = next(each for each in world.site.grades if each.is_premium)
    for code, limits in premium.limits.items():
        low = limits.min if limits.min is not None else -np.inf
        high = limits.max if limits.max is not None else np.inf
        failed = np.where((failed == "") & ((values[code] < low) | (values[code] > high)), code, failed)
    return failed


def _undisturbed_grade(world: World, cells: Ints, stacked_s: Floats, actual: Array) -> Array:
    if not world.is_disturbed:
        return actual
    other = Cells(world.undisturbed(), cells, stacked_s)
    return np.where(other.lost_at() == "", other.graded()["grade_code"], "")


def splice_truth(records: Table) -> Table:
    """Of the day's splices of foil: mother_roll_id, the metre where it truly lies in true_at_m, and the two lots."""
    return {name: records[name] for name in SPLICE} if records else {}


def read_truth(home: Home, name: str) -> pa.Table | None:
    """A table of the truth, all days of it, for evaluations; None when this instance has none."""
    files = sorted((truth_dir(home) / name).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]) if files else None
