"""Rows, labels and the cut of one solution: the ground that training and judging share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from models.context import ModelContext
from models.features.frame import Frame, load_frame
from models.labels.labels import Labels, make_labels
from models.scoring.runtime import Array
from models.spec import PredictiveSpec
from models.splits.splits import Order, Split, make_order, make_split
from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from models.distributed.rows import TrainingSet

# Share of labels beyond the stated delay from which the newest rows are told to be a biased sample.
_MUCH_LATE = 0.01


@dataclass
class Prepared:
    """All rows with labels, their order, and the hold-out cut.

    Attributes:
        training_set: Rows that the final fit learns where they are more than is read here; None: the development rows.
    """

    frame: Frame
    labels: Labels
    order: Order
    split: Split
    training_set: TrainingSet | None = field(default=None, kw_only=True)

    @property
    def has_group(self) -> bool:
        """Whether rows belong to real groups."""
        return self.frame.group is not None

    @property
    def n_learnt(self) -> int:
        """Rows that the final fit learns."""
        return len(self.split.development) if self.training_set is None else len(self.training_set.y)


def prepare(spec: PredictiveSpec, ctx: ModelContext, columns: Sequence[str] | None = None) -> Prepared:
    """Read and check a solution's rows and cut the hold-out.

    Args:
        spec: the solution.
        ctx: snapshot and moment.
        columns: exactly these features; None: what the YAML selects.

    Raises:
        CellworksError: nothing can be learnt from the table, with the reason.
    """
    if spec.train_on == "dask":
        from models.distributed.rows import prepare_parts

        return prepare_parts(spec, ctx, columns)
    frame = load_frame(spec, ctx, columns=columns)
    labels = make_labels(spec, frame.raw_target())
    order = make_order(frame, labels.y, spec)
    split = make_split(order, labels.y, spec)
    split.notes.extend(late_labels(spec, frame))
    return checked(spec, Prepared(frame, labels, order, split))


def late_labels(spec: PredictiveSpec, frame: Frame) -> list[str]:
    """The remark on labels that come later than the solution says."""
    if frame.late_ratio <= _MUCH_LATE:
        return []
    late = f"{100 * frame.late_ratio:.1f} % of the labels came later than target.delay_h ({spec.target.delay_h:g} h)"
    return [f"{late}: the newest rows are no fair sample, lengthen it"]


def newest_rows(prepared: Prepared, spec: PredictiveSpec) -> Array:
    """Development rows for the trials: the newest `max_rows`, or as many drawn without time."""
    rows = prepared.split.development
    if len(rows) <= spec.search.max_rows:
        return rows
    order = prepared.order
    rank = order.finish[rows] if order.finish is not None else -order.draw[rows]
    return np.sort(rows[np.argsort(rank, kind="stable")[-spec.search.max_rows :]])


def checked(spec: PredictiveSpec, prepared: Prepared) -> Prepared:
    """What was prepared, where there is enough on both sides of the cut.

    Raises:
        CellworksError: there is not.
    """
    split = prepared.split
    if len(split.development) < 20 or len(split.holdout) == 0:
        raise CellworksError(
            "the rows cannot be parted into development and hold-out",
            expected="at least 20 rows finished before the hold-out begins",
            found=f"{len(split.development)} before, {len(split.holdout)} in the hold-out",
            mend="wait for more labelled rows, or change split.holdout_ratio",
            where=spec.solution,
        )
    return prepared
