"""Alarms of the platform itself, such as an alias that names a version without clearance: rows of `ops.model_alarm`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pipelines.lake.clock import wall_now
from pipelines.lake.connection import create_missing, reader, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS
from pipelines.lake.tables import has_table

_DDL = """CREATE TABLE IF NOT EXISTS lake.ops.model_alarm (
    solution VARCHAR NOT NULL, alarm VARCHAR NOT NULL, raised_at TIMESTAMP NOT NULL)"""


QUIET = timedelta(days=1)
"""What goes on is said again after this time, so that a fault neither floods the table nor falls silent."""


def raise_alarm(home: Home, solution: str, alarm: str) -> None:
    """Write an alarm; the same words for the same solution are not repeated within a day."""
    now = wall_now()
    with writer(home, why=f"alarm of {solution}", area=ACTS) as con:
        create_missing(con, "CREATE SCHEMA IF NOT EXISTS lake.ops", _DDL)
        con.execute(
            "INSERT INTO lake.ops.model_alarm SELECT ?, ?, ? WHERE NOT EXISTS "
            # One that is ahead of a clock which was set back must not keep it quiet for longer.
            "(SELECT 1 FROM lake.ops.model_alarm WHERE solution = ? AND alarm = ? AND raised_at BETWEEN ? AND ?)",
            [solution, alarm, now, solution, alarm, now - QUIET, now + QUIET],
        )


def newest_alarms(home: Home, limit: int = 30) -> list[dict[str, Any]]:
    """Alarms, newest first, as `solution`, `alarm` and `raised_at` (UTC)."""
    if not home.has_lake:
        return []
    with reader(home) as con:
        if not has_table(con, "ops", "model_alarm"):
            return []
        rows = con.execute(
            "SELECT solution, alarm, raised_at FROM lake.ops.model_alarm ORDER BY raised_at DESC LIMIT ?", [limit]
        ).fetchall()
    return [dict(zip(("solution", "alarm", "raised_at"), row, strict=True)) for row in rows]
