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


def curated(home: Home) -> dict[str, str]:
    """Every curated table, the numbers of builds and the wall clocks aside."""
    with reader(home) as con:
        names = con.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'lake' "
            "AND schema_name IN ('raw', 'staging', 'intermediate', 'marts') ORDER BY ALL"
        ).fetchall()
        tables = {f"{schema}.{name}" for schema, name in names}
        state = {name: table_hash(con, name, exclude=_numbers(con, name)) for name in sorted(tables)}
        state["batches"] = str(con.execute("SELECT count(*) FROM lake.ops.ingest_offset").fetchone())
    assert any(name.startswith("marts.") for name in state)
    return state


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
    """Where aliases point, and whether every move that was begun has one end, told in an audit without a fault."""
    client = open_home(home)
    assert open_moves(home) == []
    _, fault = verify(home)
    assert fault is None, fault
    with reader(home) as con:
        doubled = con.execute(
            "SELECT move_id, phase FROM lake.ops.alias_audit GROUP BY ALL HAVING count(*) > 1"
        ).fetchall()
        ends = con.execute(
            "SELECT count(*) FILTER (phase = 'intent') - count(*) FILTER (phase <> 'intent') FROM lake.ops.alias_audit"
        ).fetchone()
    assert (doubled, ends) == ([], (0,))
    return {
        "aliases": aliases(client, spec.name),
        "versions": len(client.search_model_versions(f"name = '{spec.name}'")),
    }
