"""The table `solutions.<slug>`: one row per entity and model version, only ever appended to.

`predicted_at` and `known_at` are the plant's now; `scored_at` is the wall clock, by which the newest row is told.
"""

from __future__ import annotations

import pyarrow as pa
from duckdb import DuckDBPyConnection

from models.spec import PredictiveSpec
from pipelines.lake.connection import reader
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


def ensure_table(con: DuckDBPyConnection, spec: PredictiveSpec, keys: pa.Table) -> None:
    """Create the solution's table when it is not there; the keys keep the feature table's types."""
    con.execute("CREATE SCHEMA IF NOT EXISTS lake.solutions")
    own = {key: _key_type(keys.schema.field(f"__key_{key}").type) for key in spec.keys}
    body = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in (own | COLUMNS).items())
    con.execute(f"CREATE TABLE IF NOT EXISTS {relation(spec.slug)} ({body})")


def has_table(con: DuckDBPyConnection, schema: str, table: str) -> bool:
    """Whether the lake holds a table."""
    found = con.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = ? AND table_name = ?",
        [schema, table],
    ).fetchone()
    return found is not None


def scored_keys(home: Home, spec: PredictiveSpec, version: int) -> pa.Table | None:
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
