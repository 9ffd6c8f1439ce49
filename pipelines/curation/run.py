"""Curation of one layer of one domain: staging from raw, or intermediate and marts from staging."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.feeds import DOMAINS
from pipelines.control_plan.site import Site
from pipelines.curation import instance, tables
from pipelines.curation.instance import connection
from pipelines.curation.invoke import call, is_parsed, manifest
from pipelines.curation.project import Project, prepare
from pipelines.curation.report import CurateReport, Layer, ModelResult, TestResult
from pipelines.lake.connection import retrying, transaction
from pipelines.lake.home import Home
from pipelines.lake.lock import require_held, writer_lock
from pipelines.lake.progress import Progress, silent

FOLDERS: dict[Layer, tuple[str, ...]] = {"staging": ("staging",), "marts": ("intermediate", "marts")}
LAYER_DOMAINS: dict[Layer, tuple[str, ...]] = {"staging": DOMAINS, "marts": (*DOMAINS, "kpi")}


def curate(
    home: Home, site: Site, *, layer: Layer, domain: str, full: bool = False, progress: Progress | None = None
) -> CurateReport:
    """Build what new records touch in one layer of one domain, and test it.

    Marts read staging of their own domain and of those before it; so the order is all of staging, then the marts
    in the order of `LAYER_DOMAINS`. Where nothing is new, dbt is not called.

    A server that restarts is waited for, and what dbt had not committed is built anew: a commit is refused once the
    lock is lost.

    Args:
        home: the instance; its lake must have been bootstrapped.
        site: the site.
        layer: staging, or marts (with what lies between).
        domain: one of `LAYER_DOMAINS[layer]`.
        full: build all days again, whatever is new.
        progress: called with the model or test at work, how many are done and how many there are.

    Returns:
        What was built and tested; a failed model or test is a report with status `failed`, no exception.

    Raises:
        CellworksError: no such layer or domain, another writer holds the lake, dbt could not run, or a server stays
            away.
    """
    _check(layer, domain)
    return retrying(lambda: _attempt(home, site, layer, domain, full=full, progress=progress or silent))


def _attempt(home: Home, site: Site, layer: Layer, domain: str, *, full: bool, progress: Progress) -> CurateReport:
    """One call of dbt; models that it committed before a server went away are not built again by the next attempt."""
    with writer_lock(home, f"curate {layer} {domain}"):
        try:
            return _build(home, site, layer, domain, full=full, progress=progress)
        except (duckdb.Error, CellworksError):
            instance.close(home)  # whatever comes next attaches the lake anew
            require_held()  # what failed because a server was away is told as that
            raise


def _build(home: Home, site: Site, layer: Layer, domain: str, *, full: bool, progress: Progress) -> CurateReport:
    """What `curate` does, once the lock is held."""
    start = time.perf_counter()
    project = prepare(home, site)
    con = connection(home)
    tables.ensure(con, site)
    if not full and tables.is_unchanged(con, layer, domain, project.hash):
        return CurateReport(layer, domain, "unchanged", seconds=time.perf_counter() - start)
    parsed = manifest(home, project)
    inputs = _inputs(parsed, _selected(parsed, layer, domain), layer)
    arguments = [
        *_build_arguments(layer, domain, full=full),
        "--vars",
        json.dumps({"last_builds": tables.last_builds(con)}),
    ]
    result = call(home, project, arguments, manifest=parsed, progress=progress)
    with transaction(con):
        built, tests = _results(con, result.result)
        is_passed = bool(result.success)
        tables.record(con, layer, domain, project.hash, is_passed=is_passed, inputs=inputs)
    return CurateReport(layer, domain, "built" if is_passed else "failed", built, tests, time.perf_counter() - start)


def _check(layer: Layer, domain: str) -> None:
    if layer not in FOLDERS:
        raise CellworksError("there is no such layer", expected="staging or marts", found=layer)
    if domain not in LAYER_DOMAINS[layer]:
        raise CellworksError(
            f"there is no such domain in {layer}", expected=", ".join(LAYER_DOMAINS[layer]), found=domain
        )


def _build_arguments(layer: Layer, domain: str, *, full: bool) -> list[str]:
    # Views of other domains on the way to this one's tables are made here too: no domain waits for another's run.
    reach = {"intermediate": "+"}
    selected = [f"{reach.get(folder, '')}tag:domain:{domain},path:models/{folder}" for folder in FOLDERS[layer]]
    arguments = ["build", "--select", *selected, "--indirect-selection", "buildable", "--no-write-json"]
    arguments.append("--no-populate-cache")
    return [*arguments, "--full-refresh"] if full else arguments


def _selected(parsed: Any, layer: Layer, domain: str) -> dict[str, Any]:
    """Models of a layer of a domain by their dbt id."""
    return {
        unique_id: node
        for unique_id, node in parsed.nodes.items()
        if node.resource_type == "model" and node.fqn[1] in FOLDERS[layer] and f"domain:{domain}" in node.tags
    }


def _inputs(parsed: Any, models: dict[str, Any], layer: Layer) -> list[str]:
    """Feeds (staging) or tables of other layers and domains (marts) that the models read, views looked through."""
    found: set[str] = set()
    todo, seen = list(models), set(models)
    while todo:
        for parent_id in parsed.nodes[todo.pop()].depends_on.nodes:
            if parent_id in parsed.sources:
                if layer == "staging":
                    found.add(parsed.sources[parent_id].name)
                continue
            if parent_id not in models:
                found.add(parsed.nodes[parent_id].name)
            if parent_id not in seen and parsed.nodes[parent_id].fqn[1] == "intermediate":
                todo.append(parent_id)
            seen.add(parent_id)
    return sorted(found)


def _results(con: Any, results: Iterable[Any]) -> tuple[tuple[ModelResult, ...], tuple[TestResult, ...]]:
    models, tests = [], []
    done = list(results)
    counts = _counts(con, [_relation(each.node) for each in done if _is_table(each)])
    for result in done:
        node, status = result.node, str(result.status)
        message = "" if status in ("success", "pass") else str(result.message or "")
        if node.resource_type == "test":
            about = node.attached_node.split(".")[-1] if node.attached_node else ""
            failures = int(result.failures or 0)
            tests.append(TestResult(node.name, about, status, failures, result.execution_time, message))
        else:
            relation = _relation(node)
            rows = counts.get(relation)
            models.append(ModelResult(node.name, relation, rows, result.execution_time, status, message))
    return tuple(models), tuple(tests)


def _relation(node: Any) -> str:
    return f"{node.schema}.{node.alias}"


def _is_table(result: Any) -> bool:
    node = result.node
    is_built = node.resource_type == "model" and str(result.status) == "success"
    return is_built and node.config.materialized != "lake_view"


def _counts(con: Any, relations: list[str]) -> dict[str, int]:
    """Rows of tables, from the catalogue: to count them one by one takes a second a night."""
    rows = con.execute(
        "WITH deleted AS (SELECT data_file_id, sum(delete_count) AS row_count "
        "FROM __ducklake_metadata_lake.ducklake_delete_file WHERE end_snapshot IS NULL GROUP BY ALL) "
        "SELECT s.schema_name || '.' || t.table_name, coalesce(sum(f.record_count), 0) - coalesce(sum(d.row_count), 0) "
        "FROM __ducklake_metadata_lake.ducklake_table t "
        "JOIN __ducklake_metadata_lake.ducklake_schema s USING (schema_id) "
        "LEFT JOIN __ducklake_metadata_lake.ducklake_data_file f "
        "ON f.table_id = t.table_id AND f.end_snapshot IS NULL "
        "LEFT JOIN deleted d USING (data_file_id) "
        "WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL GROUP BY ALL"
    ).fetchall()
    return {str(relation): int(count) for relation, count in rows if relation in relations}


def parse(home: Home, site: Site) -> Path:
    """Parse the project of a site.

    Returns:
        Path of manifest.json, which names every model, its columns and what it reads.

    Raises:
        CellworksError: the project has an error.
    """
    home.ensure()
    project = prepare(home, site)
    path = home.dbt_dir / "target" / "manifest.json"
    if not (path.is_file() and is_parsed(home, project)):
        manifest(home, project)
    return path


def docs(home: Home, site: Site) -> Path:
    """Generate the documentation of the curated tables; one page that loads nothing from elsewhere.

    Returns:
        Path of the page.

    Raises:
        CellworksError: the project has an error.
    """
    with writer_lock(home, "dbt docs"):
        project = prepare(home, site)
        tables.ensure(connection(home), site)
        arguments = ["docs", "generate", "--static", "--no-compile"]
        call(home, project, arguments, manifest=manifest(home, project))
    return _page(home, project)


def _page(home: Home, project: Project) -> Path:
    path = home.dbt_dir / "target" / "static_index.html"
    if not path.is_file():
        raise CellworksError("dbt wrote no documentation", expected=str(path), where=str(project.folder))
    return path
