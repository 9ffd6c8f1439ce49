"""Any SQLAlchemy database: rows behind the cursor column's last value, in chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection
from sqlalchemy import ColumnClause, column, create_engine, select, table
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.feeds import Source, SourceTable
from pipelines.control_plan.site import Site
from pipelines.ingest.connector import Delivery

CHUNK_ROWS = 200_000


class SqlDatabase:
    """Tables of one database, each read in the order of a strictly growing cursor column."""

    def __init__(self, site: Site, source: Source, url: str) -> None:
        self._site = site
        self._source = source
        self._url = url

    def pending(self, con: DuckDBPyConnection) -> list[Delivery]:
        """Rows that came since the last batch, one delivery per chunk.

        Raises:
            CellworksError: the database or a column can't be read.
        """
        url = make_url(self._url)
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
            return []  # the plant's system has not delivered anything yet
        engine = create_engine(url)
        try:
            return [each for entry in self._source.tables for each in self._table(con, engine, entry)]
        except SQLAlchemyError as error:
            raise CellworksError(
                f"source '{self._source.name}' can't be read",
                expected="tables and columns as in feeds.yaml",
                found=str(error).splitlines()[0],
                mend="check `sources:` in site.yaml and the rights of the user",
                where=url.render_as_string(hide_password=True),
            ) from error
        finally:
            engine.dispose()

    def _table(self, con: DuckDBPyConnection, engine: Engine, entry: SourceTable) -> list[Delivery]:
        name = f"{self._source.name}.{entry.table}"
        last = con.execute(
            "SELECT max(CAST(cursor_value AS BIGINT)) FROM lake.ops.ingest_offset WHERE source = ?", [name]
        ).fetchone()
        cursor: ColumnClause[Any] = column(entry.cursor_column)
        columns: list[ColumnClause[Any]] = [column(each) for each in raw_schema(self._site, entry.feed)]
        query = select(*columns, cursor).select_from(table(entry.table, *columns, cursor)).order_by(cursor)
        if last is not None and last[0] is not None:
            query = query.where(cursor > last[0])
        found = []
        with engine.connect() as connection:
            result = connection.execution_options(stream_results=True).execute(query)
            while rows := result.fetchmany(CHUNK_ROWS):
                end = str(rows[-1][-1])
                chunk = pa.table(
                    {
                        each.name: pa.array([None if row[i] is None else str(row[i]) for row in rows], pa.string())
                        for i, each in enumerate(columns)
                    }
                )
                found.append(
                    Delivery(entry.feed, name, "arrow", f"to {end}", chunk.nbytes, 0, table=chunk, cursor_value=end)
                )
        return found
