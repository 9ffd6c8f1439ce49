"""The DuckLake catalogue on PostgreSQL: filled beside its place, and put there in one step.

Its tables are copied as they are, so numbers of snapshots and files stay, and a pinned version reads its rows again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import ALIAS, attach_statements
from pipelines.lake.home import Home
from pipelines.lake.progress import Progress, silent
from pipelines.lake.servers import connect
from pipelines.lake.sql import quote_identifier, quote_literal
from pipelines.lake.stores import Stores
from pipelines.moving.tables import Verified, fill, mover, tables, target

_DRAFT: Final = "cellworks_draft"


def make_draft(home: Home, stores: Stores) -> None:
    """Let DuckLake make its tables in a schema of their own; what an earlier attempt left goes."""
    _execute(_url(stores), f"DROP SCHEMA IF EXISTS {_DRAFT} CASCADE", f"CREATE SCHEMA {_DRAFT}")
    with duckdb.connect() as con:
        for statement in attach_statements(home, made_in=_DRAFT):
            con.execute(statement)
        con.execute(f"USE memory; DETACH {ALIAS}")


def fill_draft(
    stores: Stores, sources: Mapping[str, str], attach: tuple[str, ...] = (), progress: Progress = silent
) -> list[Verified]:
    """Copy a catalogue's tables into the draft, with the data's new place in it.

    Args:
        stores: the servers.
        sources: relation by table.
        attach: statements that make the relations readable.
        progress: told of each table.

    Raises:
        CellworksError: a path is absolute, the catalogue is of another version, or a table reads back otherwise.
    """
    with mover(_url(stores)) as con:
        for statement in attach:
            con.execute(statement)
        refuse_absolute(con, sources)
        known = set(tables(con, "target", _DRAFT))
        for table in sorted(sources.keys() - known):  # rows that DuckLake keeps in the catalogue itself
            con.execute(f"CREATE TABLE {target(_DRAFT, table)} AS FROM {sources[table]} LIMIT 0")
        place = quote_literal(stores.data_path)

        def change(table: str, column: str, _: str) -> str:
            if (table, column) == ("ducklake_metadata", '"value"'):
                return f"CASE WHEN \"key\" = 'data_path' THEN {place} ELSE {column} END"
            return column

        return fill(con, _DRAFT, sources, change=change, progress=progress)


def publish_draft(stores: Stores) -> None:
    """Put the draft's tables where the lake looks for them, all or none."""
    url = _url(stores)
    con = connect(url)
    try:
        with con.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [_DRAFT])
            names = [str(name) for (name,) in cursor.fetchall()]
    finally:
        con.close()
    moves = [f"ALTER TABLE {_DRAFT}.{quote_identifier(name)} SET SCHEMA public" for name in names]
    _execute(url, *moves, f"DROP SCHEMA {_DRAFT} CASCADE", "UPDATE cellworks.arrival SET ended = now()")


def refuse_absolute(con: DuckDBPyConnection, sources: Mapping[str, str]) -> None:
    """Refuse a catalogue that names files outside its own data, which would not come along.

    Raises:
        CellworksError: it does; names the first.
    """
    for table in ("ducklake_data_file", "ducklake_delete_file"):
        found = con.execute(f"SELECT path FROM {sources[table]} WHERE NOT path_is_relative::BOOLEAN LIMIT 1").fetchone()
        if found is not None:
            raise CellworksError(
                "the catalogue names a file outside the lake's data",
                expected="paths relative to the data",
                found=str(found[0]),
                mend="rewrite that table, so that its rows lie in files of the lake",
            )


def refuse_lost(con: DuckDBPyConnection, sources: Mapping[str, str], sizes: Mapping[str, int]) -> None:
    """Refuse a catalogue that names data files which are not there, or of another size.

    Args:
        con: a connection that sees the relations.
        sources: relation by table of the catalogue.
        sizes: bytes of each data file by its path below the data.

    Raises:
        CellworksError: it does; names the first.
    """
    refuse_absolute(con, sources)
    for table in ("ducklake_data_file", "ducklake_delete_file"):
        named = con.execute(
            "SELECT DISTINCT s.path || t.path || f.path, f.file_size_bytes "
            f"FROM {sources[table]} f JOIN {sources['ducklake_table']} t USING (table_id) "
            f"JOIN {sources['ducklake_schema']} s USING (schema_id) ORDER BY 1"
        ).fetchall()
        for key, size in named:
            if sizes.get(key) != size:
                raise CellworksError(
                    "a data file of the lake is damaged or lost",
                    expected=f"{size} bytes",
                    found=f"{sizes[key]} bytes" if key in sizes else "no such file",
                    mend="copy this one file back from an older backup (docs/how-to/back-up-and-move.md)",
                    where=str(key),
                )


def _execute(url: str, *statements: str) -> None:
    """Run statements in one transaction."""
    con = connect(url)
    con.autocommit = False
    try:
        with con.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        con.commit()
    finally:
        con.close()


def _url(stores: Stores) -> str:
    if stores.lake_url is None:
        raise ValueError("embedded stores have no server")
    return stores.lake_url
