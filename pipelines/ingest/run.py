"""One batch: everything pending, read once; rows, offsets and quarantine commit in one lake transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.ingest.connector import Connector, Delivery
from pipelines.ingest.drop_folder import DropFolder
from pipelines.ingest.relations import Reader, Relation
from pipelines.ingest.report import FeedReport, IngestReport
from pipelines.ingest.rules import production_day_sql, reason_sql, typed_columns
from pipelines.ingest.sql_database import SqlDatabase
from pipelines.lake.connection import current_snapshot, retrying, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.schemas import ensure_schemas
from pipelines.lake.sql import columns_sql, quote_identifier, quote_literal

Progress = Callable[[str, int, int], None]


@dataclass
class _Counts:
    rows: int = 0
    bad: int = 0
    newest: datetime | None = None


@dataclass
class _Batch:
    """What was read and is about to be written."""

    relations: list[Relation] = field(default_factory=list)
    refused: list[tuple[Delivery, str]] = field(default_factory=list)
    counts: dict[str, _Counts] = field(default_factory=dict)


def connectors(site: Site, home: Home) -> list[Connector]:
    """The connectors of a site's sources, `${home}` filled in."""
    made: list[Connector] = []
    for source in site.sources:
        if source.kind == "drop_folder":
            made.append(DropFolder(site, Path(source.folder.replace("${home}", str(home.root)))))
        else:
            made.append(SqlDatabase(site, source, source.url.replace("${home}", str(home.root))))
    return made


def ingest(home: Home, site: Site, *, progress: Progress | None = None) -> IngestReport:
    """Take in everything pending, exactly once.

    Killed at any moment, the next call ends with the same rows: a transaction holds the rows of all feeds,
    what was set aside, the affected days and the offsets.

    Args:
        home: the instance.
        site: feeds, rules and sources.
        progress: called with what is being done, steps done and steps in all.

    Raises:
        CellworksError: another writer holds the lake, a source can't be read, or the disk is full.
    """
    try:
        return retrying(lambda: _attempt(home, site, progress or _silent))
    except duckdb.IOException as error:
        raise CellworksError(
            "the batch could not be written; the lake is as before",
            expected="room and rights to write",
            found=str(error).splitlines()[0],
            mend="free space, then run again: nothing was lost and nothing will come twice",
            where=str(home.lake_dir),
        ) from error


