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
from sqlalchemy import ColumnClause, Row, column, create_engine, func, select, table
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.feeds import Source, SourceTable
from pipelines.control_plan.site import Site
from pipelines.ingest.connector import Delivery, Pending, TextRow
from pipelines.ingest.cursor import CursorValue, cursor_value, like, position

CHUNK_ROWS = 20_000


class SqlDatabase:
    """Tables of one database, each read in the order of a growing cursor column: integers, moments or dates.

    A row that becomes visible with a smaller cursor value than one already read would be missed: the column must
    grow with the commits (an identity column of a single writer, a change number, the moment of the last change).
    Integers must be unique too. Many rows may share a moment or a date, and more of the newest may still come: they
    wait until a later one is seen, then all of them are read, once.
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
            notes = [note for entry in self._source.tables if (note := self._without_cursor(engine, entry))]
        return Pending([each for each in found if each is not None], notes)

    def _without_cursor(self, engine: Engine, entry: SourceTable) -> str:
        """A remark on rows that no read will reach; empty when there are none."""
        cursor: ColumnClause[Any] = column(entry.cursor_column)
        query = select(func.count()).select_from(table(entry.table, cursor)).where(cursor.is_(None))
        with engine.connect() as connection:
            rows = connection.execute(query).scalar()
        if not rows:
            return ""
        return f"{self._source.name}.{entry.table}: {rows} rows without {entry.cursor_column} can't be read; fill it in"

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
            "SELECT arg_max(cursor_value, batch_id) FROM lake.ops.ingest_offset WHERE source = ?", [name]
        ).fetchone()
        cursor: ColumnClause[Any] = column(entry.cursor_column)
        greatest = select(func.max(cursor)).select_from(table(entry.table, cursor))
        with engine.connect() as connection:
            newest = connection.execute(greatest).scalar()
            if newest is None:
                return None
            end = cursor_value(newest, name, entry.cursor_column)
            begin = None if last is None or last[0] is None else like(end, last[0], name, entry.cursor_column)
            if not isinstance(end, int):
                greatest = greatest.where(cursor < end)
            after = connection.execute(greatest if begin is None else greatest.where(cursor > begin)).scalar()
        if after is None:
            return None
        end = cursor_value(after, name, entry.cursor_column)

        def rows() -> Iterator[TextRow]:
            return self._rows(entry, begin, end)

        stretch = f"{'' if begin is None else begin}..{end}"
        return Delivery(entry.feed, name, "rows", stretch, rows=rows, cursor_value=str(end))

    def _rows(self, entry: SourceTable, begin: CursorValue | None, end: CursorValue) -> Iterator[TextRow]:
        """Rows of the stretch (begin, end] as JSON objects, chunk by chunk, the cursor value as position."""
        cursor: ColumnClause[Any] = column(entry.cursor_column)
        names = list(raw_schema(self._site, entry.feed))
        columns: list[ColumnClause[Any]] = [column(each) for each in names]
        query = select(cursor, *columns).select_from(table(entry.table, cursor, *columns)).order_by(cursor)
        source = f"{self._source.name}.{entry.table}"

        def text_row(row: Row[Any]) -> TextRow:
            place = position(cursor_value(row[0], source, entry.cursor_column))
            return TextRow(place, json.dumps(dict(zip(names, row[1:], strict=True)), default=_plain))

        with self._reading() as engine, engine.connect() as connection:
            while True:
                after = query.where(cursor <= end) if begin is None else query.where(cursor > begin, cursor <= end)
                chunk = connection.execute(after.limit(CHUNK_ROWS)).fetchall()
                if len(chunk) < CHUNK_ROWS:
                    yield from map(text_row, chunk)
                    return
                begin = chunk[-1][0]
                yield from (text_row(row) for row in chunk if row[0] != begin)
                # A chunk may end amid rows of one moment: those are read together.
                yield from map(text_row, connection.execute(query.where(cursor == begin)).fetchall())


def _plain(value: object) -> str | float:
    """A database's value as JSON can carry it."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)
