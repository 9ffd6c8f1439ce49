"""Reading tables: a lake relation at a snapshot, or a CSV, Parquet or JSON-lines file, as Arrow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection

from models.context import ModelContext
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import SILENCE, reader
from pipelines.lake.files import file_relation, file_suffix, resolve_file
from pipelines.lake.sql import quote_relation

_TOLD = 30
"""Columns of a table that a message names."""


@dataclass(frozen=True)
class Tables:
    """An open connection and how to name tables in it; `widened` holds queries that stand for a table."""

    con: DuckDBPyConnection
    root: Path | None
    widened: dict[str, str] = field(default_factory=dict)

    def relation(self, table: str) -> str:
        """SQL that stands for the table in FROM."""
        if table in self.widened:
            return self.widened[table]
        if file_suffix(table) is None:
            return quote_relation(table)
        return file_relation(resolve_file(table, self.root))

    def columns(self, table: str) -> dict[str, str]:
        """Column names with their DuckDB types.

        Raises:
            CellworksError: no such table, or a file that cannot be read.
        """
        try:
            rows = self.con.execute(f"DESCRIBE SELECT * FROM {self.relation(table)}").fetchall()
        except duckdb.Error as error:
            raise CellworksError(
                f"the table '{table}' cannot be read",
                expected="a lake relation (schema.table) or a CSV, Parquet or JSON-lines file",
                found=str(error).splitlines()[0],
                mend="check the name with `cellworks status` or the file with a text viewer",
            ) from error
        return {str(row[0]): str(row[1]) for row in rows}

    def columns_with(self, table: str, names: Iterable[str], where: str) -> dict[str, str]:
        """As `columns`, of a table that has to have some.

        Args:
            table: see `relation`.
            names: columns that the solution names.
            where: solution, or the part of it that names them.

        Raises:
            CellworksError: one of them is not there, or the table cannot be read.
        """
        available = self.columns(table)
        if lost := [name for name in dict.fromkeys(names) if name not in available]:
            near = dict.fromkeys(name for each in lost for name in get_close_matches(each, available, 5, 0.5))
            named = list(dict.fromkeys([*near, *available]))
            raise CellworksError(
                f"the table '{table}' lacks columns that the solution names",
                expected=", ".join(named[:_TOLD]) + (f" and {more} more" if (more := len(named) - _TOLD) > 0 else ""),
                found=", ".join(lost),
                mend="correct the names in defs.yaml, or the table",
                where=where,
            )
        return available

    def arrow(self, sql: str, parameters: list[object] | None = None) -> pa.Table:
        """Run a query and fetch Arrow."""
        try:
            return self.con.execute(sql, parameters or []).to_arrow_table()
        except duckdb.Error as error:
            raise CellworksError(
                "the solution's table could not be read", found=str(error).splitlines()[0], where=sql[:200]
            ) from error


@contextlib.contextmanager
def open_tables(ctx: ModelContext, table: str) -> Iterator[Tables]:
    """A connection that sees `table`: the lake at the context's snapshot, or an empty DuckDB for a file."""
    if file_suffix(table) is None:
        with reader(ctx.home, snapshot=ctx.snapshot) as con:
            con.execute(f"SET threads = {ctx.n_threads}")
            yield Tables(con, ctx.files_root)
        return
    with private_database(ctx.n_threads) as con:
        yield Tables(con, ctx.files_root)


def private_database(n_threads: int) -> DuckDBPyConnection:
    """An empty DuckDB for a person's own file, which fetches no extension that a file may ask for."""
    con = duckdb.connect(config={"threads": n_threads, "autoinstall_known_extensions": False})
    con.execute(SILENCE)
    return con
