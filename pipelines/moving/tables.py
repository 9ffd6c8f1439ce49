"""Tables of a database in bulk, through DuckDB's own readers and writers of SQLite, PostgreSQL and Parquet.

Belongs here: what is the same for catalogue, registry and runs. Not here: which tables those have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import extension_file
from pipelines.lake.progress import Progress, silent
from pipelines.lake.servers import connect
from pipelines.lake.sql import quote_identifier, quote_literal

TARGET, SOURCE = "target", "source"


@dataclass(frozen=True)
class Verified:
    """A table that reads back as it was sent.

    Attributes:
        table: its name.
        rows: how many.
        hash: sum of the hashes of its rows, decimal.
    """

    table: str
    rows: int
    hash: str


@contextmanager
def mover(postgres_url: str) -> Iterator[DuckDBPyConnection]:
    """A private DuckDB with a PostgreSQL database attached as `target`."""
    with duckdb.connect() as con:
        con.execute("SET autoinstall_known_extensions = false")
        con.execute("SET TimeZone = 'UTC'")
        for name in ("sqlite_scanner", "postgres_scanner"):
            con.execute(f"LOAD {quote_literal(extension_file(name))}")
        con.execute(f"ATTACH {quote_literal(postgres_url)} AS {TARGET} (TYPE postgres)")
        yield con


def attach_sqlite(con: DuckDBPyConnection, file: Path, alias: str = SOURCE) -> dict[str, str]:
    """Attach a SQLite file for reading; gives its tables, name -> relation."""
    con.execute(f"ATTACH {quote_literal(file)} AS {quote_identifier(alias)} (TYPE sqlite, READ_ONLY)")
    return {name: f"{quote_identifier(alias)}.{quote_identifier(name)}" for name in tables(con, alias, "main")}


def parquet_tables(folder: Path) -> dict[str, str]:
    """The tables that `save` wrote into a folder, name -> relation."""
    return {each.stem: f"read_parquet({quote_literal(each)})" for each in sorted(folder.glob("*.parquet"))}


def tables(con: DuckDBPyConnection, alias: str, schema: str) -> list[str]:
    """Names of the tables of an attached database's schema."""
    rows = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? ORDER BY 1", [alias, schema]
    ).fetchall()
    return [str(name) for (name,) in rows]


