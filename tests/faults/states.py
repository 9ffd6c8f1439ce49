"""What an instance holds that a fault may neither lose nor double; looked at from a process that saw no other copy."""

from __future__ import annotations

from typing import Any

from duckdb import DuckDBPyConnection

from models.registry.audit import open_moves
from models.registry.client import open_home
from models.registry.versions import aliases, champion
from models.spec import PredictiveSpec
from pipelines.access.ledger import verify
from pipelines.actions.propose import REST_TARGET
from pipelines.lake.connection import reader
from pipelines.lake.hashing import table_hash
from pipelines.lake.home import Home
from pipelines.lake.sql import columns_sql


def curated(home: Home) -> dict[str, Any]:
    """Every curated table, the numbers of builds and the wall clocks aside: hash, rows, and how many differ."""
    with reader(home) as con:
        names = con.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'lake' "
            "AND schema_name IN ('raw', 'staging', 'intermediate', 'marts') ORDER BY ALL"
        ).fetchall()
        tables = {f"{schema}.{name}" for schema, name in names}
        state = {name: _table(con, name) for name in sorted(tables)}
        batches = con.execute("SELECT count(*) FROM lake.ops.ingest_offset").fetchall()[0][0]
    assert any(name.startswith("marts.") for name in state)
    return {"tables": state, "batches": batches}


def _table(con: DuckDBPyConnection, table: str) -> list[Any]:
    numbers = _numbers(con, table)
    left_out = f" EXCLUDE ({columns_sql(numbers)})" if numbers else ""
    rows, differing = con.execute(
        f"SELECT count(*), count(DISTINCT hash(t)) FROM (SELECT *{left_out} FROM {table}) t"
    ).fetchall()[0]
    return [table_hash(con, table, exclude=numbers), rows, differing]


def _numbers(con: DuckDBPyConnection, table: str) -> list[str]:
    columns = {row[0] for row in con.execute(f"DESCRIBE {table}").fetchall()}
    return sorted(columns & {"_build_no", "build_no", "built_at"})


def counts(home: Home, spec: PredictiveSpec, lots: int) -> dict[str, int]:
    """Versions, answers and actions of a solution that answers for so many lots, each once for each version.

    Lost are lots without an answer of the champion; doubled are answers and actions beyond the first to a lot.
    """
    client = open_home(home)
    assert open_moves(home) == []
    reigning = champion(home, spec.slug)
    versions = client.search_model_versions(f"name = '{spec.name}'")
    assert reigning is not None
    assert reigning.alarm is None
    assert aliases(client, spec.name)["champion"] == reigning.version.number
    with reader(home) as con:
        answers = con.execute(
            f"SELECT model_version, count(*), count(DISTINCT lot_id) FROM solutions.{spec.slug} GROUP BY 1"
        )
        told = {str(version): (rows, once) for version, rows, once in answers.fetchall()}
        actions, own, targets = con.execute(
            "SELECT count(*), count(*) FILTER (target_id <> ?), count(DISTINCT target_id) FILTER (target_id <> ?) "
            "FROM lake.ops.action",
            [REST_TARGET, REST_TARGET],
        ).fetchall()[0]
    _, answered = told.get(reigning.version.number, (0, 0))
    return {
        "versions": len(versions),
        "scored_versions": len(told),
        "actions": actions,
        "lost": lots - answered,
        "doubled": sum(rows - once for rows, once in told.values()) + own - targets,
    }


def moved(home: Home, spec: PredictiveSpec) -> dict[str, Any]:
    """Where aliases point after moves that are told in an audit without a fault.

    Lost are intents without an end, and ends without an intent; doubled are further intents or ends of one move, and
    further moves that did what one had done.
    """
    client = open_home(home)
    _, fault = verify(home)
    assert fault is None, fault
    with reader(home) as con:
        lost, doubled = con.execute(
            """
            WITH phases AS (
                SELECT move_id, phase = 'intent' AS begins, count(*) AS times FROM lake.ops.alias_audit GROUP BY ALL),
            did AS (
                SELECT count(*) AS times FROM lake.ops.alias_audit WHERE phase = 'done'
                GROUP BY kind, model, to_version)
            SELECT
                (SELECT count(*) FROM (SELECT move_id FROM phases GROUP BY move_id HAVING count(*) < 2)),
                (SELECT coalesce(sum(times - 1), 0) FROM phases) + (SELECT coalesce(sum(times - 1), 0) FROM did)
            """
        ).fetchall()[0]
    return {
        "lost": int(lost),
        "doubled": int(doubled),
        "aliases": aliases(client, spec.name),
        "versions": len(client.search_model_versions(f"name = '{spec.name}'")),
    }
