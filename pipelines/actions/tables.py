"""The two tables of actions; both are only appended to, so what was proposed and decided can't be edited."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from pipelines.lake.connection import create_missing

_DDL = (
    """
    CREATE TABLE IF NOT EXISTS lake.ops.action (
        action_id VARCHAR NOT NULL, solution VARCHAR NOT NULL, kind VARCHAR NOT NULL,
        target_id VARCHAR NOT NULL, characteristic_code VARCHAR, current_value DOUBLE, proposed_value DOUBLE,
        priority DOUBLE NOT NULL, reason VARCHAR NOT NULL, grouped_count BIGINT NOT NULL,
        mode VARCHAR NOT NULL,
        model_version VARCHAR, lake_snapshot BIGINT, proposed_at TIMESTAMP NOT NULL,
        production_day DATE NOT NULL)
    """,
    """
    CREATE TABLE IF NOT EXISTS lake.ops.action_audit (
        action_id VARCHAR NOT NULL, seq INTEGER NOT NULL, event VARCHAR NOT NULL, who VARCHAR NOT NULL,
        why VARCHAR NOT NULL, event_at TIMESTAMP NOT NULL)
    """,
)

# An action's state is its last audit event: nothing is ever updated in place. Events are ordered by `seq`,
# since proposals carry the plant's clock and decisions the wall clock.
STATE_SQL = """
    SELECT a.*, e.seq, e.event AS state, e.who AS decided_by, e.why AS decided_why, e.event_at AS decided_at
    FROM lake.ops.action AS a
    JOIN (
        SELECT action_id, max(seq) AS seq, arg_max(event, seq) AS event, arg_max(who, seq) AS who,
            arg_max(why, seq) AS why, arg_max(event_at, seq) AS event_at
        FROM lake.ops.action_audit GROUP BY action_id
    ) AS e USING (action_id)
"""


def ensure_tables(con: DuckDBPyConnection) -> None:
    """Create the tables of actions where they are missing.

    Args:
        con: a writing connection to the lake.
    """
    create_missing(con, "CREATE SCHEMA IF NOT EXISTS lake.ops", *_DDL)
