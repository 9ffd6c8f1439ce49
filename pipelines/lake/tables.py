"""Whether the lake holds a table, asked so that it costs the same in a lake of any size."""

from __future__ import annotations

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.lake.sql import quote_relation


def has_table(con: DuckDBPyConnection, schema: str, table: str) -> bool:
    """Whether the lake, as the connection sees it, holds a table.

    A statement that names the table is bound and reads nothing. `duckdb_tables()` would read the statistics of every
    table first: 0.5 s where binding takes 3 ms, and more with each night.

    Args:
        con: a connection with the lake attached; its snapshot and its own open transaction count.
        schema: such as `ops`.
        table: name within the schema.
    """
    return columns_of(con, schema, table) is not None


def columns_of(con: DuckDBPyConnection, schema: str, table: str) -> list[str] | None:
    """Names of a table's columns, in order; None when the lake holds no such table. Costs as little as `has_table`.

    Args:
        con: a connection with the lake attached; its snapshot and its own open transaction count.
        schema: such as `ops`.
        table: name within the schema.
    """
    try:
        found = con.execute(f"SELECT * FROM {quote_relation(f'lake.{schema}.{table}')} LIMIT 0")
    except (duckdb.CatalogException, duckdb.InvalidInputException):  # the latter: called as a name of this module
        return None
    return [str(column[0]) for column in found.description or []]
