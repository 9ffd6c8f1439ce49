"""The warm database: one private DuckDB in memory with an instance's lake attached, for suites to be asked through.

It is light: Great Expectations is imported by `engine` alone, and only where a suite is validated.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from expectations.report import LAYERS
from pipelines.lake.connection import attach_statements, reader, retrying, threads
from pipelines.lake.home import Home
from pipelines.lake.lock import CHECKS, require_held, writer_lock
from pipelines.lake.sql import quote_identifier, quote_relation

if TYPE_CHECKING:
    import pyarrow as pa

# Python with the library takes 380 MB of the 500 that a run may. A wide table needs 100 MB for its columns alone, which
# no disk can stand in for; the aggregates of millions of rows can go to disk from less on. Pages of files are left to
# the operating system, which caches them as well.
_MEMORY, _FRUGAL = "256MB", ("64MB", "96MB", "144MB")
_CONFIG = {
    "memory_limit": _MEMORY,
    "enable_external_file_cache": "false",
    "preserve_insertion_order": "false",
}
_RENEW_BYTES = 32_000_000
PROFILES = "profiles"
METADATA = "__ducklake_metadata_lake"  # DuckLake attaches its catalogue beside the lake, under this name


class Database:
    """One per process, by `warm_database`; `attached` lends it to one run at a time.

    The lake stays attached between the runs of one instance, idle and outside any transaction: reading its catalogue
    anew costs 50 ms, and a night makes eighteen runs.

    Attributes:
        con: the connection that holds the database open; another one after `attached` began a new database.
    """

    def __init__(self) -> None:
        self.con = duckdb.connect()
        self._lake: object = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def attached(self, home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend the connection with an instance's lake attached as `lake`.

        Raises:
            CellworksError: there is no lake.
        """
        if not home.has_lake:
            with reader(home):  # says what is missing
                pass
        with self._lock:
            lake = (home.root, home.lake_identity)
            if self._lake != lake or self._is_full():
                self._lake = None
                self._begin(home)
                self._lake = lake
            yield self.con

    def _is_full(self) -> bool:
        """Whether memory has gathered that no query needs any more."""
        used = self.con.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchone()
        return bool(used and used[0] is not None and used[0] >= _RENEW_BYTES)

    def _begin(self, home: Home) -> None:
        self.con.close()
        config = {**_CONFIG, "threads": threads(), "temp_directory": str(home.lake_dir / "tmp")}
        self.con = duckdb.connect(config=config)
        for schema in (*LAYERS, PROFILES):
            self.con.execute(f"CREATE SCHEMA {schema}")
        # Batches are views of this private database, so it stays in use.
        wanted = [each for each in attach_statements(home) if not each.startswith("USE ")]
        retrying(lambda: [self.con.execute(statement) for statement in wanted])

    @contextlib.contextmanager
    def batch(self, schema: str, name: str, sql: str, *, stored: bool = False) -> Iterator[str]:
        """A view (or a table, when it should be computed once) that a suite is validated on.

        Yields:
            `schema.name`, quoted.
        """
        relation = quote_relation(f"{schema}.{name}")
        kind = "TABLE" if stored else "VIEW"
        self._create(f"CREATE OR REPLACE {kind} {relation} AS {sql}", frugal=stored)
        try:
            yield relation
        finally:
            self.con.execute(f"DROP {kind} {relation}")

    def _create(self, statement: str, *, frugal: bool) -> None:
        """Run a statement, in little memory at first where aggregates may be many."""
        for limit in _FRUGAL if frugal else ():
            self.con.execute(f"SET memory_limit = '{limit}'")
            try:
                self.con.execute(statement)
            except duckdb.OutOfMemoryException:
                continue
            else:
                return
            finally:
                self.con.execute(f"SET memory_limit = '{_MEMORY}'")
        self.con.execute(statement)

    @contextlib.contextmanager
    def lent(self, name: str, rows: pa.Table) -> Iterator[None]:
        """Lend an Arrow table to the block, as `name.name`."""
        quoted = quote_identifier(name)
        self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
        self.con.register("lent_rows", rows)
        self.con.execute(f"CREATE OR REPLACE TABLE {quoted}.{quoted} AS SELECT * FROM lent_rows")
        self.con.unregister("lent_rows")
        try:
            yield
        finally:
            self.con.execute(f"DROP TABLE {quoted}.{quoted}")

    @contextlib.contextmanager
    def writing(self, home: Home, why: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """One writing transaction on what suites held on, within `attached` and after its reads."""
        with writer_lock(home, why, area=CHECKS):
            self.con.execute("BEGIN TRANSACTION")
            try:
                yield self.con
                require_held()
            except BaseException:
                self.con.execute("ROLLBACK")
                raise
            self.con.execute("COMMIT")


@cache
def warm_database() -> Database:
    """The database of this process."""
    return Database()


class Relation(NamedTuple):
    """A table or view of the lake: its number, the snapshot that it exists since, and how many rows were written to it.

    Deleted rows count until their files are compacted.
    """

    number: int
    begin: int
    is_view: bool
    rows: int


class LakeColumns(Mapping[str, Mapping[str, str]]):
    """`schema.table` -> column -> DuckDB type, of the attached lake; a table is described when it is asked for.

    DuckDB's own lists of tables and columns would bind every view and count every table: up to a second.

    Attributes:
        relations: `schema.table` -> what the catalogue says of it.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        listed = " UNION ALL ".join(
            f"SELECT schema_id, {kind}_id AS number, {kind}_name AS name, begin_snapshot, {kind == 'view'} AS is_view "
            f"FROM {METADATA}.ducklake_{kind} WHERE end_snapshot IS NULL"
            for kind in ("table", "view")
        )
        found = con.execute(
            f"SELECT schema_name || '.' || name, number, r.begin_snapshot, is_view, coalesce(record_count, 0) "
            f"FROM ({listed}) AS r JOIN {METADATA}.ducklake_schema AS s USING (schema_id) "
            f"LEFT JOIN {METADATA}.ducklake_table_stats AS t ON t.table_id = number AND NOT is_view "
            "WHERE s.end_snapshot IS NULL"
        ).fetchall()
        self.relations = {str(name): Relation(*rest) for name, *rest in found}
        self._described: dict[str, dict[str, str]] = {}

    def __getitem__(self, relation: str) -> Mapping[str, str]:
        if relation not in self.relations:
            raise KeyError(relation)
        if relation not in self._described:
            rows = self._con.execute(f"DESCRIBE {quote_relation(f'lake.{relation}')}").fetchall()
            self._described[relation] = {str(row[0]): str(row[1]) for row in rows}
        return self._described[relation]

    def __contains__(self, relation: object) -> bool:
        return relation in self.relations

    def __iter__(self) -> Iterator[str]:
        return iter(self.relations)

    def __len__(self) -> int:
        return len(self.relations)


def sample_rows(
    con: duckdb.DuckDBPyConnection, relation: str, violation: str, limit: int
) -> tuple[int, tuple[Mapping[str, Any], ...]]:
    """How many rows of a batch break a check, and some of them in the order of the table."""
    where = f"FROM {relation} WHERE {violation}"
    counted = con.execute(f"SELECT count(*) {where}").fetchone()
    cursor = con.execute(f"SELECT * {where} LIMIT {int(limit)}")
    names = [column[0] for column in cursor.description or []]
    rows = tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    return (int(counted[0]) if counted else 0), rows
