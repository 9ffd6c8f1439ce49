"""Classes by limits: a row belongs to the first class whose limits it keeps."""

from __future__ import annotations

import pyarrow as pa

from models.decision_rule.rows import Decisions, Rows
from models.decision_rule.spec import Grading, Limit
from models.features.source import private_database
from pipelines.lake.sql import quote_identifier, quote_literal


def decide(rule: Grading, rows: Rows) -> Decisions:
    """Grade each row; `value` is the number of its class, from 1, the best.

    Reasons of the best class are its limits, of any other those of better classes that are not kept. A row that lacks
    a number is not graded.

    Args:
        rule: classes with their limits.
        rows: the rows.
    """
    names = rule.names
    numbers = [f"CASE WHEN isfinite({column}) THEN {column} END" for column in map(quote_identifier, rule.numbers)]
    cleaned = ", ".join(f"{sql} AS {quote_identifier(name)}" for sql, name in zip(numbers, rule.numbers, strict=True))
    lacks = " OR ".join(f"{quote_identifier(name)} IS NULL" for name in rule.numbers)
    kept = [" AND ".join(_holds(column, limit) for column, limit in grade.limits.items()) for grade in rule.written]
    cases = " ".join(f"WHEN {sql} THEN {number}" for number, sql in enumerate(kept, 1))
    flagged = ", ".join(quote_literal(name) for name in rule.flagged) or "NULL"
    listed = ", ".join(quote_literal(name) for name in names)
    with private_database(1) as con:
        con.register("__rows", rows.table.append_column("__row", pa.array(range(rows.table.num_rows), pa.int64())))
        table = con.execute(
            f"""
            WITH cleaned AS (SELECT __row, {cleaned} FROM __rows),
            graded AS (
                SELECT *, CASE WHEN {lacks} THEN NULL {cases} ELSE {len(names)} END AS __place FROM cleaned)
            SELECT
                [{listed}][__place] AS class,
                class IN ({flagged}) AS is_flagged,
                __place::DOUBLE AS value,
                to_json(list_filter([{", ".join(_reasons(rule))}], lambda each: each IS NOT NULL))::VARCHAR AS reasons
            FROM graded ORDER BY __row
            """
        ).to_arrow_table()
    return Decisions.of(table)


def _holds(column: str, limit: Limit) -> str:
    bounds = [(">=", limit.at_least), ("<=", limit.at_most)]
    return " AND ".join(f"{quote_identifier(column)} {sign} {end!r}" for sign, end in bounds if end is not None)


def _reasons(rule: Grading) -> list[str]:
    """SQL of each reason that a row may have; null where it is none."""
    parts = [
        f"CASE WHEN {quote_identifier(name)} IS NULL THEN {_struct(name, 'is needed')} END" for name in rule.numbers
    ]
    for place, grade in enumerate(rule.written, 1):
        for column, limit in grade.limits.items():
            broken = f"__place > {place} AND NOT ({_holds(column, limit)})"
            when = f"__place = 1 OR {broken}" if place == 1 else broken
            parts.append(f"CASE WHEN {when} THEN {_struct(column, f'{_in_words(limit)} for {grade.name}')} END")
    return parts


def _in_words(limit: Limit) -> str:
    bounds = [("at least", limit.at_least), ("at most", limit.at_most)]
    return " and ".join(f"{word} {end:g}" for word, end in bounds if end is not None)


def _struct(column: str, limit: str) -> str:
    said = f"'feature': {quote_literal(column)}, 'value': {quote_identifier(column)}, 'limit': {quote_literal(limit)}"
    return f"{{{said}}}"
