"""From answers that act to the moves of a set-point that they stand for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.scoring.runtime import Array
from models.spec import MoveTo, PredictiveSpec
from pipelines.control_plan.derive import setpoint_moves
from pipelines.control_plan.errors import CellworksError

_STAMPS = ("model_version", "lake_snapshot", "predicted_at", "scored_at")


def moves_of(spec: PredictiveSpec, move: MoveTo, ctx: ModelContext, rows: pa.Table, wanted: Array) -> pa.Table:
    """Rows of `solutions.<slug>_move` for the answers that act; the nearest value within the specification is proposed.

    Args:
        spec: the solution.
        move: what is moved.
        ctx: gives the site.
        rows: answers, as `answer_table` makes them.
        wanted: value that the set-point is to be set to, of each row.

    Raises:
        CellworksError: there is no site, or its plan allows no move of the set-point.
    """
    row = ctx.site.plan.by_code.get(move.code) if ctx.site else None
    allowed = setpoint_moves(row) if row else None
    if row is None or allowed is None or row.nominal is None:
        raise CellworksError(
            f"'{move.code}' is no set-point that may be moved",
            expected="a row of control_plan.csv with nominal, lsl, usl, move_max and move_rate_per_h",
            found=move.code if row is None else f"line {row.line_no} lacks one of them",
            mend="correct action.move.code, or let the control plan allow moves of it",
            where=spec.solution,
        )
    acting = rows["is_flagged"].to_numpy(zero_copy_only=False).astype(bool)
    told = rows.filter(pa.array(acting))
    proposed = np.clip(np.asarray(wanted, dtype=np.float64)[acting], allowed.low, allowed.high)
    urgent = told["probability"] if spec.is_classification else pa.nulls(len(told), pa.float64())
    return (
        told.select([*spec.keys, *_STAMPS])
        .append_column("priority", urgent.cast(pa.float64()))
        .append_column("characteristic_code", pa.array([move.code] * len(told), pa.string()))
        .append_column("current_value", pa.array(np.full(len(told), row.nominal)))
        .append_column("proposed_value", pa.array(proposed))
    )
