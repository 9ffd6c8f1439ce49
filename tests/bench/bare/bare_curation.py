"""The SQL that dbt compiled, run by DuckDB alone: `bare_curation.py MANIFEST.json LAKE THREADS MEMORY` prints seconds.

Every model in the order of what it reads, as a table, or as a view where the project says so; no tests, no contracts.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

import duckdb

manifest, lake = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]
root = Path(sys.argv[1]).parents[1]
threads, memory = int(sys.argv[3]), sys.argv[4]
models = {key: node for key, node in manifest["nodes"].items() if node["resource_type"] == "model"}
ordered: list[str] = []


def add(key: str) -> None:
    if key in models and key not in ordered:
        for parent in models[key]["depends_on"]["nodes"]:
            add(parent)
        ordered.append(key)


for key in models:
    add(key)
begun = time.perf_counter()
con = duckdb.connect(config={"threads": threads, "memory_limit": memory})
for name in ("ducklake", "sqlite_scanner"):
    folder = importlib.util.find_spec(f"duckdb_extension_{name}").submodule_search_locations[0]
    con.execute(f"LOAD '{folder}/extensions/v{duckdb.__version__}/{name}.duckdb_extension'")
con.execute("SET TimeZone = 'UTC'")
con.execute(
    f"ATTACH 'ducklake:sqlite:{lake}/catalogue.sqlite' AS lake (DATA_PATH '{lake}/data/', OVERRIDE_DATA_PATH true)"
)
for schema in sorted({models[key]["schema"] for key in ordered}):
    con.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{schema}")
for node in (models[key] for key in ordered):
    kind = "VIEW" if node["config"]["materialized"] == "lake_view" else "TABLE"
    sql = (Path(node["compiled_path"]) if node.get("compiled_path") else root).read_text()
    con.execute(f"CREATE OR REPLACE {kind} lake.{node['schema']}.{node['alias']} AS {sql}")
con.close()
print(json.dumps({"models": len(ordered), "seconds": time.perf_counter() - begun}))
