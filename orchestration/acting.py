"""From stored predictions to proposed actions: which rows can still be acted upon, and by which champion."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from models.context import ModelContext
from models.spec import PredictiveSpec

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.actions.propose import ActionReport


def act(spec: PredictiveSpec, ctx: ModelContext, at: datetime, version: str) -> ActionReport:
    """Propose what the flagged predictions call for; reports are read, not acted upon.

    Args:
        spec: The solution with its action.
        ctx: Instance, site and snapshot.
        at: The plant's now (UTC, naive) at which the actions are proposed.
        version: The champion, whose predictions count.
    """
    from pipelines.actions.propose import ActionReport, Origin, propose
    from pipelines.lake.connection import writer

    if spec.action.kind == "report" or ctx.site is None:
        return ActionReport()
    with writer(ctx.home, why=f"actions of {spec.solution}") as con:
        origin = Origin(spec.slug, spec.action.kind, at, version, ctx.snapshot)
        return propose(con, ctx.site, origin, _still_open(con, spec, at))


def _still_open(con: DuckDBPyConnection, spec: PredictiveSpec, at: datetime) -> pa.Table:
    """Targets whose newest prediction is flagged, while its outcome is not known yet.

    A first night and a promotion score the whole history: what was graded weeks ago asks for nothing any more.
    A machine has a row per hour: that it was at risk this morning says nothing once it was served.
    """
    from models.scoring.table import relation
    from pipelines.lake.sql import quote_identifier

    key = quote_identifier(spec.keys[0])
    where, parameters = "predicted_at = ?", [at]
    if spec.target.delay_h is not None:
        where += " AND event_at > ?"
        parameters.append(at - timedelta(hours=spec.target.delay_h))
    return con.execute(
        f"""
        WITH newest AS (
            SELECT CAST({key} AS VARCHAR) AS target_id, coalesce(probability, value) AS priority,
                CAST(reasons AS VARCHAR) AS reason, is_flagged
            FROM {relation(spec.slug)} WHERE {where}
            QUALIFY row_number() OVER (
                PARTITION BY target_id ORDER BY event_at DESC, scored_at DESC, is_flagged DESC, priority DESC) = 1)
        SELECT target_id, priority, reason FROM newest WHERE is_flagged
        """,
        parameters,
    ).to_arrow_table()
