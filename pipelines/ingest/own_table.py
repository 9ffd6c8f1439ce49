"""A person's own table file, taken into the lake: the snapshot a model names then holds what it was trained on.

The file is looked at before every night; only another content is copied, whole, in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import next_stamp
from pipelines.lake.connection import reader, retrying, transaction, writer
from pipelines.lake.files import OWN_COPY, file_digest, file_relation
from pipelines.lake.home import Home
from pipelines.lake.lock import area_of
from pipelines.lake.sql import quote_identifier, quote_relation

# What DuckDB reads from a file but a lake table cannot hold; its text can.
_AS_TEXT = ("ENUM", "BIT", "UNION", "BIGNUM")


@dataclass(frozen=True)
class OwnTable:
    """A file's copy in the lake.

    Attributes:
        relation: `raw.own__<name>`.
        digest: SHA-256 of the file.
        rows: rows of the copy.
        copied: whether this call wrote it; False when the content was there already.
    """

    relation: str
    digest: str
    rows: int
    copied: bool


def take_in(home: Home, name: str, file: Path) -> OwnTable:
    """Copy a table file into the lake unless the lake holds its content already.

    Args:
        home: an instance whose lake is bootstrapped.
        name: names the copy, such as `my_stage__my_model`.
        file: a CSV, Parquet or JSON-lines file.

    Raises:
        CellworksError: the file cannot be read as a table, or another writer holds the lake.
    """
    relation, digest = f"{OWN_COPY}{name}", file_digest(file)
    with reader(home) as con:
        held = held_rows(con, relation, digest)
    if held is not None:
        return OwnTable(relation, digest, held, copied=False)
    rows = retrying(lambda: _copy(home, relation, file, digest))
    return OwnTable(relation, digest, rows, copied=True)


def held_rows(con: DuckDBPyConnection, relation: str, digest: str) -> int | None:
    """Rows of a copy if it holds this content, as the connection sees the lake; None if it holds another or none."""
    row = con.execute(
        "SELECT sha256, rows_in FROM lake.ops.own_table WHERE relation = ? ORDER BY copied_at DESC LIMIT 1", [relation]
    ).fetchone()
    return int(row[1]) if row is not None and row[0] == digest else None


def _copy(home: Home, relation: str, file: Path, digest: str) -> int:
    with writer(home, why=f"take in {file.name}", area=area_of(relation)) as con:
        try:
            columns = con.execute(f"DESCRIBE SELECT * FROM {file_relation(file)}").fetchall()
            chosen = ", ".join(_column(str(name), str(kind)) for name, kind, *_ in columns)
            with transaction(con):
                con.execute(
                    f"CREATE OR REPLACE TABLE {quote_relation(f'lake.{relation}')} AS "
                    f"SELECT {chosen} FROM {file_relation(file)}"
                )
                row = con.execute(f"SELECT count(*) FROM {quote_relation(f'lake.{relation}')}").fetchone()
                rows = int(row[0]) if row else 0
                con.execute(
                    "INSERT INTO lake.ops.own_table VALUES (?, ?, ?, ?, ?)",
                    [relation, str(file), digest, rows, next_stamp(con, "lake.ops.own_table", "copied_at")],
                )
        except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException) as error:
            if isinstance(error, duckdb.IOException) and str(file) not in str(error):
                raise  # of the lake's own files, or its object store
            raise CellworksError(
                f"the table file {file.name} cannot be read",
                expected="one table with the same columns in every row",
                found=str(error).splitlines()[0],
                mend="mend the file; the lake keeps its last content",
            ) from error
    return rows


def _column(name: str, kind: str) -> str:
    quoted = quote_identifier(name)
    return f"CAST({quoted} AS VARCHAR) AS {quoted}" if kind.startswith(_AS_TEXT) else quoted
