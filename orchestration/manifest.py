"""Tables of the curated layers, read from dbt's manifest as plain JSON.

Importing dbt would cost more than the whole rest of loading the
definitions; the manifest holds all that the asset graph needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestration.environment import project_root
from orchestration.plant import Plant

Layer = Literal["staging", "marts"]
Address = tuple[str, str]
"""Layer and name of a table: `('raw', 'mes__stacking')`, `('marts', 'cell')`."""


@dataclass(frozen=True)
class Table:
    """A curated table.

    Attributes:
        layer: staging or marts.
        name: table name within its schema.
        domain: data domain, or `kpi`.
        description: what one row means.
        columns: description (with unit) of each column.
        upstream: tables it is built from; intermediate models are looked through.
    """

    layer: Layer
    name: str
    domain: str
    description: str
    columns: Mapping[str, str]
    upstream: frozenset[Address]


def curated_tables(plant: Plant) -> list[Table]:
    """Return every staging and marts table; parses the dbt project first when its manifest is missing or old."""
    path = plant.home.dbt_dir / "target" / "manifest.json"
    if not path.is_file() or path.stat().st_mtime < _newest_source(project_root() / "dbt"):
        from pipelines.curation.run import parse

        path = parse(plant.home, plant.site)
    return read_tables(json.loads(path.read_text(encoding="utf-8")))


def read_tables(manifest: Mapping[str, Any]) -> list[Table]:
    """Return the staging and marts tables of a manifest, sorted by layer and name."""
    nodes: Mapping[str, Mapping[str, Any]] = {**manifest["nodes"], **manifest["sources"]}
    tables = [
        Table(
            layer=layer,
            name=node["name"],
            domain=_domain(node),
            description=node.get("description", ""),
            columns={name: column.get("description", "") for name, column in node["columns"].items()},
            upstream=frozenset(_upstream(node_id, nodes)),
        )
        for node_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and (layer := _layer(node)) is not None
    ]
    return sorted(tables, key=lambda table: (table.layer, table.name))


def _newest_source(folder: Path) -> float:
    files = [file for suffix in ("*.sql", "*.yml", "*.yaml") for file in folder.rglob(suffix)]
    return max((file.stat().st_mtime for file in files), default=0.0)


def _layer(node: Mapping[str, Any]) -> Layer | None:
    folder = node["fqn"][1] if len(node["fqn"]) > 1 else ""
    return "staging" if folder == "staging" else "marts" if folder == "marts" else None


def _domain(node: Mapping[str, Any]) -> str:
    return next(str(tag).removeprefix("domain:") for tag in node["tags"] if str(tag).startswith("domain:"))


def _upstream(node_id: str, nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[Address]:
    for parent_id in nodes[node_id]["depends_on"]["nodes"]:
        parent = nodes[parent_id]
        if parent["resource_type"] == "source":
            yield "raw", parent["name"]
        elif (layer := _layer(parent)) is not None:
            yield layer, parent["name"]
        elif parent["resource_type"] == "model":
            yield from _upstream(parent_id, nodes)
