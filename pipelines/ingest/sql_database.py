"""Any SQLAlchemy database: rows behind the cursor column's last value, in chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection
from sqlalchemy import ColumnClause, column, create_engine, func, select, table
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.feeds import Source, SourceTable
from pipelines.control_plan.site import Site
from pipelines.ingest.connector import Delivery, Pending, TextRow

CHUNK_ROWS = 20_000


class SqlDatabase:
    """Tables of one database, each read in the order of a strictly growing integer cursor column.

    A row that becomes visible with a smaller cursor value than one already read would be missed: the column must
    grow with the commits (an identity column of a single writer, a change number).
    """

    def __init__(self, site: Site, source: Source, url: str) -> None:
        self._site = site
        self._source = source
        self._url = url

    def pending(self, con: DuckDBPyConnection) -> Pending:
        """Rows that came since the last batch, one delivery per table.

        Raises:
            CellworksError: the database, a table or a column can't be read.
        """
        url = make_url(self._url)
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
            return Pending()  # the plant's system has not delivered anything yet
        with self._reading() as engine:
            found = [self._table(con, engine, entry) for entry in self._source.tables]
        return Pending([each for each in found if each is not None])

    @contextmanager
    def _reading(self) -> Iterator[Engine]:
        """An engine; what goes wrong with it is told to the person who configured it."""
        url = make_url(self._url)
        engine = create_engine(url)
        try:
            yield engine
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

    def _table(self, con: DuckDBPyConnection, engine: Engine, entry: SourceTable) -> Delivery | None:
        name = f"{self._source.name}.{entry.table}"
        last = con.execute(
            "SELECT max(CAST(cursor_value AS BIGINT)) FROM lake.ops.ingest_offset WHERE source = ?", [name]
        ).fetchone()
        begin = int(last[0]) if last is not None and last[0] is not None else None
        cursor: ColumnClause[Any] = column(entry.cursor_column)
        with engine.connect() as connection:
            end = connection.execute(select(func.max(cursor)).select_from(table(entry.table, cursor))).scalar()
        if end is None or (begin is not None and int(end) <= begin):
            return None

        def rows() -> Iterator[TextRow]:
            return self._rows(entry, begin, int(end))

        stretch = f"{'' if begin is None else begin}..{int(end)}"
        return Delivery(entry.feed, name, "rows", stretch, rows=rows, cursor_value=str(int(end)))

    def _rows(self, entry: SourceTable, begin: int | None, end: int) -> Iterator[TextRow]:
        """Rows of the stretch (begin, end] as JSON objects, chunk by chunk, the cursor value as position."""
        cursor: ColumnClause[Any] = column(entry.cursor_column)
        names = list(raw_schema(self._site, entry.feed))
        columns: list[ColumnClause[Any]] = [column(each) for each in names]
        query = select(cursor, *columns).select_from(table(entry.table, cursor, *columns)).order_by(cursor)
        with self._reading() as engine, engine.connect() as connection:
            while True:
                after = query.where(cursor <= end) if begin is None else query.where(cursor > begin, cursor <= end)
                chunk = connection.execute(after.limit(CHUNK_ROWS)).fetchall()
                for row in chunk:
                    yield TextRow(int(row[0]), json.dumps(dict(zip(names, row[1:], strict=True)), default=_plain))
                if len(chunk) < CHUNK_ROWS:
                    return
                begin = int(chunk[-1][0])


def _plain(value: object) -> str | float:
    """A database's value as JSON can carry it."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)
