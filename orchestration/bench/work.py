"""Pieces of ours that are measured in a process of their own: `python -m orchestration.bench.work NAME '{...}'`.

Each prints one JSON object with what it measured itself; wall time and peak memory are the parent's to see.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from orchestration.environment import prepare_process
from orchestration.plant import plant
from pipelines.control_plan.errors import CellworksError

Told = dict[str, Any]


def ingest() -> Told:
    """Take in what is pending; a step of a night begins with its libraries imported, so the clock starts after them."""
    import pandas  # noqa: F401, ICN001 - pyarrow and DuckDB import it for the first list they are given

    from pipelines.ingest.run import ingest as take_in

    here = plant()
    begun = time.perf_counter()
    report = take_in(here.home, here.site)
    seconds = time.perf_counter() - begun
    return {"rows": report.rows_in, "quarantined": report.rows_quarantined, "seconds": seconds}


def schemas() -> Told:
    """Columns and types of each feed, for those who read the files without us."""
    from pipelines.control_plan.derive import raw_schema

    site = plant().site
    return {name: raw_schema(site, name) for name in site.feeds}


def prepare_curation() -> Told:
    """Write the dbt project and its tables in `ops`, so that dbt alone can run it."""
    from pipelines.curation import tables
    from pipelines.curation.instance import connection
    from pipelines.curation.project import prepare
    from pipelines.lake.lock import writer_lock

    here = plant()
    with writer_lock(here.home, "prepare curation"):
        project = prepare(here.home, here.site)
        tables.ensure(connection(here.home), here.site)
    return {"project": str(project.folder)}


def curate() -> Told:
    """Build and test all layers and domains, as a first night does."""
    from pipelines.curation.run import LAYER_DOMAINS
    from pipelines.curation.run import curate as build

    here = plant()
    begun = time.perf_counter()
    reports = [
        build(here.home, here.site, layer=layer, domain=domain)
        for layer, domains in LAYER_DOMAINS.items()
        for domain in domains
    ]
    seconds = time.perf_counter() - begun
    failed = [report for report in reports if report.status == "failed"]
    if failed:
        raise CellworksError("a part of curation failed", expected="all models and tests to pass", found=str(failed[0]))
    return {"calls": len(reports), "seconds": seconds}


def check(repeats: int, tables: Sequence[str]) -> Told:
    """Validate every suite on whole tables: once cold, which pays for the start, then warm as often as asked.

    The seconds told are those of `tables`; suites of whole tables are what a first night runs.
    """
    from expectations.report import LAYERS
    from expectations.run import run_suites
    from pipelines.curation.run import LAYER_DOMAINS

    here = plant()
    seconds, startup = [], 0.0
    for _ in range(1 + repeats):
        reports = [
            run_suites(here.home, here.site, layer=layer, domain=domain, full=True)
            for layer in LAYERS
            for domain in LAYER_DOMAINS["marts" if layer == "marts" else "staging"]
        ]
        large = [table for report in reports for table in report.tables if table.table in tables]
        seconds.append(sum(table.seconds for table in large))
        startup += sum(report.startup_seconds for report in reports)
    return {
        "startup_seconds": startup,
        "seconds": seconds[1:],
        "checks": sum(table.checks for table in large),
        "failed": sum(len(report.failed) for report in reports),
    }


def steps() -> Told:
    """Seconds of each step of the newest run, from Dagster's event log."""
    from dagster import DagsterInstance

    from orchestration.cli.plant_commands import prepare_instance

    prepare_instance(plant())
    with DagsterInstance.get() as instance:
        run = instance.get_runs(limit=1)[0]
        found = instance.get_run_step_stats(run.run_id)
    return {each.step_key: each.end_time - each.start_time for each in found if each.start_time and each.end_time}


def definitions() -> Told:
    """Load everything that Dagster serves; the parent takes the time of the whole process."""
    from orchestration.definitions import defs

    made = defs() if callable(defs) else defs
    return {"assets": len(list(made.resolve_all_asset_specs()))}


def train(**arguments: Any) -> Told:
    """See `work_models.train`."""
    from orchestration.bench.work_models import train as learn

    return learn(**arguments)


def trial_tables() -> Told:
    """See `work_models.trial_tables`."""
    from orchestration.bench.work_models import trial_tables as tables

    return tables()


def score(**arguments: Any) -> Told:
    """See `work_models.score`."""
    from orchestration.bench.work_models import score as predict

    return predict(**arguments)


def grown(piece: str, **arguments: Any) -> Told:
    """See `orchestration.scale.pieces`."""
    from orchestration.scale.pieces import PIECES

    return PIECES[piece](**arguments)


WORK: dict[str, Callable[..., Told]] = {
    each.__name__: each
    for each in (
        ingest,
        schemas,
        prepare_curation,
        curate,
        check,
        steps,
        definitions,
        train,
        trial_tables,
        score,
        grown,
    )
}


def main() -> None:
    """Do one piece and print what it tells."""
    prepare_process()
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    try:
        sys.stdout.write(f"\n{json.dumps(WORK[name](**arguments))}\n")
    except CellworksError as error:
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
