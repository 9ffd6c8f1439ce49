"""Proposing actions: guard rails first, then one append to the lake."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
from duckdb import DuckDBPyConnection

from pipelines.access.beside import INITIAL_STATE, PROPOSER
from pipelines.access.rules import require, rules_of
from pipelines.actions.limits import USED_TODAY_SQL, production_day
from pipelines.actions.modes import in_force
from pipelines.actions.tables import STATE_SQL, ensure_tables
from pipelines.control_plan.derive import setpoint_moves
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.product import ActionPolicy
from pipelines.control_plan.site import Site
from pipelines.lake.connection import transaction

PROPOSAL = pa.schema(
    [
        ("target_id", pa.string()),
        ("priority", pa.float64()),
        ("reason", pa.string()),
        ("characteristic_code", pa.string()),
        ("current_value", pa.float64()),
        ("proposed_value", pa.float64()),
    ]
)
REST_TARGET = "*"


@dataclass(frozen=True)
class Origin:
    """Where proposals come from.

    Attributes:
        solution: slug of the solution.
        kind: action kind, one of the site's.
        at: the plant's now (UTC) at which they are proposed.
        model_version: version that said so, "" for rules.
        lake_snapshot: snapshot that it read.
    """

    solution: str
    kind: str
    at: datetime
    model_version: str = ""
    lake_snapshot: int | None = None


@dataclass(frozen=True)
class ActionReport:
    """What became of a set of proposals: counts that add up to `received`.

    Attributes:
        proposed: written as actions of their own.
        grouped: folded into one action because the limit of the hour or day was reached.
        repeated: left out, the same target was acted on within the policy's cool-down or its limit of the day.
        refused: left out by a guard rail, reason -> count.
    """

    received: int = 0
    proposed: int = 0
    grouped: int = 0
    repeated: int = 0
    refused: dict[str, int] = field(default_factory=dict)


def propose(con: DuckDBPyConnection, site: Site, origin: Origin, rows: pa.Table) -> ActionReport:
    """Pass proposals through the site's guard rails and append what remains, in one transaction.

    The most urgent come first. A solution takes at most a quarter of what the kind's limits leave of hour and day, for
    the others act at the same hour of the night. What exceeds that becomes one action that names the count, so a storm
    can't bury the line's people. Running again over the same rows proposes nothing new.

    Args:
        con: a writing connection to the lake, outside a transaction.
        site: gives mode, limits and the control plan.
        origin: solution, kind and evidence.
        rows: table with the columns of `PROPOSAL`; the last three matter for `setpoint_advice` only.

    Returns:
        Counts by outcome.

    Raises:
        CellworksError: the site has no policy for the kind, a column is missing, or the lake knows other rules of who
            may do what.
    """
    if rows.num_rows:  # most solutions call for nothing in a night, and are not kept waiting
        require(con, rules_of(site))
    policy = in_force(con, site, origin.kind)
    candidates = _columns(rows)
    ensure_tables(con)
    con.register("cw_candidate", candidates)
    try:
        with transaction(con):
            return _append(con, site, origin, policy, candidates.num_rows)
    finally:
        con.unregister("cw_candidate")


def _columns(rows: pa.Table) -> pa.Table:
    missing = {"target_id", "priority", "reason"} - set(rows.column_names)
    if missing:
        raise CellworksError(
            "proposals lack columns", expected=", ".join(PROPOSAL.names), found=f"no {sorted(missing)}"
        )
    columns = [
        rows[name].cast(kind) if name in rows.column_names else pa.nulls(rows.num_rows, kind)
        for name, kind in zip(PROPOSAL.names, PROPOSAL.types, strict=True)
    ]
    return pa.table(columns, schema=PROPOSAL)


def _append(con: DuckDBPyConnection, site: Site, origin: Origin, policy: ActionPolicy, received: int) -> ActionReport:
    _judge(con, site, origin)
    _mark_repeats(con, site, origin, policy)
    room = _room(con, site, origin, policy)
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE cw_ranked AS
        SELECT *, row_number() OVER (ORDER BY priority DESC, target_id) AS rank
        FROM cw_judged WHERE verdict = ''
        """
    )
    kept = con.execute("SELECT count(*) FROM cw_ranked").fetchone()
    fitting = int(kept[0]) if kept else 0
    own = fitting if fitting <= room else max(room - 1, 0)
    _write(con, site, origin, policy, own)
    grouped = fitting - own
    if grouped and room > 0:
        _write_rest(con, site, origin, policy, own, grouped)
    refused = dict(
        con.execute(
            "SELECT verdict, count(*) FROM cw_judged WHERE verdict NOT IN ('', 'repeated') GROUP BY 1"
        ).fetchall()
    )
    if grouped and room <= 0:
        refused["the limit of the hour or day is used up"] = grouped
        grouped = 0
    repeated = received - own - grouped - sum(refused.values())
    return ActionReport(received, own, grouped, repeated, refused)


