"""Run suites as SQL on the lake: what changed since they held in one query a table, details only of what failed.

A suite that is new (or whose plan, contract, settings or table changed) is validated by Great Expectations on the whole
table. While it holds, later runs ask the same checks of the rows that came since, and of whole tables what no row can
decide alone: keys, references, counts, freshness. What does not hold is validated by Great Expectations again, on the
whole table. So each run's verdict is about the whole table as it is now.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime

from duckdb import DuckDBPyConnection

from expectations.database import Database, LakeColumns, warm_database
from expectations.generate import suites
from expectations.held import CHECKED, History, read_history, record, suite_hash
from expectations.report import Layer, SuiteReport, TableReport
from expectations.series import POINTS
from expectations.table_run import Asked, Run
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.lake.clock import plant_now
from pipelines.lake.connection import current_snapshot, retrying, transaction
from pipelines.lake.home import Home
from pipelines.lake.progress import Progress, silent


def run_suites(
    home: Home, site: Site, *, layer: Layer, domain: str, full: bool = False, progress: Progress | None = None
) -> SuiteReport:
    """Run every suite of one layer and domain.

    Args:
        home: the instance.
        site: the site, whose plan the suites follow from.
        layer: `raw`, `staging` or `marts`.
        domain: domain of the tables.
        full: validate whole tables, whatever is known to hold.
        progress: called with the table at work, how many are decided and how many there are.

    Returns:
        What held and what failed, table by table; failures with their count and ten sample rows. What held is written
        down in `ops.checked`, so that the next run need not ask it again.

    Raises:
        CellworksError: no lake, no such layer or domain, a wrong file of settings or suites, or another writer holds
            the lake for too long.
    """
    database = warm_database()
    started = time.perf_counter()
    progress = progress or silent
    with database.attached(home) as con, ExitStack() as lent:
        with transaction(con):  # one state of the lake for all questions
            run = begin(database, con, site, layer, domain, full=full)
            if any(POINTS in profile.sql for suite in run.suites for profile in suite.profiles):
                lent.enter_context(database.lent(POINTS, site.plan.control_points()))
            asked = _ask(run, progress)
        startup_seconds = _start_library() if any(each.suspects for each in asked) else 0.0
        reports = _conclude(run, asked, progress)
        held = [
            (each.suite.relation, run.digests[each.suite.relation])
            for each, report in zip(asked, reports, strict=True)
            if not report.failed and not each.is_missing
        ]
        if held and any(each.is_news for each in asked) and CHECKED in run.columns:
            _record(database, home, f"checks of {layer} {domain}", held, run.snapshot)
    return SuiteReport(
        layer=layer,
        domain=domain,
        tables=tuple(reports),
        snapshot=run.snapshot,
        startup_seconds=startup_seconds,
        seconds=time.perf_counter() - started - startup_seconds,
    )


def begin(database: Database, con: DuckDBPyConnection, site: Site, layer: Layer, domain: str, *, full: bool) -> Run:
    """A run of one layer and domain on the lake that `con` has attached; nothing is asked yet."""
    columns = LakeColumns(con)
    made = suites(site, layer, domain, columns)
    tables = [suite.relation for suite in made]
    history = History(columns.relations) if full else read_history(con, columns.relations, tables)
    digests = {suite.relation: suite_hash(site, suite) for suite in made}
    return Run(database, site, layer, columns, _now(con), current_snapshot(con), history, made, digests)


def _ask(run: Run, progress: Progress) -> list[Asked]:
    asked: list[Asked] = []
    for suite in run.suites:
        progress(f"asking {suite.table}", _decided(asked), len(run.suites))
        asked.append(run.ask(suite))
    return asked


def _conclude(run: Run, asked: Sequence[Asked], progress: Progress) -> list[TableReport]:
    reports: list[TableReport] = []
    for number, each in enumerate(asked):
        if each.suspects:
            done = number + _decided(asked[number:])
            progress(f"validating {each.suite.table}", done, len(asked))
        reports.append(run.conclude(each))
    progress("decided", len(asked), len(asked))
    return reports


def _decided(asked: Sequence[Asked]) -> int:
    """Tables that need no library to be decided."""
    return sum(not each.suspects for each in asked)


def _now(con: DuckDBPyConnection) -> datetime | None:
    try:
        return plant_now(con)
    except CellworksError:  # nothing was ingested yet: checks that need the clock have nothing to say
        return None


def _start_library() -> float:
    """Seconds that starting Great Expectations took: 0 when this process had paid for it before."""
    from expectations.engine import is_warm, warm_engine

    was_warm = is_warm()
    return 0.0 if was_warm else warm_engine().startup_seconds


def _record(database: Database, home: Home, why: str, held: Sequence[tuple[str, str]], snapshot: int) -> None:
    def work() -> None:
        with database.writing(home, why) as con:
            record(con, held, snapshot)

    retrying(work)
