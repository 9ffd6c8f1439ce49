"""Certificates beside what is asked and what was measured: missing, in another unit, out of limits, or differing."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from models.decision_rule.rows import Decisions, Rows
from models.decision_rule.spec import Conformance
from models.features.source import private_database
from pipelines.lake.sql import quote_identifier, quote_literal

CLASSES = ("missing", "unit", "out_of_limits", "differs", "conforms")
FLAGGED = CLASSES[:-1]


def decide(rule: Conformance, rows: Rows, now: datetime) -> Decisions:
    """Judge what a certificate says of each characteristic.

    What the certificate tells by itself is decided at once. That it agrees with our own measurement can be said when
    there is one, and nothing is decided until then.

    Args:
        rule: which columns, and how far two measurements of one thing may lie apart.
        rows: the characteristics of certificates with their moments.
        now: the plant's now (UTC, naive), until which a certificate was waited for.

    Returns:
        Decisions; `value` is the distance beyond the limit, or between both measurements, in the standard deviations
        of a difference of two measurements; null where there is none of them.
    """
    if rows.time is None:
        raise ValueError("certificates without moments cannot be waited for")
    named = {
        "stated": rule.certified,
        "low": rule.lower,
        "high": rule.upper,
        "found": rule.measured,
        "gauge": rule.gauge_sd,
    }
    numbers = ", ".join(
        f"CASE WHEN isfinite({column}) THEN {column} END AS {name}"
        for name, column in ((name, quote_identifier(column)) for name, column in named.items())
    )
    table = rows.table.append_column("__row", pa.array(range(rows.table.num_rows), pa.int64()))
    table = table.append_column("__at", pa.array(rows.time, pa.timestamp("us")))
    with private_database(1) as con:
        con.register("__rows", table)
        answers = con.execute(
            _ANSWERS.format(
                numbers=numbers,
                unit=quote_identifier(rule.unit),
                certified=quote_literal(rule.certified),
                measured=quote_literal(rule.measured),
                flagged=", ".join(map(quote_literal, FLAGGED)),
                most=repr(rule.most_deviations),
            ),
            {"now": now, "wait_h": rule.missing_after_h},
        ).to_arrow_table()
    return Decisions.of(answers)


_ANSWERS = """
WITH read AS (
    SELECT __row, {numbers}, {unit} AS unit, __at + to_microseconds(($wait_h * 3600e6)::BIGINT) <= $now AS is_due
    FROM __rows),
measured AS (
    SELECT *,
        sqrt(2) * gauge AS deviation,
        greatest(low - stated, stated - high) AS beyond,
        abs(stated - found) AS apart
    FROM read),
classed AS (
    SELECT *,
        CASE
            WHEN stated IS NULL AND unit IS NULL THEN CASE WHEN is_due THEN 'missing' END
            WHEN stated IS NULL THEN 'unit'
            WHEN beyond > 0 THEN 'out_of_limits'
            WHEN apart > {most} * deviation THEN 'differs'
            WHEN apart IS NOT NULL AND deviation IS NOT NULL THEN 'conforms'
        END AS class
    FROM measured)
SELECT
    class,
    class IN ({flagged}) AS is_flagged,
    CASE WHEN class = 'out_of_limits' THEN beyond / nullif(deviation, 0)
        WHEN class IN ('differs', 'conforms') THEN apart / nullif(deviation, 0) END AS value,
    to_json([{{
        'feature': CASE WHEN class IN ('differs', 'conforms') OR (class IS NULL AND stated IS NOT NULL)
            THEN {measured} ELSE {certified} END,
        'value': CASE WHEN class IN ('differs', 'conforms') THEN found ELSE stated END,
        'limit': CASE
            WHEN class = 'missing' THEN 'the certificate does not tell it'
            WHEN class = 'unit' THEN concat('given in ', unit, ', which is not known here')
            WHEN class = 'out_of_limits'
                THEN concat_ws(' and ', 'at least ' || low::VARCHAR, 'at most ' || high::VARCHAR)
            WHEN class IS NOT NULL THEN printf('within %.4g of the certificate''s %.6g', {most} * deviation, stated)
            WHEN stated IS NULL THEN 'the certificate is waited for'
            ELSE 'our own measurement and its gauge''s deviation are needed' END
    }}])::VARCHAR AS reasons
FROM classed ORDER BY __row
"""
