"""What has to be done again in time, such as a gauge's calibration: called for, missed, kept, or found off."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from models.decision_rule.rows import Decisions, Rows
from models.decision_rule.spec import Due
from models.features.source import private_database
from pipelines.lake.sql import quote_identifier, quote_literal

CLASSES = ("off", "overdue", "kept")


def decide(rule: Due, rows: Rows, now: datetime) -> Decisions:
    """Judge each time that it was done, and call for the next.

    A gauge that was found off is told at once: what was measured with it since the time before is in doubt. Whether the
    next time was kept shows when it is done, or is overdue; nothing is decided until then.

    Args:
        rule: which columns, and how long before it is due one is called for.
        rows: each time that it was done, with its moment.
        now: the plant's now (UTC, naive).

    Returns:
        Decisions; flagged is the last of each that was found off, is overdue, or is due soon. `value` is the error as
        found over its tolerance; null where there is none.
    """
    if rows.time is None:
        raise ValueError("without moments nothing follows")
    table = rows.table.append_column("__row", pa.array(range(rows.table.num_rows), pa.int64()))
    table = table.append_column("__at", pa.array(rows.time, pa.timestamp("us")))
    with private_database(1) as con:
        con.register("__rows", table)
        answers = con.execute(
            _ANSWERS.format(
                of=", ".join(map(quote_identifier, rule.of)),
                due=quote_identifier(rule.due),
                error=quote_identifier(rule.found),
                tolerance=quote_identifier(rule.tolerance),
                found_name=quote_literal(rule.found),
                due_name=quote_literal(rule.due),
            ),
            {"now": now, "notice_d": rule.notice_d, "booked_h": rule.booked_within_h},
        ).to_arrow_table()
    return Decisions.of(answers)


_ANSWERS = """
WITH read AS (
    SELECT __row, CAST({due} AS TIMESTAMP) AS due_at, abs({error}) / nullif({tolerance}, 0) AS ratio,
        {error} AS error, {tolerance} AS tolerance,
        lead(__at) OVER (PARTITION BY {of} ORDER BY __at, __row) AS next_at
    FROM __rows),
classed AS (
    SELECT *,
        next_at IS NULL AND due_at - to_microseconds(($notice_d * 86400e6)::BIGINT) <= $now AS is_called,
        CASE
            WHEN ratio > 1 THEN 'off'
            WHEN coalesce(next_at, $now - to_microseconds(($booked_h * 3600e6)::BIGINT)) > due_at THEN 'overdue'
            WHEN next_at IS NOT NULL THEN 'kept'
        END AS class
    FROM read)
SELECT
    class,
    next_at IS NULL AND coalesce(class IN ('off', 'overdue'), false) OR is_called AS is_flagged,
    ratio AS value,
    to_json(list_filter([
        CASE WHEN class = 'off' THEN
            {{'feature': {found_name}, 'value': error::VARCHAR, 'limit': printf('within %.4g', tolerance)}} END,
        CASE WHEN is_called OR class IS DISTINCT FROM 'off' THEN
            {{'feature': {due_name}, 'value': due_at::VARCHAR, 'limit': CASE
                WHEN class = 'overdue' AND next_at IS NOT NULL THEN concat('was done on ', next_at::VARCHAR)
                WHEN class = 'kept' THEN concat('was done on ', next_at::VARCHAR)
                WHEN class = 'overdue' OR due_at < $now THEN 'has passed'
                WHEN is_called THEN 'is near'
                ELSE 'is not near yet' END}} END
    ], each -> each IS NOT NULL))::VARCHAR AS reasons
FROM classed ORDER BY __row
"""