def _silent(_label: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def _attempt(home: Home, site: Site, progress: Progress) -> IngestReport:
    with writer(home, why="ingest") as con:
        ensure_schemas(con, site)
        pending = [each for connector in connectors(site, home) for each in connector.pending(con)]
        if not pending:
            return IngestReport()
        batch = _read(con, site, pending, progress)
        batch_id = _next_batch(con)
        total = len(batch.relations) + 1
        with transaction(con):
            for done, relation in enumerate(batch.relations):
                progress(f"writing {relation.feed}", done, total)
                _write(con, site, relation, batch, batch_id)
            _write_refused(con, batch, batch_id)
            _write_offsets(con, pending, batch, batch_id)
        progress("committed", total, total)
        return _report(con, pending, batch, batch_id)


def _next_batch(con: DuckDBPyConnection) -> int:
    row = con.execute("SELECT coalesce(max(batch_id), 0) + 1 FROM lake.ops.ingest_offset").fetchone()
    return int(row[0]) if row else 1


def _read(con: DuckDBPyConnection, site: Site, pending: Sequence[Delivery], progress: Progress) -> _Batch:
    batch = _Batch(refused=[(each, each.problem) for each in pending if each.problem])
    readable = [each for each in pending if not each.problem]
    done = 0
    for item in Reader(con, site).relations(readable):
        if isinstance(item, tuple):
            batch.refused.append(item)
            done += 1
            continue
        progress(f"reading {item.feed}", done, len(readable))
        done += len(item.deliveries)
        batch.relations.append(item)
        _count(con, site, item, batch)
    return batch


def _count(con: DuckDBPyConnection, site: Site, relation: Relation, batch: _Batch) -> None:
    rows = con.execute(
        f"SELECT _source, count(*) FILTER (reason = ''), count(*) FILTER (reason <> ''), "
        f"max(known_at) FILTER (reason = '') FROM (SELECT _source, {reason_sql(site, relation.feed)} AS reason, "
        f"TRY_CAST(known_at AS TIMESTAMP) AS known_at FROM {relation.name}) GROUP BY _source"
    ).fetchall()
    for source, good, bad, newest in rows:
        batch.counts[str(source)] = _Counts(int(good), int(bad), newest)
    for line in relation.rejected:
        batch.counts.setdefault(line.source, _Counts()).bad += 1


def _write(con: DuckDBPyConnection, site: Site, relation: Relation, batch: _Batch, batch_id: int) -> None:
    feed = relation.feed
    table = f"lake.raw.{quote_identifier(feed)}"
    names = columns_sql([*raw_schema(site, feed), "_source", "_batch_id", "production_day"])
    con.execute(
        f"INSERT INTO {table} ({names}) SELECT *, {batch_id}, {production_day_sql(site)} "
        f"FROM (SELECT {typed_columns(site, feed)}, _source FROM {relation.name} "
        f"WHERE {reason_sql(site, feed)} = '')"
    )
    con.execute(
        f"INSERT INTO lake.ops.affected_day "
        f"SELECT DISTINCT {quote_literal(feed)}, {production_day_sql(site)}, {batch_id} "
        f"FROM (SELECT TRY_CAST(event_at AS TIMESTAMP) AS event_at FROM {relation.name} "
        f"WHERE {reason_sql(site, feed)} = '')"
    )
    if any(batch.counts[each.source].bad for each in relation.deliveries if each.source in batch.counts):
        _set_aside(con, site, relation, batch_id)


def _set_aside(con: DuckDBPyConnection, site: Site, relation: Relation, batch_id: int) -> None:
    packed = ", ".join(
        f"{quote_identifier(each)} := {quote_identifier(each)}" for each in raw_schema(site, relation.feed)
    )
    con.execute(
        f"INSERT INTO lake.ops.quarantine SELECT {_next_quarantine(con)} + row_number() OVER () - 1, "
        f"{quote_literal(relation.feed)}, _source, _position, reason, "
        f"CAST(to_json(struct_pack({packed})) AS VARCHAR), 'json', {batch_id}, ?, 'open' "
        f"FROM (SELECT *, {reason_sql(site, relation.feed)} AS reason FROM {relation.name}) WHERE reason <> ''",
        [_now()],
    )
    lines = [
        [relation.feed, each.source, each.position, each.reason, each.raw_text, "line", batch_id]
        for each in relation.rejected
    ]
    _append_quarantine(con, lines)


def _append_quarantine(con: DuckDBPyConnection, rows: Iterable[list[object]]) -> None:
    number = _next_quarantine(con)
    values = [[number + i, *row, _now(), "open"] for i, row in enumerate(rows)]
    if values:
        con.executemany("INSERT INTO lake.ops.quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def _next_quarantine(con: DuckDBPyConnection) -> int:
    row = con.execute("SELECT coalesce(max(quarantine_id), 0) + 1 FROM lake.ops.quarantine").fetchone()
    return int(row[0]) if row else 1


def _write_refused(con: DuckDBPyConnection, batch: _Batch, batch_id: int) -> None:
    _append_quarantine(
        con,
        ([each.feed, each.source, None, reason, None, "file", batch_id] for each, reason in batch.refused),
    )


def _write_offsets(con: DuckDBPyConnection, pending: Sequence[Delivery], batch: _Batch, batch_id: int) -> None:
    refused = {(each.source, each.fingerprint): reason for each, reason in batch.refused}
    now = _now()
    rows: list[list[object]] = []
    for each in pending:
        reason = refused.get((each.source, each.fingerprint))
        count = batch.counts.get(each.source, _Counts()) if reason is None else _Counts()
        status = "taken" if reason is None else "quarantined"
        where = [each.source, each.feed, each.fingerprint, each.size_bytes, each.mtime_ns, each.cursor_value]
        rows.append([*where, status, reason or "", count.rows, count.bad, count.newest, batch_id, now])
    marks = ", ".join("?" * 13)
    con.executemany(f"INSERT INTO lake.ops.ingest_offset VALUES ({marks})", rows)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _report(con: DuckDBPyConnection, pending: Sequence[Delivery], batch: _Batch, batch_id: int) -> IngestReport:
    report = IngestReport(batch_id=batch_id, snapshot=current_snapshot(con))
    for each in pending:
        report.feeds.setdefault(each.feed, FeedReport()).deliveries += 1
    for each, _ in batch.refused:
        report.feeds[each.feed].files_quarantined += 1
    for source in {each.source for each in pending}:
        count = batch.counts.get(source, _Counts())
        part = report.feeds[next(each.feed for each in pending if each.source == source)]
        part.rows_in += count.rows
        part.rows_quarantined += count.bad
    for feed, day in con.execute(
        "SELECT feed, production_day FROM lake.ops.affected_day WHERE batch_id = ? ORDER BY ALL", [batch_id]
    ).fetchall():
        report.affected_days.setdefault(feed, []).append(day)
    return report