def _judge(con: DuckDBPyConnection, site: Site, origin: Origin) -> None:
    """Table cw_judged: candidates with a verdict, '' for those that may pass; one row per target at most."""
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE cw_judged AS
        SELECT *, CASE
            WHEN target_id IS NULL OR target_id = '' THEN 'no target'
            WHEN priority IS NULL OR NOT isfinite(priority) THEN 'priority is missing or not finite'
            WHEN row_number() OVER (
                PARTITION BY target_id, characteristic_code ORDER BY priority DESC, reason) > 1
                THEN 'repeated'
            ELSE '' END AS verdict
        FROM cw_candidate
        """
    )
    if origin.kind == "setpoint_advice":
        _judge_moves(con, site, origin.at)


def _judge_moves(con: DuckDBPyConnection, site: Site, at: datetime) -> None:
    """Refuse set-point moves that the control plan does not allow: which, how far at once, how far in an hour."""
    moves = [move for row in site.plan.rows if (move := setpoint_moves(row)) is not None]
    con.register(
        "cw_movable",
        pa.table(
            {
                "code": pa.array([move.code for move in moves], pa.string()),
                **{
                    name: pa.array([getattr(move, name) for move in moves], pa.float64())
                    for name in ("low", "high", "max_step", "max_rate_per_h")
                },
            }
        ),
    )
    # What was rejected or only shadowed did not move the line.
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE cw_judged AS
        WITH moved AS (
            SELECT target_id, characteristic_code AS code, sum(abs(proposed_value - current_value)) AS moved
            FROM ({STATE_SQL})
            WHERE kind = 'setpoint_advice' AND proposed_at > ? AND state NOT IN ('rejected', 'shadowed')
            GROUP BY ALL)
        SELECT j.* REPLACE (CASE
            WHEN verdict <> '' THEN verdict
            WHEN m.code IS NULL THEN 'the control plan allows no move of this characteristic'
            WHEN NOT coalesce(isfinite(current_value) AND isfinite(proposed_value), false)
                THEN 'a value is missing or not finite'
            WHEN abs(proposed_value - current_value) > m.max_step * (1 + 1e-9)
                THEN 'move is larger than the control plan allows'
            WHEN proposed_value < m.low OR proposed_value > m.high
                THEN 'proposed value is outside the specification limits'
            WHEN coalesce(h.moved, 0) + abs(proposed_value - current_value) > m.max_rate_per_h * (1 + 1e-9)
                THEN 'moves of the last hour add up to more than the control plan allows'
            ELSE '' END AS verdict)
        FROM cw_judged AS j
        LEFT JOIN cw_movable AS m ON j.characteristic_code = m.code
        LEFT JOIN moved AS h ON j.target_id = h.target_id AND j.characteristic_code = h.code
        """,
        [at - timedelta(hours=1)],
    )
    con.unregister("cw_movable")


