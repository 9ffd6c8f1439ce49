"""Rows, labels and the cut of one solution: the ground that training and judging share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.context import ModelContext
from models.features.frame import Frame, load_frame
from models.labels.labels import Labels, make_labels
from models.spec import PredictiveSpec
from models.splits.splits import Order, Split, make_order, make_split
from pipelines.control_plan.errors import CellworksError

# Share of labels beyond the stated delay from which the newest rows are told to be a biased sample.
_MUCH_LATE = 0.01


@dataclass
class Prepared:
    """All rows with labels, their order, and the hold-out cut."""

    frame: Frame
    labels: Labels
    order: Order
    split: Split

    @property
    def has_group(self) -> bool:
        """Whether rows belong to real groups."""
        return self.frame.group is not None


def prepare(spec: PredictiveSpec, ctx: ModelContext, columns: Sequence[str] | None = None) -> Prepared:
    """Read and check a solution's rows and cut the hold-out.

    Args:
        spec: the solution.
        ctx: snapshot and moment.
        columns: exactly these features; None: what the YAML selects.

    Raises:
        CellworksError: nothing can be learnt from the table, with the reason.
    """
    frame = load_frame(spec, ctx, columns=columns)
    labels = make_labels(spec, frame.raw_target())
    order = make_order(frame, labels.y, spec)
    split = make_split(order, labels.y, spec)
    if frame.late_ratio > _MUCH_LATE:
        split.notes.append(
            f"{100 * frame.late_ratio:.1f} % of the labels came later than target.delay_h ({spec.target.delay_h:g} h): "
            "the newest rows are no fair sample, lengthen it"
        )
    return checked(spec, Prepared(frame, labels, order, split))


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
