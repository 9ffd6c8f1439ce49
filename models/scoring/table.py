"""The table `solutions.<slug>`: one row per entity and model version, only ever appended to.

`predicted_at` and `known_at` are the plant's now; `scored_at` is the wall clock, by which the newest row is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from models.solution import SolutionSpec
from pipelines.lake.connection import reader, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier

COLUMNS = {
    "event_at": "TIMESTAMP",
    "value": "DOUBLE",
    "low": "DOUBLE",
    "high": "DOUBLE",
    "probability": "DOUBLE",
    "class": "VARCHAR",
    "is_flagged": "BOOLEAN",
    "reasons": "VARCHAR",
    "model_version": "INTEGER",
    "lake_snapshot": "BIGINT",
    "predicted_at": "TIMESTAMP",
    "known_at": "TIMESTAMP",
    "scored_at": "TIMESTAMP",
}


def relation(slug: str) -> str:
    """SQL name of a solution's table."""
    return f"lake.solutions.{quote_identifier(slug)}"


def _key_type(kind: pa.DataType) -> str:
    """DuckDB type of a key column."""
    if pa.types.is_integer(kind):
        return "BIGINT"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "DOUBLE"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    return "DATE" if pa.types.is_date(kind) else "VARCHAR"


def answer_table(
    keys: Mapping[str, pa.ChunkedArray],
    event_at: Any | None,
    answers: Mapping[str, Any],
    now: datetime,
    stamp: tuple[int, int | None],
) -> pa.Table:
    """Answers as rows of a solution's table.

    Args:
        keys: key columns by name.
        event_at: datetime64[us] per row: the moment that the row is of; None for a table without time.
        answers: any of `value`, `low`, `high`, `probability` (numbers), `class`, `reasons` (text), and `is_flagged`.
        now: the plant's now of the answers (UTC, naive).
        stamp: model version, and lake snapshot that was read (None for a file).
    """
    count, moment = len(answers["is_flagged"]), pa.timestamp("us")

    def column(values: Any | None, kind: pa.DataType) -> pa.Array:
        if values is None:
            return pa.nulls(count, kind)
        return values if isinstance(values, pa.Array) else pa.array(values, kind)

    version, snapshot = stamp
    columns: dict[str, Any] = {
        **keys,
        "event_at": column(event_at, moment),
        **{name: column(answers.get(name), pa.float64()) for name in ("value", "low", "high", "probability")},
        "class": column(answers.get("class"), pa.string()),
        "is_flagged": column(answers["is_flagged"], pa.bool_()),
        "reasons": column(answers.get("reasons"), pa.string()),
        "model_version": pa.array(np.full(count, version), pa.int32()),
        "lake_snapshot": column(None if snapshot is None else np.full(count, snapshot), pa.int64()),
        "predicted_at": pa.repeat(pa.scalar(now, moment), count),
        "known_at": pa.repeat(pa.scalar(now, moment), count),
        "scored_at": pa.repeat(pa.scalar(datetime.now(UTC).replace(tzinfo=None), moment), count),
    }
    return pa.table(columns)


def append_answers(home: Home, spec: SolutionSpec, rows: pa.Table) -> None:
    """Append answers to the solution's table; the first ones make it, its keys with the types that they have."""
    names = ", ".join(quote_identifier(name) for name in rows.column_names)
    own = {key: _key_type(rows.schema.field(key).type) for key in spec.keys}
    body = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in (own | COLUMNS).items())
    with writer(home, why=f"answers of {spec.solution}") as con:
        con.execute("CREATE SCHEMA IF NOT EXISTS lake.solutions")
        con.execute(f"CREATE TABLE IF NOT EXISTS {relation(spec.slug)} ({body})")
        con.register("__new", rows)
        with transaction(con):
            con.execute(f"INSERT INTO {relation(spec.slug)} ({names}) SELECT {names} FROM __new")


def has_table(con: DuckDBPyConnection, schema: str, table: str) -> bool:
    """Whether the lake holds a table."""
    found = con.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = ? AND table_name = ?",
        [schema, table],
    ).fetchone()
    return found is not None


def scored_keys(home: Home, spec: SolutionSpec, version: int) -> pa.Table | None:
    """Keys whose newest prediction is this version's; None before there is any.

    After a rollback the former champion scores anew, so that the newest row of an entity is always the champion's.
    """
    if not home.catalogue.is_file():
        return None
    with reader(home) as con:
        if not has_table(con, "solutions", spec.slug):
            return None
        keys = ", ".join(quote_identifier(key) for key in spec.keys)
        return con.execute(
            f"SELECT {keys} FROM {relation(spec.slug)} GROUP BY {keys} HAVING arg_max(model_version, scored_at) = ?",
            [version],
        ).to_arrow_table()
