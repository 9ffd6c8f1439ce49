"""A training set that no process holds as a whole: what the driver reads of it, and what each worker reads.

The driver reads keys, labels, times and groups of all rows, which are narrow, cuts the hold-out by them, and reads the
features of the rows that the search and the judges need. A worker reads the features of its part, named by its keys
and by the range that they lie in, so that DuckDB skips the row groups of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.distributed.cluster import require_dask
from models.features.frame import Frame, load_frame
from models.features.these import these_rows
from models.labels.labels import Labels, make_labels
from models.prepare import Prepared, checked, late_labels, newest_rows
from models.scoring.runtime import Array, matrix, raw_columns
from models.spec import Baseline, PredictiveSpec
from models.splits.splits import Order, make_order, make_split
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.progress import silent

_KEY = "__key_"


@dataclass(frozen=True)
class TrainingSet:
    """Rows in the order of time and keys.

    Attributes:
        keys: the keys of each row, by the names that the frame gives them.
        time: when the solution acts, datetime64[us]; None for a table without time.
        y: labels as the learners take them.
    """

    keys: pa.Table
    time: Array | None
    y: Array

    def take(self, rows: Array) -> TrainingSet:
        """Some of its rows."""
        return TrainingSet(self.keys.take(pa.array(rows)), None if self.time is None else self.time[rows], self.y[rows])

    def parts(self, count: int) -> list[TrainingSet]:
        """As many parts of consecutive rows, of the same size but for one row."""
        return [self.take(rows) for rows in np.array_split(np.arange(len(self.y)), min(count, len(self.y)))]


def prepare_parts(spec: PredictiveSpec, ctx: ModelContext, columns: Sequence[str] | None = None) -> Prepared:
    """As `models.prepare.prepare`, with the features of the newest development rows and the hold-out only.

    Raises:
        CellworksError: Dask is not installed, or nothing can be learnt from the table.
    """
    require_dask(spec.solution)
    narrow = spec.model_copy(update={"slices": [], "baseline": Baseline()})
    frame = load_frame(narrow, ctx, columns=[])
    labels = make_labels(spec, frame.raw_target())
    order = make_order(frame, labels.y, spec)
    split = make_split(order, labels.y, spec)
    every = checked(spec, Prepared(frame, labels, order, split))
    keys = frame.table.select([_KEY + key for key in spec.keys])
    whole = TrainingSet(keys, frame.time, labels.y)
    newest = newest_rows(every, spec)
    read = np.sort(np.concatenate([newest, split.holdout]))
    note = (
        f"the final fit learns {len(split.development):,} rows on Dask's workers; "
        f"trials, calibration and intervals the newest {len(newest):,} of them"
    )
    return Prepared(
        _read(spec, ctx, whole.take(read), columns),
        Labels(labels.y[read], labels.classes, labels.infinite),
        _of(order, read),
        replace(
            split,
            development=np.searchsorted(read, newest),
            holdout=np.searchsorted(read, split.holdout),
            notes=[*split.notes, *late_labels(spec, frame), note],
        ),
        training_set=whole.take(split.development),
    )


def read_part(
    spec: PredictiveSpec, ctx: ModelContext, features: list[dict[str, Any]], part: TrainingSet
) -> tuple[Array, Array]:
    """What a worker learns from: feature matrix and labels of its part.

    Args:
        spec: the solution.
        ctx: snapshot and threads.
        features: the contract.
        part: its rows.

    Raises:
        CellworksError: a row is not there any more.
    """
    bare = spec.model_copy(update={"slices": []})
    frame = _read(bare, ctx, part, raw_columns(features), with_target=False)
    return matrix(frame.table, features), part.y


def for_workers(ctx: ModelContext) -> ModelContext:
    """The context as it goes to a worker: the columns are chosen, so it needs no site, and it tells nobody."""
    return replace(ctx, site=None, tell=silent)


def _read(
    spec: PredictiveSpec,
    ctx: ModelContext,
    rows: TrainingSet,
    columns: Sequence[str] | None,
    *,
    with_target: bool = True,
) -> Frame:
    """The frame of some rows, which are in its order."""
    where, relations = these_rows(spec, rows.keys, rows.time)
    frame = load_frame(spec, ctx, with_target=with_target, columns=columns, where=where, relations=relations)
    if not frame.table.select(rows.keys.column_names).equals(rows.keys):
        raise CellworksError(
            f"the rows of '{spec.table}' changed while they were learnt from",
            expected=f"the {len(rows.y):,} rows that were cut",
            found=f"{frame.n_rows:,} rows, or others",
            mend="read a lake table, whose snapshot stands, or leave the file as it is",
            where=spec.solution,
        )
    return frame


def _of(order: Order, rows: Array) -> Order:
    """The order of some rows, groups numbered anew."""
    _, group = np.unique(order.group[rows], return_inverse=True)

    def some(values: Array | None) -> Array | None:
        return None if values is None else values[rows]

    return Order(some(order.finish), group, some(order.start), order.draw[rows], order.stratum[rows], some(order.held))
