"""What an assistant reads: curated tables as they were published last, and what was told as it stands now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import duckdb
from duckdb import DuckDBPyConnection

from models.assistant.select import SCHEMAS
from pipelines.lake.connection import attach_statements, current_snapshot, memory_limit, reader, require_lake, retrying
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier, quote_relation

_TOLD = ("ops", "solutions")
"""What is written after a domain was published, and so is read as it stands now."""


@dataclass(frozen=True)
class Source:
    """An open connection in which nothing but tables that were let in can be named.

    Attributes:
        con: its own catalogue holds views of the tables; the lake behind them is attached read only, at two snapshots.
        snapshots: by schema, the snapshot that is read.
    """

    con: DuckDBPyConnection
    snapshots: dict[str, int]
    _admitted: set[str] = field(default_factory=set)

    def lacking(self, tables: Iterable[str]) -> list[str]:
        """Let tables in, and return those that are not there."""
        missing = []
        for name in sorted(set(tables) - self._admitted):
            schema = name.split(".")[0]
            lake = "told" if schema in _TOLD else "lake"
            self.con.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{quote_identifier(schema)}")
            try:
                self.con.execute(f"CREATE VIEW memory.{quote_relation(name)} AS FROM {lake}.{quote_relation(name)}")
            except duckdb.CatalogException:
                missing.append(name)
            else:
                self._admitted.add(name)
        return missing


@contextlib.contextmanager
def open_source(home: Home, published: int | None, n_threads: int) -> Iterator[Source]:
    """A source over a home.

    Args:
        home: the instance.
        published: snapshot of curated tables; None: the newest.
        n_threads: for reading.

    Raises:
        CellworksError: there is no lake yet.
    """
    require_lake(home)
    with reader(home) as newest:
        now = current_snapshot(newest)
    facts = now if published is None else published
    with duckdb.connect(config={"threads": n_threads, "memory_limit": memory_limit()}) as con:

        def attach() -> None:
            for alias, snapshot in (("lake", facts), ("told", now)):
                con.execute(f"DETACH DATABASE IF EXISTS {alias}")
                for statement in attach_statements(home, snapshot=snapshot, alias=alias):
                    con.execute(statement)
            con.execute("USE memory")

        retrying(attach)
        yield Source(con, {schema: now if schema in _TOLD else facts for schema in SCHEMAS})
