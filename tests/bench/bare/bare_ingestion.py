"""DuckDB alone copies delivered files into a new DuckLake, as whoever knows the columns and their types would.

`bare_ingestion.py DROP SCHEMAS.json LAKE THREADS MEMORY ENDING...` prints rows and seconds. DROP/<feed>/* are files;
SCHEMAS.json names each feed's columns and types; ENDING is .csv, .csv.gz, .jsonl, .parquet, or a SQLite file whose
tables are feeds too. The clock starts when the empty lake is attached, since ours starts with a lake that is there.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

import duckdb

drop, schemas, lake = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
threads, memory, endings = int(sys.argv[4]), sys.argv[5], sys.argv[6:]
lake.mkdir(parents=True)


def reader(files: list[str], types: dict[str, str]) -> str:
    columns = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in types.items()) + "}"
    if files[0].endswith(".parquet"):
        return f"read_parquet({files})"
    if files[0].endswith(".jsonl"):
        return f"read_json({files}, format = 'newline_delimited', columns = {columns})"
    # Nothing is guessed: sniffing each of many small files takes longer than reading them.
    return f"read_csv({files}, auto_detect = false, header = true, columns = {columns})"


con = duckdb.connect(config={"threads": threads, "memory_limit": memory})
for name in ("ducklake", "sqlite_scanner"):
    folder = importlib.util.find_spec(f"duckdb_extension_{name}").submodule_search_locations[0]
    con.execute(f"LOAD '{folder}/extensions/v{duckdb.__version__}/{name}.duckdb_extension'")
con.execute(f"ATTACH 'ducklake:sqlite:{lake}/catalogue.sqlite' AS lake (DATA_PATH '{lake}/data/')")
con.execute("CREATE SCHEMA lake.raw")
begun, rows = time.perf_counter(), 0
con.execute("BEGIN")
for folder in sorted(drop.iterdir()):
    files = [str(file) for file in sorted(folder.iterdir()) if "." + file.name.split(".", 1)[1] in endings]
    if files:
        source = reader(files, schemas[folder.name])
        rows += con.execute(f"CREATE TABLE lake.raw.{folder.name} AS SELECT * FROM {source}").fetchone()[0]
for database in (each for each in endings if not each.startswith(".")):
    con.execute(f"ATTACH '{database}' AS other (TYPE sqlite)")
    names = [
        name
        for (name,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'other'").fetchall()
    ]
    for name in (each for each in names if each in schemas):
        columns = ", ".join(f'CAST("{column}" AS {kind}) AS "{column}"' for column, kind in schemas[name].items())
        rows += con.execute(f"CREATE TABLE lake.raw.{name} AS SELECT {columns} FROM other.{name}").fetchone()[0]
con.execute("COMMIT")
con.close()
print(json.dumps({"rows": rows, "seconds": time.perf_counter() - begun}))
