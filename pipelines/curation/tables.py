"""Tables of curation in the lake's `ops`: what was built when, and what dbt reads beside the raw feeds."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from pipelines.control_plan.numbers import refuse_other_number
from pipelines.control_plan.site import Site
from pipelines.lake.connection import transaction
from pipelines.lake.sql import quote_identifier

MANY_NOTES = 20_000
TABLES: dict[str, dict[str, str]] = {
    # One row per build of a model, and what it had seen; the newest counts.
    "model_build": {
        "model": "VARCHAR NOT NULL",
        "build_no": "BIGINT NOT NULL",
        "up_to_batch_id": "BIGINT NOT NULL",
        "fingerprint": "VARCHAR NOT NULL",
    },
    # Which production days a build wrote.
    "model_day": {"model": "VARCHAR NOT NULL", "production_day": "DATE NOT NULL", "build_no": "BIGINT NOT NULL"},
    # One row per layer and domain: what its newest run had seen, and whether all tests passed.
    "curation": {
        "layer": "VARCHAR NOT NULL",
        "domain": "VARCHAR NOT NULL",
        "project_hash": "VARCHAR NOT NULL",
        "is_passed": "BOOLEAN NOT NULL",
        "build_no": "BIGINT NOT NULL",
        "up_to_batch_id": "BIGINT NOT NULL",
        "inputs": "VARCHAR[]",
    },
    # The plan's control points, which telemetry refers to by number; the hash is that of these points.
    "control_point_plan": {"plan_hash": "VARCHAR NOT NULL"},
}


def ensure(con: DuckDBPyConnection, site: Site) -> None:
    """Create the tables that are missing and bring the control points up to the plan; no snapshot when all is there.

    Args:
        con: a writing connection outside a transaction.
        site: the site whose control points telemetry refers to.

    Raises:
        CellworksError: a control point has another number than the lake knows it by.
    """
    there = _tables_of_ops(con)
    missing = {name: columns for name, columns in TABLES.items() if name not in there}
    has_points = "control_point" in there
    is_current = has_points and "control_point_plan" not in missing and _points_hash(con) == site.plan.points_hash
    if not missing and is_current:
        return
    if has_points:
        refuse_other_number(_numbers(con), [(point.id, point.no) for point in site.plan.points])
    with transaction(con):
        con.execute("CREATE SCHEMA IF NOT EXISTS lake.ops")
        for name, columns in missing.items():
            body = ", ".join(f"{quote_identifier(column)} {kind}" for column, kind in columns.items())
            con.execute(f"CREATE TABLE lake.ops.{quote_identifier(name)} ({body})")
        if not is_current:
            _write_control_points(con, site)


def _tables_of_ops(con: DuckDBPyConnection) -> set[str]:
    """Names of the tables there are; the catalogue is asked itself, since duckdb_tables() reads all statistics."""
    rows = con.execute(
        "SELECT t.table_name FROM __ducklake_metadata_lake.ducklake_table t "
        "JOIN __ducklake_metadata_lake.ducklake_schema s USING (schema_id) "
        "WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL AND s.schema_name = 'ops'"
    ).fetchall()
    return {str(name) for (name,) in rows}


def _points_hash(con: DuckDBPyConnection) -> str | None:
    row = con.execute("SELECT max(plan_hash) FROM lake.ops.control_point_plan").fetchone()
    return row[0] if row else None


def _numbers(con: DuckDBPyConnection) -> dict[str, int]:
    """Numbers by which the lake knows the control points, by their id."""
    return dict(con.execute("SELECT control_point_id, control_point_no FROM lake.ops.control_point").fetchall())


def _write_control_points(con: DuckDBPyConnection, site: Site) -> None:
    points = site.plan.control_points()
    con.register("control_points_of_plan", points)
    try:
        con.execute("CREATE OR REPLACE TABLE lake.ops.control_point AS SELECT * FROM control_points_of_plan")
        con.execute("DELETE FROM lake.ops.control_point_plan")
        con.execute("INSERT INTO lake.ops.control_point_plan VALUES (?)", [site.plan.points_hash])
    finally:
        con.unregister("control_points_of_plan")


def is_unchanged(con: DuckDBPyConnection, layer: str, domain: str, project_hash: str) -> bool:
    """Whether nothing has come since the layer's last passed run that any of its models would read."""
    newer = (
        "SELECT 1 FROM lake.ops.affected_day WHERE list_contains(c.inputs, feed) AND batch_id > c.up_to_batch_id"
        if layer == "staging"
        else "SELECT 1 FROM lake.ops.model_day WHERE list_contains(c.inputs, model) AND build_no > c.build_no"
    )
    row = con.execute(
        "SELECT count(*) FROM lake.ops.curation c WHERE layer = ? AND domain = ? AND project_hash = ? AND is_passed "
        f"AND NOT EXISTS ({newer})",
        [layer, domain, project_hash],
    ).fetchone()
    return bool(row and row[0])


def last_builds(con: DuckDBPyConnection) -> dict[str, dict[str, str | int]]:
    """By model, what its newest build had seen."""
    rows = con.execute(
        "SELECT model, max_by(fingerprint, build_no), max(build_no), max_by(up_to_batch_id, build_no) "
        "FROM lake.ops.model_build GROUP BY model"
    ).fetchall()
    return {
        str(model): {"fingerprint": fingerprint, "build_no": build_no, "up_to_batch_id": batch_id}
        for model, fingerprint, build_no, batch_id in rows
    }


def _forget_old_builds(con: DuckDBPyConnection) -> None:
    """Drop the notes of builds that every model has seen the effects of, once there are many."""
    row = con.execute("SELECT count(*) FROM lake.ops.model_day").fetchone()
    if row is None or row[0] < MANY_NOTES:
        return
    oldest = "(SELECT min(newest) FROM (SELECT max(build_no) AS newest FROM lake.ops.model_build GROUP BY model))"
    con.execute(f"DELETE FROM lake.ops.model_day WHERE build_no < {oldest}")
    con.execute(
        "DELETE FROM lake.ops.model_build b WHERE build_no < "
        "(SELECT max(build_no) FROM lake.ops.model_build n WHERE n.model = b.model)"
    )


def record(
    con: DuckDBPyConnection, layer: str, domain: str, project_hash: str, *, is_passed: bool, inputs: list[str]
) -> None:
    """Write down that the layer of a domain was run on all there is now.

    Args:
        con: a writing connection, within a transaction.
        layer: staging or marts.
        domain: the domain.
        project_hash: version of project and plan that ran.
        is_passed: whether all models were built and all tests passed; if not, the next run calls dbt again.
        inputs: feeds (staging) or models (marts) that the layer reads.
    """
    con.execute("DELETE FROM lake.ops.curation WHERE layer = ? AND domain = ?", [layer, domain])
    con.execute(
        "INSERT INTO lake.ops.curation SELECT ?, ?, ?, ?, (SELECT coalesce(max(build_no), 0) FROM "
        "lake.ops.model_build), (SELECT coalesce(max(batch_id), 0) FROM lake.ops.affected_day), ?",
        [layer, domain, project_hash, is_passed, inputs],
    )
    _forget_old_builds(con)
