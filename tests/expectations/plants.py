"""A small plant, its first nights, and defects in what it delivers next."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from expectations.report import Layer, SuiteReport
from expectations.run import run_suites
from pipelines.control_plan.feeds import DOMAINS
from pipelines.control_plan.site import Site
from pipelines.curation import instance
from pipelines.curation.run import LAYER_DOMAINS, curate
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.twin.simulate import simulate

FIRST_DAYS, NEXT_DAYS = 2, 3
Change = Callable[[pa.Table], pa.Table]


def build(home: Home, site: Site) -> Home:
    """A plant whose first days were taken in, curated and checked; those after lie in the drop folder."""
    bootstrap(home.ensure(), site)
    simulate(site, home, days=FIRST_DAYS, seed=5, scale=0.05, telemetry_days=1)
    night(home, site)
    simulate(site, home, days=NEXT_DAYS, seed=5, scale=0.05, telemetry_days=1)
    return home


def night(home: Home, site: Site) -> list[SuiteReport]:
    """The data part of a night: take in, check, curate, check."""
    ingest(home, site)
    reports = [run_suites(home, site, layer="raw", domain=domain) for domain in DOMAINS]
    for layer, domains in LAYER_DOMAINS.items():
        for domain in domains:
            assert curate(home, site, layer=layer, domain=domain).is_passed
            reports.append(run_suites(home, site, layer=layer, domain=domain))
    return reports


def copied(home: Home, folder: Path) -> Home:
    """Another plant like it."""
    instance.close(home)
    shutil.copytree(home.root, folder)
    return Home(folder)


def everything(home: Home, site: Site) -> list[SuiteReport]:
    """Every suite of the lake as it is."""
    return [
        run_suites(home, site, layer=layer, domain=domain) for layer, domains in _LAYERS.items() for domain in domains
    ]


_LAYERS: Mapping[Layer, tuple[str, ...]] = {"raw": DOMAINS, **LAYER_DOMAINS}


def failures(reports: list[SuiteReport]) -> set[tuple[str, str]]:
    """Table and title of all that failed."""
    return {(f"{each.layer}.{each.table}", each.title) for report in reports for each in report.failed}


def deliveries(home: Home, feed: str) -> list[Path]:
    """Files of a feed that were not taken in yet, oldest first."""
    return sorted((home.drop_dir / feed).iterdir())[-NEXT_DAYS:]


def tamper(path: Path, change: Change) -> None:
    """Change a delivered file as whoever wrote it might have."""
    if path.suffix == ".parquet":
        pq.write_table(change(pq.read_table(path)), path)
    elif path.name.endswith(".jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        changed = change(pa.Table.from_pylist(rows)).to_pylist()
        path.write_text("".join(json.dumps(row) + "\n" for row in changed))
    else:
        is_packed = path.suffix == ".gz"
        content = gzip.decompress(path.read_bytes()) if is_packed else path.read_bytes()
        names = [name.strip('"') for name in content.splitlines()[0].decode().split(",")]
        text = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
        out = pa.BufferOutputStream()
        pa_csv.write_csv(change(pa_csv.read_csv(pa.BufferReader(content), convert_options=text)), out)
        path.write_bytes(gzip.compress(out.getvalue().to_pybytes()) if is_packed else out.getvalue().to_pybytes())


def put(column: str, value: Callable[[int, Any], Any]) -> Change:
    """A change of one column, from row number and old value to the new one."""

    def change(table: pa.Table) -> pa.Table:
        index = table.column_names.index(column)
        values = [value(number, old) for number, old in enumerate(table.column(column).to_pylist())]
        return table.set_column(index, column, pa.array(values, table.schema.field(column).type))

    return change


def without(keep: Callable[[dict[str, Any]], bool]) -> Change:
    """A change that leaves rows out."""
    return lambda table: table.filter(pa.array([keep(row) for row in table.to_pylist()]))


def erp(home: Home, sql: str) -> None:
    """Change the ERP database."""
    con = sqlite3.connect(home.erp_file)
    with con:
        con.execute(sql)
    con.close()
