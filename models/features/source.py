"""Reading tables: a lake relation at a snapshot, or a CSV, Parquet or JSON-lines file, as Arrow."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection

from models.context import ModelContext
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader
from pipelines.lake.sql import quote_literal, quote_relation

_READERS = {
    ".csv": "read_csv({}, sample_size = -1)",
    ".tsv": "read_csv({}, delim = '\t', sample_size = -1)",
    ".csv.gz": "read_csv({}, sample_size = -1)",
    ".parquet": "read_parquet({})",
    ".jsonl": "read_json({}, format = 'newline_delimited')",
}


def file_suffix(table: str) -> str | None:
    """The suffix by which a table name is a file, None when it is a lake relation."""
    lowered = table.lower()
    return next((suffix for suffix in sorted(_READERS, key=len, reverse=True) if lowered.endswith(suffix)), None)


def resolve_file(table: str, root: Path | None) -> Path:
    """A file table's path: as it is when absolute, else below `root` (default: the working directory)."""
    path = Path(table).expanduser()
    path = path if path.is_absolute() else (root or Path.cwd()) / path
    if not path.is_file():
        raise CellworksError(
            f"the table file is not there: {table}",
            expected="a readable CSV, Parquet or JSON-lines file",
            found=f"nothing at {path}",
            mend="correct `table` in the solution's defs.yaml",
        )
    return path.resolve()


@dataclass(frozen=True)
class Tables:
    """An open connection and how to name tables in it."""

    con: DuckDBPyConnection
    root: Path | None

    def relation(self, table: str) -> str:
        """SQL that stands for the table in FROM."""
        suffix = file_suffix(table)
        if suffix is None:
            return quote_relation(table)
        return _READERS[suffix].format(quote_literal(resolve_file(table, self.root)))

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
    con = duckdb.connect(config={"threads": ctx.n_threads})
    try:
        yield Tables(con, ctx.files_root)
    finally:
        con.close()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content: the 'snapshot' of a table that is no lake table."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
