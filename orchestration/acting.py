"""From stored predictions to proposed actions: which rows can still be acted upon, and by which champion or rule."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from models.context import ModelContext
from models.solution import SolutionSpec
from orchestration.logs import bound

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.actions.propose import ActionReport, Origin

_LOG = logging.getLogger("cellworks.actions")


def act(spec: SolutionSpec, ctx: ModelContext, at: datetime, version: str) -> ActionReport:
    """Propose what the flagged predictions call for; reports are read, not acted upon.

    Args:
        spec: The solution with its action.
        ctx: Instance, site and snapshot.
        at: The plant's now (UTC, naive) at which the actions are proposed.
        version: The champion or the rule, whose predictions count.
    """
    from pipelines.actions.propose import ActionReport, Origin, propose
    from pipelines.actions.tables import ensure_tables
    from pipelines.lake.connection import writer
    from pipelines.lake.lock import ACTS

    if spec.action.kind == "report" or ctx.site is None:
        return ActionReport()
    with writer(ctx.home, why=f"actions of {spec.solution}", area=ACTS) as con:
        ensure_tables(con)
        origin = Origin(spec.slug, spec.action.kind, at, version, ctx.snapshot)
        report = propose(con, ctx.site, origin, _still_open(con, spec, origin))
        _tell(con, spec, origin)
    return report


def _tell(con: DuckDBPyConnection, spec: SolutionSpec, origin: Origin) -> None:
    """A line of the log for each action; the guard rails bound how many there are."""
    if not _LOG.isEnabledFor(logging.INFO):
        return
    written = con.execute(
        "SELECT action_id, target_id, mode, reason FROM lake.ops.action "
        "WHERE solution = ? AND kind = ? AND proposed_at = ? ORDER BY priority DESC",
        [origin.solution, origin.kind, origin.at],
    ).fetchall()
    is_lot = "lot" in spec.keys[0].split("_")
    for action_id, target, mode, reason in written:
        with bound(lot=target if is_lot else None):
            told = {"action": action_id, "kind": origin.kind, "target": target, "mode": mode, "reason": reason}
            _LOG.info("action proposed", extra=told)


def _still_open(con: DuckDBPyConnection, spec: SolutionSpec, origin: Origin) -> pa.Table:
    """Targets that the champion's newest prediction flags, whose outcome is open and that nothing was proposed for.

    A first night and a promotion score the whole history: what was graded weeks ago asks for nothing any more.
    A machine has a row per hour: that it was at risk this morning says nothing once it was served.

    Every night looks at all stored rows, not at those it scored itself: a run that was killed after its predictions
    were written left actions to be proposed. A target is done with when the solution acted on it since the event
    (the cool-down alone would route a cell anew every day until it is graded), or when the one action for all
    beyond the limit spoke of it.
    """
    from pipelines.actions.propose import PROPOSAL, REST_TARGET
    from pipelines.lake.sql import quote_identifier
    from pipelines.lake.tables import has_table

    if not has_table(con, "solutions", spec.slug):
        return PROPOSAL.empty_table()
    answers, move = _with_moves(con, spec)
    horizon = spec.acts_within_h
    since = None if horizon is None else origin.at - timedelta(hours=horizon)
    return con.execute(
        f"""
        WITH newest AS (
            SELECT CAST({quote_identifier(spec.keys[0])} AS VARCHAR) AS target_id,
                coalesce({move("priority")}, probability, value) AS priority, CAST(reasons AS VARCHAR) AS reason,
                {move("characteristic_code")} AS characteristic_code, {move("current_value")} AS current_value,
                {move("proposed_value")} AS proposed_value, is_flagged, event_at, predicted_at
            FROM {answers}
            WHERE model_version::VARCHAR = $version AND ($since IS NULL OR event_at > $since)
            QUALIFY row_number() OVER (
                PARTITION BY target_id ORDER BY event_at DESC, scored_at DESC, is_flagged DESC, priority DESC) = 1),
        acted AS (
            SELECT target_id, max(proposed_at) AS own_at,
                max(proposed_at) FILTER (model_version = $version) AS version_at
            FROM lake.ops.action WHERE solution = $solution AND kind = $kind GROUP BY target_id)
        SELECT newest.target_id, priority, reason, characteristic_code, current_value, proposed_value
        FROM newest
        LEFT JOIN acted AS own ON newest.target_id = own.target_id
        LEFT JOIN acted AS rest ON rest.target_id = $rest
        WHERE is_flagged
          AND (own.own_at IS NULL OR own.own_at < coalesce(event_at, predicted_at))
          AND (rest.version_at IS NULL OR rest.version_at < predicted_at)
        """,
        {
            "version": origin.model_version,
            "since": since,
            "solution": origin.solution,
            "kind": origin.kind,
            "rest": REST_TARGET,
        },
    ).to_arrow_table()


def _with_moves(con: DuckDBPyConnection, spec: SolutionSpec) -> tuple[str, Callable[[str], str]]:
    """Answers with the move of a set-point that each stands for, and how to name a column of the move in SQL.

    Only a family that moves set-points writes `solutions.<slug>_move`; for any other these columns are null.
    """
    from models.scoring.table import relation
    from pipelines.lake.sql import quote_identifier
    from pipelines.lake.tables import has_table

    if not has_table(con, "solutions", f"{spec.slug}_move"):
        return relation(spec.slug), lambda _: "NULL"
    names = ", ".join(quote_identifier(key) for key in (*spec.keys, "model_version", "predicted_at", "scored_at"))
    joined = f"{relation(spec.slug)} LEFT JOIN {relation(f'{spec.slug}_move')} AS move USING ({names})"
    return joined, lambda column: f"move.{column}"
