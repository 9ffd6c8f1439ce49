"""A hash of a table's content: the same for the same rows in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from duckdb import DuckDBPyConnection

from pipelines.lake.sql import columns_sql, quote_relation


def table_hash(con: DuckDBPyConnection, relation: str, *, exclude: Collection[str] = (), where: str = "") -> str:
    """Order-independent hash of the rows of a table or view.

    Each row is hashed over its columns in the order of their names, and the hashes are summed (a sum,
    unlike an exclusive or, notices a row that is there twice).

    Args:
        con: a connection that sees the relation.
        relation: `schema.table`.
        exclude: columns that do not count.
        where: SQL condition, empty for all rows.

    Returns:
        64 hexadecimal digits; changes with columns, their types, rows and how often each occurs.
    """
    quoted = quote_relation(relation)
    described = con.execute(f"DESCRIBE SELECT * FROM {quoted}").fetchall()
    columns = sorted((str(name), str(kind)) for name, kind, *_ in described if name not in exclude)
    names = columns_sql(name for name, _ in columns)
    condition = f" WHERE {where}" if where else ""
    row = con.execute(
        f"SELECT count(*), coalesce(sum(hash({names})::HUGEINT), 0)::VARCHAR FROM {quoted}{condition}"
    ).fetchone()
    return hashlib.sha256(repr((columns, row)).encode()).hexdigest()
