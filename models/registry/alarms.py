"""Alarms of the registry, such as an alias that names a version without clearance: rows of `ops.model_alarm`."""

from __future__ import annotations

from datetime import UTC, datetime

from pipelines.lake.connection import writer
from pipelines.lake.home import Home

_DDL = """CREATE TABLE IF NOT EXISTS lake.ops.model_alarm (
    solution VARCHAR NOT NULL, alarm VARCHAR NOT NULL, raised_at TIMESTAMP NOT NULL)"""


def raise_alarm(home: Home, solution: str, alarm: str) -> None:
    """Write an alarm once: the same words for the same solution are not repeated."""
    with writer(home, why=f"alarm of {solution}") as con:
        con.execute("CREATE SCHEMA IF NOT EXISTS lake.ops")
        con.execute(_DDL)
        con.execute(
            "INSERT INTO lake.ops.model_alarm SELECT ?, ?, ? WHERE NOT EXISTS "
            "(SELECT 1 FROM lake.ops.model_alarm WHERE solution = ? AND alarm = ?)",
            [solution, alarm, datetime.now(UTC).replace(tzinfo=None), solution, alarm],
        )
