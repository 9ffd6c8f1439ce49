"""Ingestion, curation and expectations beside bare DuckDB and bare dbt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from orchestration.bench import homes
from orchestration.bench.ground import Ground
from orchestration.bench.process import Ran, bare, bare_folder, limits, work
from orchestration.bench.rows import Row, Target, samples
from pipelines.lake.home import Home

_CSV = (".csv", ".csv.gz")
_ALL = (*_CSV, ".jsonl", ".parquet")
EXPECTATIONS_SCRIPT = "bare_expectations.py"
# Tables of a million rows and more, for which the script holds a query each.
LARGE_TABLES = ("historian__telemetry", "stg_historian__telemetry")
MEGABYTE = 1e6


def ingestion(ground: Ground) -> list[Row]:
    """Rows per second of Parquet and of CSV files into a new lake, ours and DuckDB's in turn."""
    drop = ground.delivered.drop_dir
    note = (
        "the same files into a new DuckLake, libraries imported before; "
        "ours also opens the lake, judges, counts and notes each row's source"
    )
    rows = []
    for name, folder, endings in (
        ("ingestion_parquet", drop, (".parquet",)),
        ("ingestion_csv", drop, _CSV),
        ("ingestion_csv_long", _long_csv(ground), _CSV),
    ):
        ours, alone = [], []
        for _ in range(ground.size.repeats):
            ground.tell(f"{name}: taking the files in")
            told = _ours(ground, folder, endings).told
            ours.append((told["rows"] + told["quarantined"]) / told["seconds"])
            ground.tell(f"{name}: DuckDB copies the files")
            told = _alone(ground, folder, endings).told
            alone.append(told["rows"] / told["seconds"])
        files = [file for file in folder.glob("*/*") if homes.ending(file) in endings]
        said = f"{len(files)} files of {sum(file.stat().st_size for file in files) / MEGABYTE:,.0f} MB; {note}"
        rows.append(Row(name, samples(ours), "rows/s", samples(alone), Target("ratio", ">=", 0.5), said))
    return rows


def _long_csv(ground: Ground) -> Path:
    """A drop folder with the first two files of telemetry as CSV: what a historian exports."""
    import duckdb

    drop = ground.folder / "long_csv"
    target = drop / LARGE_TABLES[0]
    if not target.is_dir():
        ground.tell("writing two days of telemetry as CSV")
        target.mkdir(parents=True)
        for file in sorted((ground.delivered.drop_dir / LARGE_TABLES[0]).glob("*.parquet"))[:2]:
            duckdb.read_parquet(str(file)).write_csv(str(target / f"{file.stem}.csv"))
    return drop


def _ours(ground: Ground, drop: Path, endings: Sequence[str]) -> Ran:
    """Take in a drop folder's files of some endings; the lake and the plant's database are there before."""
    home = homes.fresh(ground.folder / "ingesting")
    homes.take_database(home, ground.delivered.erp_file)
    work("ingest", ground.logs, home)
    homes.deliver(home, drop, endings)
    ran = work("ingest", ground.logs, home)
    shutil.rmtree(home.root)
    return ran


def _alone(ground: Ground, drop: Path, sources: Sequence[str]) -> Ran:
    types = ground.folder / "schemas.json"
    if not types.is_file():
        types.write_text(json.dumps(work("schemas", ground.logs, ground.delivered).told), encoding="utf-8")
    lake = ground.folder / "copied"
    ran = bare("bare_ingestion.py", ground.logs, drop, types, lake, *limits(), *sources)
    shutil.rmtree(lake)
    return ran


@cache
def bare_ingestion(ground: Ground) -> Ran:
    """DuckDB copies everything that was delivered, the plant's database too."""
    ground.tell("DuckDB copies everything that was delivered")
    return _alone(ground, ground.delivered.drop_dir, (*_ALL, str(ground.delivered.erp_file)))


def curation(ground: Ground) -> list[Row]:
    """A first night's curation beside one call of dbt on the same project, and beside the compiled SQL alone."""
    home = _ready_to_curate(ground, "curating")
    ground.tell("curation: ours")
    ours = work("curate", ground.logs, home).told["seconds"]
    with_dbt = bare_curation(ground).told["seconds"]
    home = _ready_to_curate(ground, "selecting")
    ground.tell("curation: the compiled SQL alone")
    manifest = _target(ground) / "manifest.json"
    sql_alone = bare("bare_curation.py", ground.logs, manifest, home.lake_dir, *limits()).told["seconds"]
    return [
        Row("curation", samples(ours), "s", samples(with_dbt), None, "bare: one `dbt build` of the same project"),
        Row(
            "curation_sql",
            samples(ours),
            "s",
            samples(sql_alone),
            None,
            "bare: the SQL that dbt compiled, run by DuckDB; no tests, no contracts, no notes of days",
        ),
    ]


def _ready_to_curate(ground: Ground, name: str) -> Home:
    home = homes.with_lake(ground.folder / name, ground.taken_in)
    work("prepare_curation", ground.logs, home)
    return home


def _target(ground: Ground) -> Path:
    return ground.folder / "dbt_target"


@cache
def bare_curation(ground: Ground) -> Ran:
    """One `dbt build` of everything on the first night's raw feeds."""
    home = _ready_to_curate(ground, "building")
    ground.tell("curation: dbt alone")
    return bare("bare_dbt.py", ground.logs, home.dbt_dir / "project", home.dbt_dir, _target(ground))


def expectations(ground: Ground) -> list[Row]:
    """Suites of the large tables, warm, beside one aggregate query per table; memory of all suites; start-up apart."""
    ground.tell("expectations: ours")
    ours = work("check", ground.logs, ground.curated, repeats=ground.size.repeats, tables=LARGE_TABLES)
    told = ours.told
    alone = bare_expectations(ground)
    size = "" if alone is None else f" on {alone.told['rows']:,} rows, raw and staged"
    count = f"{told['checks']} expectations{size}, {told['failed']} failed"
    return [
        Row(
            "expectations",
            samples(told["seconds"]),
            "s",
            None if alone is None else samples(alone.told["seconds"]),
            Target("ratio", "<=", 4.0),
            f"{count}; warm; bare: one aggregate query per table",
        ),
        Row(
            "expectations_memory",
            samples(ours.peak_bytes / MEGABYTE),
            "MB",
            None if alone is None else samples(alone.peak_bytes / MEGABYTE),
            Target("ours", "<=", 500.0),
            "peak of the whole process",
        ),
        Row("expectations_startup", samples(told["startup_seconds"]), "s", note="import and start, once a process"),
    ]


@cache
def bare_expectations(ground: Ground) -> Ran | None:
    """The aggregate queries; None while there is no such script."""
    if not (bare_folder() / EXPECTATIONS_SCRIPT).is_file():
        return None
    ground.tell("expectations: one query per table")
    return bare(EXPECTATIONS_SCRIPT, ground.logs, ground.curated.lake_dir, *limits())
