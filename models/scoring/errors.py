"""What a version's answers were off by on rows that it has not learnt from: what its intervals follow."""

from __future__ import annotations

import numpy as np

from models.context import ModelContext
from models.evaluation.adaptive import is_adaptive
from models.features.frame import EmptyTableError, load_frame
from models.features.these import these_rows
from models.labels.labels import labels_like
from models.scoring.runtime import Array, Scorer, raw_columns
from models.spec import PredictiveSpec
from models.splits.splits import Cut, make_order


def errors_seen(spec: PredictiveSpec, ctx: ModelContext, scorer: Scorer) -> tuple[Array, Array] | None:
    """Absolute errors on the labelled rows beyond the version's cut-off, and when their labels became known.

    These are the rows of its hold-out and what came after: the intervals that act go on where the judged ones ended.

    Args:
        spec: the solution.
        ctx: snapshot and moment; labels known later are not seen.
        scorer: the version.

    Returns:
        Errors and datetime64 moments; None where no label has come, or the intervals do not follow them.
    """
    if not is_adaptive(spec, scorer) or spec.split.time is None:
        return None
    bare = spec.model_copy(update={"slices": [], "baseline": spec.baseline.model_copy(update={"column": None})})
    try:
        # First without features, which may be hundreds: where a group began tells which rows lie beyond the cut-off.
        every = load_frame(bare, ctx, columns=[])
    except EmptyTableError:
        return None
    if every.known_at is None:
        return None
    y = labels_like(spec, every.raw_target(), [])
    order = make_order(every, y, spec)
    later = np.flatnonzero(~np.isnan(y) & Cut(**scorer.bundle["record"]["cut"]).holds_out(order))
    if len(later) == 0:
        return None
    own, known_at = every.take(later), every.known_at[later]
    where, relations = these_rows(spec, own.table, own.time)
    frame = load_frame(
        bare,
        ctx,
        with_target=False,
        columns=raw_columns(scorer.bundle["features"]),
        where=where,
        relations=relations,
    )
    # Both come in the order of time and keys, which name one row.
    return np.abs(y[later] - scorer.predict(frame.table)["value"]), known_at
