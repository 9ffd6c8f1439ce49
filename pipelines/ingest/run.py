"""One batch: everything pending, read and judged, then written with its offsets in one lake transaction."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time
from functools import partial
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.ingest.batch import (
    Batch,
    next_batch_id,
    offsets_of,
    write_days,
    write_offsets,
    write_part,
    write_refused,
)
from pipelines.ingest.connector import Connector, Pending
from pipelines.ingest.drop_folder import DropFolder
from pipelines.ingest.reading import read_parts
from pipelines.ingest.report import FeedReport, IngestReport
from pipelines.ingest.rules import Clock, Rules
from pipelines.ingest.sql_database import SqlDatabase
from pipelines.ingest.staging import Workplace, first_line
from pipelines.lake.clock import wall_now
from pipelines.lake.connection import current_snapshot, reader, retrying, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import INGEST
from pipelines.lake.progress import Progress, silent
from pipelines.lake.schemas import bootstrap_statements, ensure_schemas
from pipelines.lake.trouble import is_transient


class _ChangedError(Exception):
    """Files that were written to while they were read.

    Args:
        sources: sources to leave for the next run.
    """

    def __init__(self, sources: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(sources)))
        self.sources = sources


def connectors(site: Site, home: Home, leave: frozenset[str] = frozenset()) -> list[Connector]:
    """The connectors of a site's sources, `${home}` filled in; files in `leave` are passed over."""
    made: list[Connector] = []
    for source in site.sources:
        if source.kind == "drop_folder":
            made.append(DropFolder(site, Path(source.folder.replace("${home}", str(home.root))), leave))
        else:
            made.append(SqlDatabase(site, source, source.url.replace("${home}", str(home.root))))
    return made


def ingest(home: Home, site: Site, *, progress: Progress | None = None) -> IngestReport:
    """Take in everything pending, exactly once.

    Killed at any moment, the next call ends with the same rows: one transaction holds the rows of all feeds,
    what was set aside, the affected days and the offsets.

    Args:
        home: the instance.
        site: feeds, rules and sources.
        progress: called with what is being done, steps done and steps in all.

    Raises:
        CellworksError: another writer holds the lake, a source can't be read, or the machine failed (disk, memory).
    """
    leave: frozenset[str] = frozenset()
    while True:
        try:
            report = run_safely(home, partial(_attempt, home, site, progress or silent, leave))
        except _ChangedError as changed:
            leave |= changed.sources
        else:
            report.notes += [f"{source}: still being written, left for the next run" for source in sorted(leave)]
            return report


def run_safely(home: Home, work: Callable[[], IngestReport]) -> IngestReport:
    """Run a whole batch, again while the catalogue is busy; what the machine can't do is told to a person.

    Raises:
        CellworksError: the batch could not be written; the lake is as before.
    """
    try:
        return retrying(work)
    except (duckdb.IOException, duckdb.OutOfMemoryException, OSError) as error:
        found = error
    except duckdb.Error as error:  # DuckLake wraps what failed while it committed
        if not is_transient(error) and "could not write" not in str(error).lower():
            raise
        found = error
    raise CellworksError(
        "the batch could not be written; the lake is as before",
        expected="disk space, memory and rights to write",
        found=first_line(found),
        mend="free space, then run again: nothing was lost and nothing will come twice",
        where=str(home.lake_dir),
    ) from found


def _attempt(home: Home, site: Site, progress: Progress, leave: frozenset[str]) -> IngestReport:
    with writer_of(home, site, "ingest") as con:
        pending = Pending()
        for connector in connectors(site, home, leave):
            found = connector.pending(con)
            pending.deliveries += found.deliveries
            pending.notes += found.notes
        if not pending.deliveries:
            return IngestReport(notes=pending.notes)
        batch_id = next_batch_id(con)
        with _planned_plainly(con), _staged(home) as folder:
            batch = _read(con, site, pending, progress, Workplace(folder, batch_id))
            _write(con, home, site, batch, batch_id, progress)
        return _report(con, batch, batch_id, pending.notes)


@contextmanager
def writer_of(home: Home, site: Site, why: str) -> Iterator[DuckDBPyConnection]:
    """A writing connection to the area of ingestion, every table of the site there.

    To add a table that all share takes the whole lake, so it is done before.

    Raises:
        CellworksError: another writer holds the lake.
    """
    if not home.has_lake or _lacks_tables(home, site):
        with writer(home, why=f"tables for {why}") as con:
            ensure_schemas(con, site)
    with writer(home, why=why, area=INGEST) as con:
        yield con


