"""The warm engine: Great Expectations over one private DuckDB in memory, the lake attached to it for each run.

Suites see views: the batch of a table is a view over its rows (of the affected days alone, where a run says so), so
that the library's SQL stays as it is and cross-table rules still read the whole lake.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from expectations.checks import Check
from expectations.report import LAYERS
from pipelines.lake.connection import attach_statements, reader, retrying, threads
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier, quote_literal, quote_relation

if TYPE_CHECKING:
    import pyarrow as pa
    from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult
    from great_expectations.core.batch_definition import BatchDefinition

# The library alone takes 300 MB of the 500 that a run may; what does not fit in the rest goes to disk. Pages of files
# are left to the operating system, which caches them as well.
_CONFIG = {"memory_limit": "160MB", "enable_external_file_cache": "false"}
_RENEW_BYTES = 32_000_000
PROFILES = "profiles"
_CATALOGUE = "__ducklake_metadata_lake"  # DuckLake attaches its catalogue beside the lake, under this name
_QUIET = ("great_expectations", "great_expectations.expectations.core.expect_column_values_to_be_of_type")


class Engine:
    """One per process, by `warm_engine`; `attached` lends it to one run at a time.

    Attributes:
        startup_seconds: what importing and starting cost.
    """

    def __init__(self) -> None:
        started = time.perf_counter()
        # No usage reporting; read when the library is imported.
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import great_expectations as gx

            from expectations import kinds  # noqa: F401 - registers our own types
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
        self._con = duckdb.connect()
        self._is_prepared = False
        self.context = gx.get_context(mode="ephemeral")
        self.context.variables.progress_bars = {"globally": False}
        # The library opens two pools; its connections are cursors of ours, so that all meet one database.
        self._source: Any = self.context.data_sources.add_sql(
            "lake", connection_string="duckdb://", kwargs={"creator": self._connect, "query_cache_size": 0}
        )
        self._engines = (self._source.get_engine(), self._source.get_execution_engine().engine)
        for engine in self._engines:
            _buffer_rows(engine)
            self._reflect_quickly(engine.dialect)
            engine.dispose()
        self._lock = threading.Lock()
        self.startup_seconds = time.perf_counter() - started

    def _connect(self) -> Any:
        from duckdb_sqlalchemy import ConnectionWrapper

        return ConnectionWrapper(self._con.cursor())

    def _reflect_quickly(self, dialect: Any) -> None:
        """Read a batch's columns by DESCRIBE.

        The dialect's own reflection lists every table and view of every attached catalogue: 20 to 250 ms a batch.
        """
        from sqlalchemy import types

        def get_columns(_con: Any, table_name: str, schema: str | None = None, **_: Any) -> list[dict[str, Any]]:
            relation = quote_relation(f"{schema}.{table_name}" if schema else table_name)
            described = self._con.execute(f"DESCRIBE {relation}").fetchall()
            kinds = {row[0]: getattr(types, row[1].upper(), types.NullType) for row in described}
            return [{"name": name, "type": kind(), "nullable": True, "default": None} for name, kind in kinds.items()]

        def get_pk_constraint(*_: Any, **__: Any) -> dict[str, Any]:
            return {"constrained_columns": [], "name": None}

        dialect.get_columns, dialect.get_pk_constraint = get_columns, get_pk_constraint

    @contextlib.contextmanager
    def attached(self, home: Home, snapshot: int | None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Attach an instance's lake, read only and as of a snapshot, for the length of the block.

        The lake is left afterwards: a warm engine holds no file of an instance open between runs.

        Raises:
            CellworksError: there is no lake, or no such snapshot.
        """
        if not home.catalogue.is_file():
            with reader(home):  # says what is missing
                pass
        with self._lock:
            self._renew()
            try:
                self._attach(home, snapshot)
                yield self._con
            finally:
                self._con.execute("DETACH DATABASE IF EXISTS lake")

    def _renew(self) -> None:
        """Begin a new database when the old one has gathered memory: DuckLake keeps what it learnt of past lakes."""
        used = self._con.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchone()
        if self._is_prepared and used and used[0] < _RENEW_BYTES:
            return
        for engine in self._engines:
            engine.dispose()
        self._con.close()
        self._con = duckdb.connect(config={**_CONFIG, "threads": threads()})
        for schema in (*LAYERS, PROFILES):
            self._con.execute(f"CREATE SCHEMA {schema}")
        self._is_prepared = True

    def _attach(self, home: Home, snapshot: int | None) -> None:
        temporary = home.lake_dir / "tmp"
        with contextlib.suppress(duckdb.Error):  # DuckDB refuses to move a directory that it has written to
            self._con.execute(f"SET temp_directory = {quote_literal(temporary)}")
        statements = attach_statements(home, read_only=True, snapshot=snapshot)
        # Batches are views of this private database, so it stays in use.
        wanted = [statement for statement in statements if not statement.startswith("USE ")]
        try:
            retrying(lambda: [self._con.execute(statement) for statement in wanted])
        except duckdb.Error:
            with reader(home, snapshot=snapshot):  # says what is wrong with the snapshot
                raise

    @contextlib.contextmanager
    def batch(self, schema: str, name: str, sql: str, *, stored: bool = False) -> Iterator[str]:
        """A view (or a table, when it should be computed once) that a suite is run on.

        Yields:
            `schema.name`, quoted.
        """
        relation = quote_relation(f"{schema}.{name}")
        kind = "TABLE" if stored else "VIEW"
        self._con.execute(f"CREATE OR REPLACE {kind} {relation} AS {sql}")
        try:
            yield relation
        finally:
            self._con.execute(f"DROP {kind} {relation}")

    @contextlib.contextmanager
    def lent(self, name: str, rows: pa.Table) -> Iterator[None]:
        """Lend an Arrow table to the block, as `name.name`."""
        quoted = quote_identifier(name)
        self._con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
        self._con.register("lent_rows", rows)
        self._con.execute(f"CREATE OR REPLACE TABLE {quoted}.{quoted} AS SELECT * FROM lent_rows")
        self._con.unregister("lent_rows")
        try:
            yield
        finally:
            self._con.execute(f"DROP TABLE {quoted}.{quoted}")

    def validate(
        self, schema: str, name: str, checks: Sequence[Check], result_format: str
    ) -> ExpectationSuiteValidationResult:
        """Run checks on a batch; each result carries the number of its check in `meta`."""
        suite = self.suite(f"{schema}.{name}", checks)
        with _configurations_kept():
            return self.definition(schema, name).get_batch().validate(suite, result_format=result_format)

    def definition(self, schema: str, name: str) -> BatchDefinition:
        """The library's batch definition of a view; made once, and the view must be there then."""
        key = f"{schema}.{name}"
        if key not in self._source.get_asset_names():
            asset = self._source.add_table_asset(key, table_name=name, schema_name=schema)
            asset.add_batch_definition_whole_table("whole")
        definition: BatchDefinition = self._source.get_asset(key).get_batch_definition("whole")
        return definition

    def suite(self, name: str, checks: Sequence[Check]) -> ExpectationSuite:
        """Checks as a suite of the library."""
        import great_expectations as gx

        made = [_expectation(check, number) for number, check in enumerate(checks)]
        return gx.ExpectationSuite(name=name, expectations=made)


