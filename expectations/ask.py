"""Checks as plain SQL: all of a table's in one query, for what changed since the table last held.

Great Expectations decides a new suite on the whole table and whatever does not hold here; tests hold both to the same
verdicts. Its own overhead, some milliseconds an expectation, would be most of a night that brings one day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from expectations.checks import (
    AGGREGATE,
    BETWEEN,
    COLUMNS,
    IN_SET,
    NOT_NULL,
    NOW,
    OF_TYPE,
    ROW_COUNT,
    ROWS,
    ROWS_SATISFY,
    Check,
    all_of,
    number,
)
from pipelines.lake.sql import quote_identifier

_UNCOMPUTABLE = (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException)


def holds_sql(check: Check) -> str | None:
    """A SQL aggregate over the rows under check that is true when the check holds.

    Returns:
        None for a check that only the library can decide.
    """
    make = _MAKERS.get(check.type)
    return make(check.kwargs) if make else None


def holds_by_columns(check: Check, present: Mapping[str, str]) -> bool | None:
    """The verdict of a check of columns and types; None for other checks."""
    if check.type == COLUMNS:
        return set(check.kwargs["column_set"]) <= set(present)
    if check.type == OF_TYPE:
        return bool(present.get(check.column) == check.kwargs["type_"])
    return None


def unheld(con: DuckDBPyConnection, rows: str, checks: Sequence[Check], clock: str) -> list[Check]:
    """Checks that don't hold on rows, or that plain SQL can't decide; one query for all of them.

    Args:
        con: a connection to the lake.
        rows: the rows: a relation, or a query between brackets.
        checks: checks whose columns `rows` has.
        clock: the plant's clock as SQL.
    """
    made = {number: sql for number, check in enumerate(checks) if (sql := holds_sql(check)) is not None}
    if not made:
        return list(checks)
    query = f"SELECT {', '.join(made.values())} FROM {rows}".replace(ROWS, rows).replace(NOW, clock)
    try:
        verdicts = dict(zip(made, con.execute(query).fetchone() or (), strict=True))
    except _UNCOMPUTABLE:
        return list(checks)  # a value that one of them can't be computed on: the library tells which
    return [check for number, check in enumerate(checks) if not verdicts.get(number)]


def _not_null(kwargs: Mapping[str, Any]) -> str:
    return f"count(*) = count({quote_identifier(kwargs['column'])})"


def _between(kwargs: Mapping[str, Any]) -> str:
    name = quote_identifier(kwargs["column"])
    parts = [f"coalesce(min({name}) >= {number(kwargs['min_value'])}, true)"] if "min_value" in kwargs else []
    parts += [f"coalesce(max({name}) <= {number(kwargs['max_value'])}, true)"] if "max_value" in kwargs else []
    return " AND ".join(parts) or "true"


def _in_set(kwargs: Mapping[str, Any]) -> str:
    return f"coalesce(bool_and({quote_identifier(kwargs['column'])} IN ({all_of(kwargs['value_set'])})), true)"


def _rows_satisfy(kwargs: Mapping[str, Any]) -> str:
    expression, share = kwargs["expression"], kwargs["max_share"]
    if not share:
        return f"coalesce(bool_and({expression}), true)"
    broken = f"coalesce(count_if(NOT ({expression})) / nullif(count(*), 0)::DOUBLE, 0.0)"
    return f"{broken} <= {number(share)}"


def _aggregate(kwargs: Mapping[str, Any]) -> str:
    return _is_within(f"({kwargs['expression']})::DOUBLE", kwargs)


def _row_count(kwargs: Mapping[str, Any]) -> str:
    return _is_within("count(*)", kwargs)


def _is_within(value: str, kwargs: Mapping[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    bounds = [f"{value} >= {number(low)}"] if low is not None else []
    bounds += [f"{value} <= {number(high)}"] if high is not None else []
    return f"coalesce({' AND '.join(bounds) or f'{value} IS NOT NULL'}, false)"


_MAKERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    NOT_NULL: _not_null,
    BETWEEN: _between,
    IN_SET: _in_set,
    ROWS_SATISFY: _rows_satisfy,
    AGGREGATE: _aggregate,
    ROW_COUNT: _row_count,
}