def _lacks_tables(home: Home, site: Site) -> bool:
    with reader(home) as con:
        return bool(bootstrap_statements(con, site))


@contextmanager
def _staged(home: Home) -> Iterator[Path]:
    """A folder for the files of one batch, on the disk of the lake so that they can move there.

    What a killed run left there goes as well: the writer's lock is held.
    """
    shutil.rmtree(home.staged_dir, ignore_errors=True)
    home.staged_dir.mkdir()
    try:
        yield home.staged_dir
    finally:
        shutil.rmtree(home.staged_dir)


@contextmanager
def _planned_plainly(con: DuckDBPyConnection) -> Iterator[None]:
    """Within the block DuckDB reads files without the short cuts that would change what is found."""
    con.execute("SET preserve_insertion_order = true")  # a row's place in its file is found by its order
    # A delivery shorter than the table of rules would be the one that is looked up, and come out in another order.
    # The statistics of a Parquet file leave NaN out (pyarrow writes them so): trusting them, a range is always kept.
    con.execute("SET disabled_optimizers = 'build_side_probe_side,statistics_propagation'")
    try:
        yield
    finally:
        # A DuckDB that has failed for good takes no more statements; the first error is the one to show.
        with suppress(duckdb.Error):
            con.execute("RESET disabled_optimizers")


def _write(con: DuckDBPyConnection, home: Home, site: Site, batch: Batch, batch_id: int, progress: Progress) -> None:
    with transaction(con):
        for done, part in enumerate(batch.parts):
            progress(f"writing {part.feed}", done, len(batch.parts))
            write_part(con, home, part, raw_schema(site, part.feed), batch_id)
        write_days(con, batch_id, batch.parts)
        write_refused(con, batch, batch_id)
        write_offsets(con, offsets_of(batch), batch_id)
        _check_unchanged(batch)
    progress("written", len(batch.parts), len(batch.parts))


def _read(con: DuckDBPyConnection, site: Site, pending: Pending, progress: Progress, workplace: Workplace) -> Batch:
    batch = Batch(pending.deliveries, refused=[(each, each.problem) for each in pending.deliveries if each.problem])
    readable = [each for each in pending.deliveries if not each.problem]
    clock = clock_of(con, site)
    rules: dict[str, Rules] = {}

    def rules_of(feed: str) -> Rules:
        if feed not in rules:
            rules[feed] = Rules(con, site, feed, clock)
        return rules[feed]

    done = 0
    for part in read_parts(con, readable, rules_of, workplace):
        done += len(part.deliveries) + len(part.unreadable)
        progress(f"reading {part.feed}", done, len(readable))
        batch.parts.append(part)
    return batch


def clock_of(con: DuckDBPyConnection, site: Site) -> Clock:
    """What is believed after the latest moment that any clock has shown: wall, plant or the site's start."""
    row = con.execute("SELECT max(max_known_at) FROM lake.ops.ingest_offset").fetchone()
    plant = [row[0]] if row is not None and row[0] is not None else []
    moments: list[datetime] = [wall_now(), datetime.combine(site.start_day, time()), *plant]
    return Clock.of(site, max(moments))


def _check_unchanged(batch: Batch) -> None:
    """Before the commit: whether the files are still those that were fingerprinted.

    Raises:
        _ChangedError: some are not; the transaction must not stand.
    """
    changed = frozenset(each.source for each in batch.deliveries if not each.is_unchanged())
    if changed:
        raise _ChangedError(changed)


def _report(con: DuckDBPyConnection, batch: Batch, batch_id: int, notes: list[str]) -> IngestReport:
    remarks = [f"{source}: {text}" for source, text in batch.remarks.items()]
    report = IngestReport(batch_id=batch_id, snapshot=current_snapshot(con), notes=[*notes, *remarks])
    unfit = batch.unfit
    for each in batch.deliveries:
        part = report.feeds.setdefault(each.feed, FeedReport())
        count = batch.count(each)
        part.deliveries += 1
        part.rows_in += count.good
        part.rows_quarantined += count.bad
        part.files_quarantined += each.source in unfit
    report.affected_days = affected_days(con, batch_id)
    return report


def affected_days(con: DuckDBPyConnection, batch_id: int) -> dict[str, list[date]]:
    """Production days that a batch touched, by feed."""
    found: dict[str, list[date]] = {}
    for feed, day in con.execute(
        "SELECT DISTINCT feed, production_day FROM lake.ops.affected_day WHERE batch_id = ? ORDER BY ALL", [batch_id]
    ).fetchall():
        found.setdefault(str(feed), []).append(day)
    return found
