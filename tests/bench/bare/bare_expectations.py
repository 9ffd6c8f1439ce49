"""One aggregate query per table of a million rows: `bare_expectations.py LAKE THREADS MEMORY [REPEATS]`.

What whoever knows the plan by heart would write by hand over the same expectations of raw.historian__telemetry (14)
and staging.stg_historian__telemetry (9); prints seconds of each warm repeat of both, and whether all of them held.
"""

import importlib.util
import json
import sys
import time

import duckdb

lake, threads, memory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
repeats = int(sys.argv[4]) if len(sys.argv) > 4 else 1
RAW = """
    SELECT count(*) >= 1, count(*) = count(production_day), count(*) = count(control_point_no),
        count(*) = count(event_at), count(*) = count(known_at), bool_and(event_at <= known_at + INTERVAL 300 SECOND),
        date_diff('second', max(known_at), (SELECT max(max_known_at) FROM lake.ops.ingest_offset)) / 3600.0 <= 48,
        (SELECT coalesce(count_if(status = 'open') < 10 OR count_if(status = 'open') <= 0.02 *
            (count(*) + any_value(n)), true)
            FROM lake.ops.quarantine JOIN (SELECT batch_id, sum(rows_in) AS n FROM lake.ops.ingest_offset
                WHERE feed = 'historian__telemetry' AND status <> 'replayed' GROUP BY 1 ORDER BY 1 DESC LIMIT 1)
            USING (batch_id) WHERE feed = 'historian__telemetry'),
        (SELECT count(*) = 5 FROM duckdb_columns() WHERE database_name = 'lake' AND schema_name = 'raw'
            AND table_name = 'historian__telemetry' AND (column_name, data_type) IN (('control_point_no', 'INTEGER'),
            ('value', 'FLOAT'), ('event_at', 'TIMESTAMP'), ('known_at', 'TIMESTAMP'), ('production_day', 'DATE')))
    FROM lake.raw.historian__telemetry"""
STAGING = """
    SELECT sum(nulls) = 0, bool_and(newest <= (SELECT max(max_known_at) FROM lake.ops.ingest_offset)),
        bool_and(control_point_id IS NOT NULL), bool_and(low >= physical_min AND high <= physical_max),
        bool_and(n < 30 OR unit = '1' OR starts_with(unit, 'count') OR CASE
            WHEN least(lsl, nominal, usl) > 0
            THEN mean <= greatest(lsl, nominal, usl) * 3 AND (lsl IS NULL OR mean >= lsl / 3)
            WHEN greatest(lsl, nominal, usl) < 0
            THEN mean >= least(lsl, nominal, usl) * 3 AND (usl IS NULL OR mean <= usl / 3) ELSE true END),
        bool_and(n < 30 OR low < high OR resolution = 0 OR gauge_sd < resolution OR starts_with(unit, 'count')),
        bool_and(repeats = 0)
    FROM (
        SELECT control_point_no, count(value) AS n, min(value) AS low, max(value) AS high, avg(value) AS mean,
            3 * count(*) - count(control_point_no) - count(event_at) - count(known_at) AS nulls,
            max(known_at) AS newest,
            count(*) FILTER (is_new) - count(DISTINCT event_at) FILTER (is_new) AS repeats
        FROM (SELECT *, production_day = (SELECT max(production_day) FROM lake.staging.stg_historian__telemetry)
            AS is_new FROM lake.staging.stg_historian__telemetry)
        GROUP BY control_point_no, time_bucket(INTERVAL 6 HOUR, event_at)
    ) LEFT JOIN lake.ops.control_point USING (control_point_no)"""
con = duckdb.connect(config={"threads": threads, "memory_limit": memory})
for name in ("ducklake", "sqlite_scanner"):
    folder = importlib.util.find_spec(f"duckdb_extension_{name}").submodule_search_locations[0]
    con.execute(f"LOAD '{folder}/extensions/v{duckdb.__version__}/{name}.duckdb_extension'")
source = f"ducklake:sqlite:{lake}/catalogue.sqlite"
con.execute(f"ATTACH '{source}' AS lake (DATA_PATH '{lake}/data/', OVERRIDE_DATA_PATH true, READ_ONLY)")
rows = con.execute("SELECT count(*) FROM lake.raw.historian__telemetry").fetchone()[0]
seconds, held = [], True
for _ in range(repeats + 1):
    begun = time.perf_counter()
    held = all(con.execute(RAW).fetchone() + con.execute(STAGING).fetchone()) and held
    seconds.append(time.perf_counter() - begun)
print(json.dumps({"rows": rows, "seconds": seconds[1:], "held": held}))
