"""Schemas and the tables that ingestion and operations need; made from the control plan, growing with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from duckdb import DuckDBPyConnection

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.site import Site
from pipelines.lake.connection import retrying, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier, quote_literal, quote_relation

SCHEMAS = ("raw", "staging", "intermediate", "marts", "solutions", "ops")
# What ingestion adds to the columns of a feed.
BOOKKEEPING = {"_source": "VARCHAR", "_batch_id": "BIGINT", "production_day": "DATE"}

OPS_TABLES: dict[str, dict[str, str]] = {
    # One row per domain and publication; the newest counts.
    "published": {
        "domain": "VARCHAR NOT NULL",
        "snapshot_id": "BIGINT NOT NULL",
        "published_at": "TIMESTAMP NOT NULL",
        "run_id": "VARCHAR NOT NULL",
    },
    # One row per table: the newest snapshot on which all checks of its suite held.
    "checked": {
        "relation": "VARCHAR NOT NULL",
        "suite_hash": "VARCHAR NOT NULL",
        "snapshot_id": "BIGINT NOT NULL",
        "checked_at": "TIMESTAMP NOT NULL",
    },
    # Snapshots that must survive expiry.
    "pin": {
        "snapshot_id": "BIGINT NOT NULL",
        "reason": "VARCHAR NOT NULL",
        "holder": "VARCHAR NOT NULL",
        "pinned_at": "TIMESTAMP NOT NULL",
    },
    # One row per delivery taken in: a file in one content, or one stretch of a table.
    "ingest_offset": {
        "source": "VARCHAR NOT NULL",
        "feed": "VARCHAR NOT NULL",
        "fingerprint": "VARCHAR NOT NULL",
        "size_bytes": "BIGINT",
        "mtime_ns": "BIGINT",
        "cursor_value": "VARCHAR",
        "status": "VARCHAR NOT NULL",
        "note": "VARCHAR NOT NULL",
        "rows_in": "BIGINT NOT NULL",
        "rows_quarantined": "BIGINT NOT NULL",
        "max_known_at": "TIMESTAMP",
        "batch_id": "BIGINT NOT NULL",
        "ingested_at": "TIMESTAMP NOT NULL",
    },
    # One row per content of a person's own table file; the newest is what the copy holds.
    "own_table": {
        "relation": "VARCHAR NOT NULL",
        "file": "VARCHAR NOT NULL",
        "sha256": "VARCHAR NOT NULL",
        "rows_in": "BIGINT NOT NULL",
        "copied_at": "TIMESTAMP NOT NULL",
    },
    # Production days that a batch touched; curation rebuilds just those.
    "affected_day": {
        "feed": "VARCHAR NOT NULL",
        "production_day": "DATE NOT NULL",
        "batch_id": "BIGINT NOT NULL",
    },
    "quarantine": {
        "quarantine_id": "BIGINT NOT NULL",
        "feed": "VARCHAR NOT NULL",
        "source": "VARCHAR NOT NULL",
        "position": "BIGINT",
        "reason": "VARCHAR NOT NULL",
        "raw_text": "VARCHAR",
        "raw_format": "VARCHAR NOT NULL",
        "raw_header": "VARCHAR",
        "batch_id": "BIGINT NOT NULL",
        "quarantined_at": "TIMESTAMP NOT NULL",
        "status": "VARCHAR NOT NULL",
    },
}


def _existing(con: DuckDBPyConnection) -> dict[str, set[str]]:
    """Columns by `schema.table` of the attached lake."""
    rows = con.execute(
        "SELECT schema_name || '.' || table_name, list(column_name) FROM duckdb_columns() "
        "WHERE database_name = 'lake' GROUP BY ALL"
    ).fetchall()
    return {str(table): set(columns) for table, columns in rows}


def _table_statements(relation: str, columns: Mapping[str, str], existing: dict[str, set[str]]) -> Iterable[str]:
    """CREATE TABLE, or ADD COLUMN for what has grown; nothing when all is there."""
    quoted = quote_relation(f"lake.{relation}")
    if relation not in existing:
        body = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in columns.items())
        yield f"CREATE TABLE {quoted} ({body})"
        return
    for name, kind in columns.items():
        if name not in existing[relation]:
            yield f"ALTER TABLE {quoted} ADD COLUMN {quote_identifier(name)} {kind.removesuffix(' NOT NULL')}"


def _raw_statements(site: Site, existing: dict[str, set[str]]) -> Iterable[str]:
    for name, feed in site.feeds.items():
        relation = f"raw.{name}"
        yield from _table_statements(relation, raw_schema(site, feed) | BOOKKEEPING, existing)
        # Small tables would be torn into one tiny file per day. Batch and source are keys as well so that a file can
        # join the lake whole, its folders naming all three.
        if relation not in existing and feed.is_partitioned:
            keys = "production_day, _batch_id, _source"
            yield f"ALTER TABLE {quote_relation(f'lake.{relation}')} SET PARTITIONED BY ({keys})"


def bootstrap_statements(con: DuckDBPyConnection, site: Site) -> list[str]:
    """What is missing from the lake for this site, as DDL; empty when it is complete.

    Args:
        con: a connection to the lake.
        site: the site whose feeds need raw tables.
    """
    existing = _existing(con)
    schemas = {
        str(name)
        for (name,) in con.execute("SELECT schema_name FROM duckdb_schemas() WHERE database_name = 'lake'").fetchall()
    }
    statements = [f"CREATE SCHEMA lake.{quote_identifier(name)}" for name in SCHEMAS if name not in schemas]
    for table, columns in OPS_TABLES.items():
        statements += _table_statements(f"ops.{table}", columns, existing)
    statements += _raw_statements(site, existing)
    return statements


def ensure_schemas(con: DuckDBPyConnection, site: Site) -> None:
    """Create what is missing, in one transaction; no snapshot when nothing is.

    Args:
        con: a writing connection outside a transaction.
        site: the site whose feeds need raw tables.
    """
    statements = bootstrap_statements(con, site)
    if not statements:
        return
    with transaction(con):
        for statement in statements:
            con.execute(statement)
        con.execute(f"CALL ducklake_set_commit_message('lake', 'cellworks', {quote_literal('bootstrap')})")


def bootstrap(home: Home, site: Site) -> None:
    """Create the lake of a site, or add the tables and columns that its control plan has gained.

    Args:
        home: the instance.
        site: the site.

    Raises:
        CellworksError: another writer holds the lake.
    """
    stores = home.stores
    if stores.lake_url is not None:
        from pipelines.lake.servers import ensure_stores

        ensure_stores(stores)

    def work() -> None:
        with writer(home, why="bootstrap") as con:
            ensure_schemas(con, site)

    retrying(work)
