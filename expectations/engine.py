"""The warm engine: Great Expectations over the warm database.

Suites see views of that database: the batch of a table is a view over its rows in the lake, so that the library's SQL
stays as it is and cross-table rules still read the whole lake.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from expectations.checks import Check
from expectations.database import Database, warm_database
from pipelines.lake.sql import quote_relation

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult
    from great_expectations.core.batch_definition import BatchDefinition

_QUIET = ("great_expectations", "great_expectations.expectations.core.expect_column_values_to_be_of_type")


class Engine:
    """One per process, by `warm_engine`; used within `Database.attached`.

    Attributes:
        startup_seconds: what importing and starting cost.
    """

    def __init__(self, database: Database) -> None:
        started = time.perf_counter()
        # No usage reporting; read when the library is imported.
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import great_expectations as gx

            from expectations import kinds  # noqa: F401 - registers our own types
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
        self._database = database
        self._con = database.con
        self.context = gx.get_context(mode="ephemeral")
        self.context.variables.progress_bars = {"globally": False}
        # An ephemeral context has nowhere to save its project to, yet writes all of it as YAML with every batch.
        self.context.variables.save = lambda: None
        # The library opens two pools; its connections are cursors of ours, so that all meet one database.
        self._source: Any = self.context.data_sources.add_sql(
            "lake", connection_string="duckdb://", kwargs={"creator": self._connect, "query_cache_size": 0}
        )
        self._engines = (self._source.get_engine(), self._source.get_execution_engine().engine)
        for engine in self._engines:
            _buffer_rows(engine)
            self._reflect_quickly(engine.dialect)
            engine.dispose()
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

    def validate(
        self, schema: str, name: str, checks: Sequence[Check], result_format: str
    ) -> ExpectationSuiteValidationResult:
        """Run checks on a batch; each result carries the number of its check in `meta`."""
        self._meet_database()
        suite = self.suite(f"{schema}.{name}", checks)
        with _configurations_kept():
            return self.definition(schema, name).get_batch().validate(suite, result_format=result_format)

    def _meet_database(self) -> None:
        """Let go of pooled cursors of a database that was closed since."""
        if self._con is not self._database.con:
            self._con = self._database.con
            for engine in self._engines:
                engine.dispose()

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
    return Engine(warm_database())


def is_warm() -> bool:
    """Whether the library has been paid for already."""
    return warm_engine.cache_info().currsize > 0


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