def _mark_repeats(con: DuckDBPyConnection, site: Site, origin: Origin, policy: ActionPolicy) -> None:
    """Leave out targets that this solution acted on lately, or that were acted on often enough today by any."""
    con.execute(
        """
        UPDATE cw_judged SET verdict = 'repeated' WHERE verdict = '' AND EXISTS (
            SELECT 1 FROM lake.ops.action AS a
            WHERE a.solution = ? AND a.kind = ? AND a.target_id = cw_judged.target_id
              AND a.characteristic_code IS NOT DISTINCT FROM cw_judged.characteristic_code
              AND (a.proposed_at > ? OR a.proposed_at = ?))
        """,
        [origin.solution, origin.kind, origin.at - timedelta(seconds=policy.cooldown_s), origin.at],
    )
    con.execute(
        f"""
        WITH today AS ({USED_TODAY_SQL}),
        placed AS (
            SELECT j.rowid AS row_no, coalesce(used, 0)
                + row_number() OVER (PARTITION BY j.target_id ORDER BY j.priority DESC, j.characteristic_code) AS place
            FROM cw_judged AS j LEFT JOIN today USING (target_id) WHERE verdict = '')
        UPDATE cw_judged SET verdict = 'repeated' FROM placed WHERE cw_judged.rowid = row_no AND place > ?
        """,
        [origin.kind, production_day(site, origin.at), policy.max_per_target_day],
    )


def _room(con: DuckDBPyConnection, site: Site, origin: Origin, policy: ActionPolicy) -> int:
    """How many more actions of this kind the solution may propose: a quarter, rounded up, of what fits hour and day.

    All solutions share the limits; the first of a night would otherwise leave nothing to the others.
    """
    used = con.execute(
        """
        SELECT count(*) FILTER (proposed_at > ?), count(*) FILTER (production_day = ?)
        FROM lake.ops.action WHERE kind = ?
        """,
        [origin.at - timedelta(hours=1), production_day(site, origin.at), origin.kind],
    ).fetchone() or (0, 0)
    left = min(policy.max_per_hour - int(used[0]), policy.max_per_day - int(used[1]))
    return -(-left // 4)


def _write(con: DuckDBPyConnection, site: Site, origin: Origin, policy: ActionPolicy, count: int) -> None:
    con.execute(
        """
        INSERT INTO lake.ops.action
        SELECT md5(concat_ws('|', ?, ?, target_id, characteristic_code, CAST(? AS VARCHAR))), ?, ?, target_id,
            characteristic_code, current_value, proposed_value, priority, coalesce(reason, ''),
            1, ?, ?, ?, ?, ?
        FROM cw_ranked WHERE rank <= ?
        """,
        [
            origin.solution,
            origin.kind,
            origin.at,
            origin.solution,
            origin.kind,
            policy.mode,
            origin.model_version,
            origin.lake_snapshot,
            origin.at,
            production_day(site, origin.at),
            count,
        ],
    )
    con.execute(
        """
        INSERT INTO lake.ops.action_audit
        SELECT action_id, 0, ?, ?, concat('proposed by ', solution), proposed_at
        FROM lake.ops.action WHERE solution = ? AND kind = ? AND proposed_at = ?
          AND action_id NOT IN (SELECT action_id FROM lake.ops.action_audit)
        """,
        [INITIAL_STATE[policy.mode], PROPOSER, origin.solution, origin.kind, origin.at],
    )


def _write_rest(
    con: DuckDBPyConnection, site: Site, origin: Origin, policy: ActionPolicy, after: int, count: int
) -> None:
    first = con.execute("SELECT target_id, reason, priority FROM cw_ranked WHERE rank = ?", [after + 1]).fetchone()
    target, reason, priority = first or (REST_TARGET, "", 0.0)
    action_id = hashlib.md5(
        f"{origin.solution}|{origin.kind}|{REST_TARGET}|{origin.at}".encode(), usedforsecurity=False
    ).hexdigest()
    limits = f"{policy.max_per_hour} an hour and {policy.max_per_day} a day"
    text = f"{count} more beyond the limits of {limits}; first: {target} ({reason})"
    con.execute(
        "INSERT INTO lake.ops.action VALUES (?, ?, ?, ?, NULL, NULL, NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            action_id,
            origin.solution,
            origin.kind,
            REST_TARGET,
            priority,
            text,
            count,
            policy.mode,
            origin.model_version,
            origin.lake_snapshot,
            origin.at,
            production_day(site, origin.at),
        ],
    )
    con.execute(
        "INSERT INTO lake.ops.action_audit VALUES (?, 0, ?, ?, ?, ?)",
        [action_id, INITIAL_STATE[policy.mode], PROPOSER, f"proposed by {origin.solution}", origin.at],
    )
