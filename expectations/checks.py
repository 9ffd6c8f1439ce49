"""Checks: expectations as plain data, before Great Expectations is loaded.

A check names a Great Expectations type with its arguments, and the SQL predicate of an offending row: the first
decides, the second shows ten rows of what failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.lake.sql import columns_sql, quote_identifier, quote_literal, quote_relation

ROWS = "{rows}"  # stands for the relation under check inside an expression
WHOLE = "{whole}"  # stands for the whole table where only some days are looked at
TABLE = "table"
PROFILE_SEPARATOR = "__by__"
_HEAVY = "1e15"
OF_TYPE = "expect_column_values_to_be_of_type"


@dataclass(frozen=True)
class Check:
    """One expectation of one table.

    Attributes:
        type: Great Expectations type, such as `expect_column_values_to_not_be_null`.
        kwargs: its arguments.
        title: what it says, for people.
        column: column it is about; empty for the whole table.
        uses: every column it reads.
        needs: other relations it reads, as `schema.table`.
        violation: SQL predicate of an offending row; empty when it is about the table as a whole.
        on: `table`, or the name of the profile that it reads.
    """

    type: str
    kwargs: Mapping[str, Any]
    title: str
    column: str = ""
    uses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    violation: str = ""
    on: str = TABLE


@dataclass(frozen=True)
class Profile:
    """A small table of aggregates per group (gauge and six hours, ...) that checks read instead of every row.

    Attributes:
        name: name of the profile, unique within its table.
        sql: query over `{rows}`.
        uses: columns of the table that it reads.
    """

    name: str
    sql: str
    uses: tuple[str, ...]


@dataclass(frozen=True)
class TableSuite:
    """Every check of one table.

    Attributes:
        layer: schema of the table.
        table: its name.
        types: DuckDB types that its columns should have, where known.
        profiles: what its checks read beside the rows.
    """

    layer: str
    table: str
    domain: str
    checks: tuple[Check, ...]
    types: Mapping[str, str] = field(default_factory=dict)
    profiles: tuple[Profile, ...] = ()

    @property
    def relation(self) -> str:
        """`schema.table`, as in the lake."""
        return f"{self.layer}.{self.table}"


@dataclass(frozen=True)
class Facts:
    """What the lake holds, read once before suites are generated.

    Attributes:
        now: the plant's clock (UTC), None before the first record.
        columns: `schema.table` -> column -> DuckDB type.
        days: production days to look at as ISO dates, None for all.
    """

    now: datetime | None
    columns: Mapping[str, Mapping[str, str]]
    days: tuple[str, ...] | None = None

    def is_windowed(self, relation: str) -> bool:
        """Whether only some days of a table are looked at."""
        return self.days is not None and "production_day" in self.columns.get(relation, {})


def lake(relation: str) -> str:
    """`schema.table` of the lake, quoted and fully qualified."""
    return quote_relation(f"lake.{relation}")


def number(value: float) -> str:
    """A finite number as SQL."""
    return repr(float(value))


def all_of(values: Iterable[str]) -> str:
    """A list of texts as SQL."""
    return ", ".join(quote_literal(value) for value in values)


def columns_exist(columns: Sequence[str]) -> Check:
    """All columns are there; others may be."""
    return Check(
        "expect_table_columns_to_match_set",
        {"column_set": list(columns), "exact_match": False},
        f"has its {len(columns)} columns",
    )


def of_type(column: str, duckdb_type: str) -> Check:
    """The column has a type."""
    kwargs = {"column": column, "type_": duckdb_type}
    return Check(OF_TYPE, kwargs, f"{column} is {duckdb_type}", column, (column,))


def not_null(column: str) -> Check:
    """No value is missing."""
    return Check(
        "expect_column_values_to_not_be_null",
        {"column": column},
        f"{column} is never missing",
        column,
        (column,),
        violation=f"{quote_identifier(column)} IS NULL",
    )


def between(column: str, low: float | None, high: float | None, *, on: str = TABLE, title: str = "") -> Check:
    """Every value lies in a closed range; missing values don't count.

    Infinity and NaN lie outside of every range (DuckDB sorts NaN above infinity).
    """
    kwargs: dict[str, Any] = {"column": column}
    kwargs |= {key: float(v) for key, v in (("min_value", low), ("max_value", high)) if v is not None}
    name = quote_identifier(column)
    bounds = [f"{name} < {number(low)}"] if low is not None else []
    bounds += [f"{name} > {number(high)}"] if high is not None else []
    span = f"{'-inf' if low is None else f'{low:g}'} to {'inf' if high is None else f'{high:g}'}"
    return Check(
        "expect_column_values_to_be_between",
        kwargs,
        title or f"{column} is within {span}",
        column,
        (column,),
        violation=" OR ".join(bounds),
        on=on,
    )


def in_set(column: str, values: Sequence[str], *, title: str = "") -> Check:
    """Every value is one of a list; missing values don't count."""
    return Check(
        "expect_column_values_to_be_in_set",
        {"column": column, "value_set": list(values)},
        title or f"{column} is one of {', '.join(values[:8])}{' ...' if len(values) > 8 else ''}",
        column,
        (column,),
        violation=f"{quote_identifier(column)} NOT IN ({all_of(values)})",
    )


