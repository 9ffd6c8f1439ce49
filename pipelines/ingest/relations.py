"""Deliveries as relations of one shape: the feed's columns, `_source` and `_position`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.site import Site
from pipelines.ingest.connector import Delivery
from pipelines.ingest.drop_folder import MAX_LINE_BYTES, csv_header
from pipelines.lake.sql import columns_sql, quote_identifier, quote_literal


@dataclass(frozen=True)
class Rejected:
    """A line that is no row at all: its place, its text and what is wrong with it."""

    source: str
    position: int
    reason: str
    raw_text: str


@dataclass
class Relation:
    """A readable set of deliveries.

    Attributes:
        name: table or view with the feed's columns, `_source` and `_position`.
        rejected: lines that the reader could not split into columns.
    """

    feed: str
    name: str
    deliveries: list[Delivery]
    rejected: list[Rejected] = field(default_factory=list)


class Reader:
    """Makes relations of deliveries in one connection; file by file where a group can't be read at once."""

    def __init__(self, con: DuckDBPyConnection, site: Site) -> None:
        self._con = con
        self._site = site
        self._number = 0

    def relations(self, deliveries: Sequence[Delivery]) -> Iterator[Relation | tuple[Delivery, str]]:
        """Relations, and deliveries that turned out unreadable with the reason."""
        for (feed, _), group in groupby(deliveries, key=lambda each: (each.feed, each.format)):
            members = list(group)
            try:
                yield from self._open(feed, members)
            except duckdb.Error:
                yield from self._one_by_one(feed, members)

    def _one_by_one(self, feed: str, members: Iterable[Delivery]) -> Iterator[Relation | tuple[Delivery, str]]:
        for member in members:
            try:
                yield from self._open(feed, [member])
            except duckdb.Error as error:
                yield member, str(error).splitlines()[0]

    def _open(self, feed: str, members: list[Delivery]) -> list[Relation]:
        form = members[0].format
        if form == "parquet":
            return [self._parquet(feed, members)]
        if form == "jsonl":
            return [self._jsonl(feed, members)]
        if form == "arrow":
            return [self._arrow(feed, each) for each in members]
        by_header: dict[tuple[str, ...], list[Delivery]] = {}
        for member in members:
            if member.path is not None:
                by_header.setdefault(tuple(csv_header(member.path)), []).append(member)
        return [self._csv(feed, header, group) for header, group in by_header.items()]

    def _name(self) -> str:
        self._number += 1
        return f"cw_in_{self._number}"

    def _columns(self, feed: str) -> str:
        return columns_sql(raw_schema(self._site, feed))

    def _parquet(self, feed: str, members: list[Delivery]) -> Relation:
        name = self._name()
        self._con.execute(
            f"CREATE TEMP VIEW {name} AS SELECT {self._columns(feed)}, {_source(feed)}, "
            f"file_row_number + 1 AS _position FROM read_parquet({_files(members)}, filename = true, "
            "file_row_number = true, union_by_name = true)"
        )
        # Reads each footer now, so that a broken file shows before anything is written.
        self._con.execute(f"SELECT count(*) FROM {name}").fetchone()
        return Relation(feed, name, members)

    def _jsonl(self, feed: str, members: list[Delivery]) -> Relation:
        name = self._name()
        self._lines(name, feed, members)
        columns = ", ".join(
            f"json_extract_string(_line, {quote_literal(_json_path(each))}) AS {quote_identifier(each)}"
            for each in raw_schema(self._site, feed)
        )
        rejected = self._con.execute(
            f"SELECT _source, _position, 'not a JSON object', _line FROM {name}_lines "
            "WHERE NOT coalesce(json_valid(_line) AND json_type(_line) = 'OBJECT', false)"
        ).fetchall()
        self._con.execute(
            f"CREATE TEMP TABLE {name} AS SELECT {columns}, _source, _position FROM {name}_lines "
            "WHERE json_valid(_line) AND json_type(_line) = 'OBJECT'"
        )
        return Relation(feed, name, members, [Rejected(*row) for row in rejected])

    def _lines(self, name: str, feed: str, members: list[Delivery]) -> None:
        """Table of text lines; read as a CSV of one column whose separators never occur in text."""
        self._con.execute(
            f"CREATE TEMP TABLE {name}_all AS SELECT line AS _line, {_source(feed)} FROM read_csv({_files(members)}, "
            "columns = {'line': 'VARCHAR'}, header = false, delim = '\x1f', quote = '', escape = '', "
            f"auto_detect = false, filename = true, max_line_size = {2 * MAX_LINE_BYTES})"
        )
        self._con.execute(
            f"CREATE TEMP TABLE {name}_lines AS SELECT _line, _source, "
            f"row_number() OVER (PARTITION BY _source ORDER BY rowid) AS _position FROM {name}_all"
        )

    def _arrow(self, feed: str, member: Delivery) -> Relation:
        name = self._name()
        self._con.register(f"{name}_arrow", member.table)
        self._con.execute(
            f"CREATE TEMP TABLE {name} AS SELECT {self._columns(feed)}, {quote_literal(member.source)} AS _source, "
            f"row_number() OVER () AS _position FROM {name}_arrow"
        )
        self._con.unregister(f"{name}_arrow")
        return Relation(feed, name, [member])

    def _csv(self, feed: str, header: tuple[str, ...], members: list[Delivery]) -> Relation:
        name = self._name()
        columns = ", ".join(f"{quote_literal(each)}: 'VARCHAR'" for each in header)
        self._con.execute(
            f"CREATE TEMP TABLE {name}_read AS SELECT {self._columns(feed)}, {_source(feed)} "
            f"FROM read_csv({_files(members)}, columns = {{{columns}}}, header = true, auto_detect = false, "
            "delim = ',', quote = '\"', escape = '\"', nullstr = '', filename = true, store_rejects = true, "
            f"rejects_table = '{name}_errors', rejects_scan = '{name}_scans', rejects_limit = 0, "
            f"max_line_size = {2 * MAX_LINE_BYTES})"
        )
        rejected = self._con.execute(
            f"SELECT {quote_literal(feed)} || '/' || parse_filename(s.file_path), max(e.line), "
            "any_value(e.error_message), any_value(left(e.csv_line, 4000)) "
            f"FROM {name}_errors AS e JOIN {name}_scans AS s USING (scan_id, file_id) GROUP BY s.file_path, e.line"
        ).fetchall()
        # The line's number in the file, header included, as long as no value holds a line break.
        self._con.execute(
            f"CREATE TEMP TABLE {name} AS SELECT *, "
            f"row_number() OVER (PARTITION BY _source ORDER BY rowid) + 1 AS _position FROM {name}_read"
        )
        return Relation(feed, name, members, [Rejected(row[0], row[1], str(row[2]), row[3] or "") for row in rejected])


def _files(members: Iterable[Delivery]) -> str:
    return f"[{', '.join(quote_literal(each.path) for each in members)}]"


def _source(feed: str) -> str:
    return f"{quote_literal(feed)} || '/' || parse_filename(filename) AS _source"


def _json_path(column: str) -> str:
    return '$."' + column.replace('"', '\\"') + '"'
