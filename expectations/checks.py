"""Checks: expectations as plain data, before Great Expectations is loaded.

A check names a Great Expectations type with its arguments, and the SQL predicate of an offending row: the first
decides, the second shows ten rows of what failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pipelines.lake.sql import columns_sql, quote_identifier, quote_literal, quote_relation

ROWS = "{rows}"  # stands for the relation under check inside an expression
NOW = "{now}"  # stands for the plant's clock as a SQL timestamp
TABLE = "table"
PROFILE_SEPARATOR = "__by__"
_HEAVY = "1e15"
NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
ROWS_SATISFY = "expect_rows_to_satisfy"
AGGREGATE = "expect_aggregate_to_be_between"
ROW_COUNT = "expect_table_row_count_to_be_between"
COLUMNS = "expect_table_columns_to_match_set"
OF_TYPE = "expect_column_values_to_be_of_type"
_ROW_WISE = (NOT_NULL, BETWEEN, IN_SET)


class Scope(Enum):
    """What can change the verdict of a check that held.

    ROWS: a new row alone. DAYS: a new row, by the others of its production day. TABLE: any change of the
    table or of another that it needs, or the plant's clock.
    """

    ROWS = "rows"
    DAYS = "days"
    TABLE = "table"


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

    @property
    def expression(self) -> str:
        """The SQL expression of a check of our own types, else empty."""
        return str(self.kwargs.get("expression", ""))

    @property
    def is_clocked(self) -> bool:
        """Whether the plant's clock decides with the rows."""
        return NOW in self.expression

    @property
    def is_row_wise(self) -> bool:
        """Whether each row is judged by itself: a row that kept the rule keeps it, since the clock only advances."""
        if self.on != TABLE or self.needs:
            return False
        if self.type in _ROW_WISE:
            return True
        is_rule = self.type == ROWS_SATISFY and not self.kwargs["max_share"]
        return is_rule and ROWS not in self.expression and "select" not in self.expression.lower()


@dataclass(frozen=True)
class Profile:
    """A small table of aggregates per group (gauge and six hours, ...) that checks read instead of every row.

    Attributes:
        name: name of the profile, unique within its table.
        sql: query over `{rows}`.
        uses: columns of the table that it reads.
        is_by_day: each group is of one production day.
    """

    name: str
    sql: str
    uses: tuple[str, ...]
    is_by_day: bool = False


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

    def scope(self, check: Check) -> Scope:
        """What can change the verdict of one of its checks."""
        if check.is_row_wise:
            return Scope.ROWS
        is_by_day = any(each.is_by_day for each in self.profiles if each.name == check.on)
        return Scope.DAYS if is_by_day and not check.needs else Scope.TABLE


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
        COLUMNS,
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
        NOT_NULL,
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
        BETWEEN,
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
        IN_SET,
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
    return Check(ROWS_SATISFY, kwargs, title, column, tuple(used), tuple(needs), f"NOT ({expression})", on)


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
    return Check(AGGREGATE, kwargs, title, column, tuple(uses), tuple(needs), violation)


def unique(columns: Sequence[str]) -> Check:
    """No two rows share the values of `columns`; a missing key is told by its own check."""
    names = columns_sql(columns)
    key = names if len(columns) == 1 else f"({names})"
    return aggregate(
        f"count({key}) - count(DISTINCT {key})",
        0,
        0,
        title=f"{', '.join(columns)} {'is' if len(columns) == 1 else 'are'} unique",
        column=columns[0],
        uses=columns,
        violation=f"{key} IN (SELECT {key} FROM {ROWS} GROUP BY {names} HAVING count(*) > 1)",
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