def rows_satisfy(
    expression: str,
    *,
    title: str,
    column: str = "",
    uses: Sequence[str] = (),
    needs: Sequence[str] = (),
    max_share: float = 0.0,
    on: str = TABLE,
) -> Check:
    """A SQL expression is true or NULL on every row, as a CHECK constraint has it.

    Args:
        expression: over the columns of the table; `{rows}` stands for the table itself.
        title: what it says.
        column: column it is about.
        uses: columns it reads, `column` included by itself.
        needs: other relations it reads.
        max_share: share of the rows that may break it.
        on: the table or one of its profiles.
    """
    used = dict.fromkeys([*([column] if column and on == TABLE else []), *uses])
    kwargs = {"expression": expression, "max_share": float(max_share)}
    return Check("expect_rows_to_satisfy", kwargs, title, column, tuple(used), tuple(needs), f"NOT ({expression})", on)


def aggregate(
    expression: str,
    low: float | None,
    high: float | None,
    *,
    title: str,
    column: str = "",
    uses: Sequence[str] = (),
    needs: Sequence[str] = (),
    violation: str = "",
) -> Check:
    """A SQL aggregate over the table lies in a closed range; NULL does not."""
    kwargs: dict[str, Any] = {"expression": expression, "min_value": low, "max_value": high}
    return Check("expect_aggregate_to_be_between", kwargs, title, column, tuple(uses), tuple(needs), violation)


def unique(columns: Sequence[str], *, whole: str = "") -> Check:
    """No two rows share the values of `columns`.

    Args:
        columns: the key.
        whole: relation to look for the twins of a row in, when the rows under check are only a window of it.
    """
    names = columns_sql(columns)
    key = names if len(columns) == 1 else f"({names})"
    title = f"{', '.join(columns)} {'is' if len(columns) == 1 else 'are'} unique"
    source = lake(whole) if whole else ROWS
    twin = f"{key} IN (SELECT {names if len(columns) == 1 else key} FROM {source} GROUP BY {names} HAVING count(*) > 1)"
    if whole:
        return rows_satisfy(f"NOT ({twin})", title=title, column=columns[0], uses=columns)
    return aggregate(
        f"count({key}) - count(DISTINCT {key})",  # a missing key is told by its own check
        0,
        0,
        title=title,
        column=columns[0],
        uses=columns,
        violation=twin,
    )


def references(
    column: str, relation: str, other: str, *, title: str, settled: str = "true", waiting_share: float = 0.0
) -> Check:
    """Every value is found in a column of another table; missing values don't count.

    Args:
        column: the referring column.
        relation: `schema.table` referred to.
        other: its column.
        title: what it says.
        settled: SQL condition of rows whose record must be there; others may wait for it ...
        waiting_share: ... as long as no larger share of all rows does.
    """
    name, target = quote_identifier(column), quote_identifier(other)
    lost = f"({name} IN (SELECT {target} FROM {lake(relation)} WHERE {target} IS NOT NULL)) IS FALSE"
    # The look-up stands once in the query: a settled row weighs more than any number of waiting ones.
    weight = f"CASE WHEN {lost} THEN CASE WHEN {settled} THEN {_HEAVY} ELSE 1.0 END END"
    expression = f"coalesce(sum({weight}) / nullif(count(*), 0), 0.0)"
    return aggregate(
        expression,
        None,
        waiting_share,
        title=title,
        column=column,
        uses=[column],
        needs=[relation],
        violation=lost,
    )