def save(con: DuckDBPyConnection, schema: str, folder: Path, progress: Progress = silent) -> dict[str, int]:
    """Write each table of the target's schema as Parquet, all as of one moment; gives rows by table."""
    folder.mkdir(parents=True)
    rows = {}
    con.execute("BEGIN TRANSACTION")
    wanted = tables(con, TARGET, schema)
    for done_before, table in enumerate(wanted):
        progress(table, done_before, len(wanted))
        file = quote_literal(folder / f"{table}.parquet")
        done = con.execute(
            f"COPY (FROM {target(schema, table)}) TO {file} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchone()
        rows[table] = int(done[0]) if done else 0
    con.execute("COMMIT")
    return rows


def fill(
    con: DuckDBPyConnection,
    schema: str,
    sources: Mapping[str, str],
    *,
    change: Callable[[str, str, str], str] | None = None,
    progress: Progress = silent,
) -> list[Verified]:
    """Replace what tables of the target hold, all in one transaction, and read them back.

    Args:
        con: a connection of `mover`.
        schema: the target's schema; its tables are there.
        sources: relation or bracketed query by table, to be filled in this order.
        change: the expression that a column takes: table, quoted column, type -> SQL; None for the column itself.
        progress: told of each table, when it is sent and when it is read back.

    Raises:
        CellworksError: a table reads back otherwise; nothing stays of it.
    """
    if not sources:
        return []
    emptied = ", ".join(f"{quote_identifier(schema)}.{quote_identifier(table)}" for table in sources)
    con.execute("BEGIN TRANSACTION")
    try:
        _run(con, f"TRUNCATE {emptied} CASCADE")
        for number, (table, relation) in enumerate(sources.items()):
            progress(f"tables sent, now {table}", number, len(sources))
            query, names = _selected(con, schema, table, relation, change)
            con.execute(f"INSERT INTO {target(schema, table)} ({names}) {query}")
        done = []
        for number, (table, relation) in enumerate(sources.items()):
            progress(f"tables read back, now {table}", number, len(sources))
            done.append(_verified(con, schema, table, relation, change))
        for table in sources:
            _set_sequences(con, schema, table)
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
    return done


def target(schema: str, table: str) -> str:
    """The quoted name of a table of the target."""
    return f"{TARGET}.{quote_identifier(schema)}.{quote_identifier(table)}"


def parents_first(url: str) -> list[str]:
    """The tables of a PostgreSQL database, those that others refer to first."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        metadata = sqlalchemy.MetaData(schema="public")
        metadata.reflect(engine)
        return [table.name for table in metadata.sorted_tables]
    finally:
        engine.dispose()


def in_order(url: str, sources: Mapping[str, str], *, leave_out: Iterable[str] = ()) -> dict[str, str]:
    """The sources that the target has tables for, parents first.

    Raises:
        CellworksError: the source has rows of a table that the target does not know.
    """
    known, left = parents_first(url), set(leave_out)
    for table in sorted(sources.keys() - set(known) - left):
        raise CellworksError(
            "a table of the source is unknown to the version that is installed here",
            expected="one of the tables that this version makes",
            found=table,
            mend="install the version that wrote it, or a newer one, and run the same command with it",
        )
    return {table: sources[table] for table in known if table in sources and table not in left}


def rows_in(url: str, table: str) -> int:
    """Rows of a table of a PostgreSQL database; 0 where it is not there."""
    con = connect(url)
    try:
        with con.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
            if not cursor.fetchone()[0]:
                return 0
            cursor.execute(f"SELECT count(*) FROM {quote_identifier(table)}")
            return int(cursor.fetchone()[0])
    finally:
        con.close()


def _selected(
    con: DuckDBPyConnection, schema: str, table: str, relation: str, change: Callable[[str, str, str], str] | None
) -> tuple[str, str]:
    """The query over the source in the target's types, and the names of the columns that it fills."""
    there = {str(row[0]) for row in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
    columns = [each for each in _columns(con, schema, table) if each[0] in there]
    if lost := there - {name for name, _ in columns}:
        raise CellworksError(
            f"table {table} has columns that the version installed here does not know",
            found=", ".join(sorted(lost)),
            mend="install the version that wrote it, or a newer one",
        )
    expressions = []
    for name, kind in columns:
        quoted = quote_identifier(name)
        value = change(table, quoted, kind) if change else quoted
        expressions.append(f"CAST({value} AS {kind}) AS {quoted}")
    names = ", ".join(quote_identifier(name) for name, _ in columns)
    return f"SELECT {', '.join(expressions)} FROM {relation}", names


def _verified(
    con: DuckDBPyConnection, schema: str, table: str, relation: str, change: Callable[[str, str, str], str] | None
) -> Verified:
    query, names = _selected(con, schema, table, relation, change)
    sent = _fingerprint(con, f"({query})", names)
    found = _fingerprint(con, target(schema, table), names)
    if sent != found:
        raise CellworksError(
            f"table {table} reads back otherwise than it was sent",
            expected=f"{sent[0]} rows, hash {sent[1]}",
            found=f"{found[0]} rows, hash {found[1]}",
            mend="nothing of it stayed; see that nothing else writes there, and run the command again",
        )
    return Verified(table, *found)


def _fingerprint(con: DuckDBPyConnection, relation: str, names: str) -> tuple[int, str]:
    row = con.execute(f"SELECT count(*), coalesce(sum(hash({names})::HUGEINT), 0)::VARCHAR FROM {relation}").fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    return int(row[0]), str(row[1])


def _columns(con: DuckDBPyConnection, schema: str, table: str) -> Sequence[tuple[str, str]]:
    return [(str(row[0]), str(row[1])) for row in con.execute(f"DESCRIBE {target(schema, table)}").fetchall()]


def _set_sequences(con: DuckDBPyConnection, schema: str, table: str) -> None:
    """Let the numbers that PostgreSQL gives go on after those that were brought."""
    relation = f"{quote_identifier(schema)}.{quote_identifier(table)}"
    for name, kind in _columns(con, schema, table):
        if kind in ("INTEGER", "BIGINT"):
            sequence = f"pg_get_serial_sequence({quote_literal(relation)}, {quote_literal(name)})"
            highest = f"(SELECT max({quote_identifier(name)}) FROM {relation})"
            # MLflow gives its default experiment number 0, below where a sequence begins.
            _run(con, f"SELECT setval({sequence}, {highest}) WHERE {sequence} IS NOT NULL AND {highest} > 0")


def _run(con: DuckDBPyConnection, statement: str) -> None:
    """Let PostgreSQL run a statement within the transaction that is open."""
    con.execute(f"CALL postgres_execute({quote_literal(TARGET)}, {quote_literal(statement)})")
