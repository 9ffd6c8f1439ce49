"""`ops.solution_night`: one row per solution and night, only appended to; the status of a solution is its newest."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from datetime import datetime
from functools import partial
from typing import Any

from duckdb import DuckDBPyConnection

from orchestration.cost import Cost
from orchestration.solving import Outcome
from pipelines.lake.clock import next_stamp
from pipelines.lake.connection import reader, retrying, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import area_of
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import columns_of, has_table

NIGHT_COLUMNS = {
    "solution": "VARCHAR NOT NULL",
    "at": "TIMESTAMP NOT NULL",
    "run_at": "TIMESTAMP NOT NULL",
    "state": "VARCHAR NOT NULL",
    "reason": "VARCHAR NOT NULL",
    "champion_version": "VARCHAR",
    "metric_name": "VARCHAR",
    "metric_value": "DOUBLE",
    "metric_low": "DOUBLE",
    "metric_high": "DOUBLE",
    "baseline_name": "VARCHAR",
    "baseline_value": "DOUBLE",
    "last_trained": "TIMESTAMP",
    "last_scored": "TIMESTAMP",
    "rows_scored": "BIGINT NOT NULL",
    "actions": "BIGINT NOT NULL",
    "checks_passed": "BIGINT NOT NULL",
    "checks_failed": "BIGINT NOT NULL",
    # Null of a night that ended from without, and of nights of earlier releases.
    "wall_s": "DOUBLE",
    "cpu_s": "DOUBLE",
    "peak_memory_bytes": "BIGINT",
    "read_bytes": "BIGINT",
    "written_bytes": "BIGINT",
    "s3_read_bytes": "BIGINT",
    "s3_written_bytes": "BIGINT",
}
COST_COLUMNS = tuple(each.name for each in fields(Cost))
"""What the night itself cost; never carried over."""

CHAMPION_COLUMNS = (
    "champion_version",
    "metric_name",
    "metric_value",
    "metric_low",
    "metric_high",
    "baseline_name",
    "baseline_value",
)
_CARRIED = (*CHAMPION_COLUMNS, "last_trained", "last_scored", "rows_scored", "actions")


def nights(home: Home) -> dict[str, dict[str, Any]]:
    """Newest row of each solution, by `<stage>/<slug>`."""
    if not home.has_lake:
        return {}
    with reader(home) as con:
        if not has_table(con, "ops", "solution_night"):
            return {}
        result = con.execute(
            "SELECT * FROM lake.ops.solution_night "
            "QUALIFY row_number() OVER (PARTITION BY solution ORDER BY run_at DESC) = 1"
        )
        names = [column[0] for column in result.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return {row["solution"]: row for row in rows}


def last_night(home: Home, solution: str) -> dict[str, Any]:
    """What carries over from a solution's newest row; empty before its first night."""
    row = nights(home).get(solution, {})
    return {name: row[name] for name in _CARRIED if name in row}


def store_night(home: Home, row: dict[str, Any], outcome: Outcome, at: datetime) -> None:
    """Append the night's row.

    Args:
        home: The instance.
        row: Figures of the champion, carried over or new.
        outcome: State, reason, checks and cost.
        at: The plant's now.
    """
    failed = sum(not check.passed for check in outcome.checks)
    values = {
        "rows_scored": 0,
        "actions": 0,
        **row,
        **({} if outcome.cost is None else asdict(outcome.cost)),
        "solution": outcome.spec.solution,
        "at": at,
        "state": "failing" if outcome.failure else "working",
        "reason": outcome.failure or outcome.skipped,
        "checks_passed": len(outcome.checks) - failed,
        "checks_failed": failed,
    }
    solution, names = outcome.spec.solution, ", ".join(quote_identifier(name) for name in NIGHT_COLUMNS)
    with writer(home, why=f"status of {solution}", area=area_of(solution)) as con:
        retrying(partial(_ensure_table, con))
        values["run_at"] = next_stamp(con, "lake.ops.solution_night", "run_at")
        con.execute(
            f"INSERT INTO lake.ops.solution_night ({names}) VALUES ({', '.join('?' * len(NIGHT_COLUMNS))})",
            [_finite(values.get(name)) for name in NIGHT_COLUMNS],
        )


def _ensure_table(con: DuckDBPyConnection) -> None:
    """Create the table, or add the columns that a lake of an earlier release lacks."""
    con.execute("CREATE SCHEMA IF NOT EXISTS lake.ops")
    there = columns_of(con, "ops", "solution_night")
    if there is None:
        columns = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in NIGHT_COLUMNS.items())
        con.execute(f"CREATE TABLE lake.ops.solution_night ({columns})")
        return
    for name, kind in NIGHT_COLUMNS.items():
        if name not in there:
            con.execute(f"ALTER TABLE lake.ops.solution_night ADD COLUMN {quote_identifier(name)} {kind}")


def _finite(value: object) -> object:
    """Null for a number that is none, such as the interval of a hold-out of one group."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