@cache
def warm_engine() -> Engine:
    """The engine of this process; the first call imports the library (about 2.3 s)."""
    return Engine()


def is_warm() -> bool:
    """Whether the library has been paid for already."""
    return warm_engine.cache_info().currsize > 0


class LakeColumns(Mapping[str, Mapping[str, str]]):
    """`schema.table` -> column -> DuckDB type, of the attached lake; a table is described when it is asked for.

    DuckDB's own lists of tables and columns would bind every view and count every table: up to a second.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, snapshot: int | None) -> None:
        self._con = con
        at = "end_snapshot IS NULL"
        if snapshot is not None:
            at = f"begin_snapshot <= {snapshot} AND (end_snapshot IS NULL OR end_snapshot > {snapshot})"
        relations = " UNION ALL ".join(
            f"SELECT schema_id, {kind}_name AS name FROM {_CATALOGUE}.ducklake_{kind} WHERE {at}"
            for kind in ("table", "view")
        )
        found = con.execute(
            f"SELECT schema_name || '.' || name FROM ({relations}) "
            f"JOIN (SELECT schema_id, schema_name FROM {_CATALOGUE}.ducklake_schema WHERE {at}) USING (schema_id)"
        ).fetchall()
        self._relations = dict.fromkeys(str(row[0]) for row in found)
        self._described: dict[str, dict[str, str]] = {}

    def __getitem__(self, relation: str) -> Mapping[str, str]:
        if relation not in self._relations:
            raise KeyError(relation)
        if relation not in self._described:
            rows = self._con.execute(f"DESCRIBE {quote_relation(f'lake.{relation}')}").fetchall()
            self._described[relation] = {str(row[0]): str(row[1]) for row in rows}
        return self._described[relation]

    def __contains__(self, relation: object) -> bool:
        return relation in self._relations

    def __iter__(self) -> Iterator[str]:
        return iter(self._relations)

    def __len__(self) -> int:
        return len(self._relations)


def _buffer_rows(engine: Any) -> None:
    """Take the rows of a statement at once: a pooled DuckDB connection forgets them when it is given back.

    Without it the library fails with `list index out of range` (great_expectations#11579).
    """
    from sqlalchemy import event
    from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy

    def take(_con: Any, cursor: Any, _sql: str, _parameters: Any, context: Any, _many: bool) -> None:
        if context is not None and cursor.description is not None:
            rows = cursor.fetchall()
            context.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(cursor, initial_buffer=rows)

    event.listen(engine, "after_cursor_execute", take)


@contextlib.contextmanager
def _configurations_kept() -> Iterator[None]:
    """Build the configuration of each expectation once for the length of the block.

    The library builds it anew about 40 times per expectation and run, which was 40 % of the time of a suite; while
    a suite is validated nothing changes an expectation.
    """
    from great_expectations.expectations.expectation import Expectation

    build: Any = Expectation.configuration
    kept: dict[int, tuple[Any, Any]] = {}

    def configuration(expectation: Any) -> Any:
        key = id(expectation)
        if key not in kept:
            kept[key] = (expectation, build.fget(expectation))  # holding the expectation keeps its id its own
        return kept[key][1]

    Expectation.configuration = property(configuration)
    try:
        yield
    finally:
        Expectation.configuration = build


@cache
def _expectation_class(type_name: str) -> Callable[..., Any]:
    from great_expectations.expectations.registry import get_expectation_impl

    made: Callable[..., Any] = get_expectation_impl(type_name)
    return made


def _expectation(check: Check, number: int) -> Any:
    kwargs: dict[str, Any] = dict(check.kwargs)
    if check.type in {"expect_rows_to_satisfy", "expect_aggregate_to_be_between"}:
        kwargs["title"] = check.title
    return _expectation_class(check.type)(meta={"check": number}, **kwargs)


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


def select_rows(relation: str, columns: Sequence[str], days: Sequence[str] | None) -> str:
    """The query behind a batch: a table of the lake, of some production days when `days` says so."""
    names = ", ".join(quote_identifier(column) for column in columns)
    sql = f"SELECT {names} FROM {quote_relation(f'lake.{relation}')}"
    if days is None:
        return sql
    listed = ", ".join(f"DATE {quote_literal(day)}" for day in days) or "NULL"
    return f"{sql} WHERE production_day IN ({listed})"
