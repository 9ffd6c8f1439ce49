"""Quarantine: what was set aside and why, and another try after the plan or the source was mended."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.ingest.batch import Offset, next_batch_id, write_days, write_offsets, write_part
from pipelines.ingest.connector import TextRow
from pipelines.ingest.part import Count, Part
from pipelines.ingest.report import FeedReport, IngestReport
from pipelines.ingest.rules import Rules
from pipelines.ingest.run import affected_days, clock_of, ingest, run_safely, writer_of
from pipelines.ingest.staging import temporary_name
from pipelines.ingest.text_rows import append_text, as_json, stage_table
from pipelines.lake.connection import current_snapshot, reader, transaction
from pipelines.lake.home import Home
from pipelines.lake.progress import Progress

OPEN, REPLAYED = "open", "replayed"


@dataclass(frozen=True)
class QuarantineRow:
    """A record that was set aside.

    Attributes:
        position: line or row number in the source, None for a whole file.
        raw_text: the record as it came, None for a whole file.
        raw_format: `csv`, `json` or `file`.
        raw_header: columns of a CSV line.
        status: `open` or `replayed`.
    """

    quarantine_id: int
    feed: str
    source: str
    position: int | None
    reason: str
    raw_text: str | None
    raw_format: str
    raw_header: str | None
    batch_id: int
    quarantined_at: datetime
    status: str


def listing(
    home: Home, *, feed: str | None = None, status: str | None = OPEN, limit: int | None = 1000
) -> list[QuarantineRow]:
    """Records set aside, newest first.

    Args:
        home: the instance.
        feed: only this feed.
        status: `open`, `replayed` or None for both.
        limit: at most so many, None for all.

    Raises:
        CellworksError: there is no lake yet.
    """
    with reader(home) as con:
        return _select(con, feed=feed, status=status, limit=limit)


def _select(
    con: DuckDBPyConnection,
    *,
    feed: str | None = None,
    status: str | None = None,
    ids: Sequence[int] | None = None,
    limit: int | None = None,
) -> list[QuarantineRow]:
    wanted = {"feed": feed, "status": status}
    conditions = [f"{name} = ?" for name, value in wanted.items() if value is not None]
    values: list[object] = [value for value in wanted.values() if value is not None]
    if ids is not None:
        conditions.append("list_contains(?::BIGINT[], quarantine_id)")
        values.append(list(ids))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    bound = f"LIMIT {int(limit)}" if limit is not None else ""
    names = ", ".join(QuarantineRow.__dataclass_fields__)
    rows = con.execute(
        f"SELECT {names} FROM lake.ops.quarantine {where} ORDER BY quarantine_id DESC {bound}", values
    ).fetchall()
    return [QuarantineRow(*row) for row in rows]


def replay(
    home: Home, site: Site, ids: Iterable[int] | None = None, *, progress: Progress | None = None
) -> IngestReport:
    """Try records again: rows from their raw text, whole files from the drop folder.

    A row that fits now goes to its raw table with its old source and leaves the quarantine, in one transaction; one
    that doesn't stays, with its reason of today. A whole file is read again by the ingestion that follows; if it
    still can't be read, it is set aside anew.

    Args:
        home: the instance.
        site: the site, mended.
        ids: which ones, None for all that are open.
        progress: as for `ingest`.

    Returns:
        Rows taken in by this replay, those of whole files included.

    Raises:
        CellworksError: a record is not there or not open, another writer holds the lake, or the machine failed.
    """
    wanted = None if ids is None else sorted(set(ids))
    report = run_safely(home, lambda: _replay(home, site, wanted))
    again = ingest(home, site, progress=progress)
    return _sum(report, again)


def _sum(first: IngestReport, second: IngestReport) -> IngestReport:
    if second.batch_id is None:
        return first
    for feed, each in first.feeds.items():
        part = second.feeds.setdefault(feed, FeedReport())
        part.rows_in += each.rows_in
        part.rows_quarantined += each.rows_quarantined
        part.deliveries += each.deliveries
    for feed, days in first.affected_days.items():
        second.affected_days[feed] = sorted({*days, *second.affected_days.get(feed, [])})
    return second


def _replay(home: Home, site: Site, ids: Sequence[int] | None) -> IngestReport:
    with writer_of(home, site, "quarantine replay") as con:
        found = _select(con, status=OPEN, ids=ids)
        _refuse_unknown(ids, found)
        rows = [row for row in found if row.feed in site.feeds]
        if not rows:
            return IngestReport()
        report = IngestReport(batch_id=next_batch_id(con))
        by_feed: dict[str, list[QuarantineRow]] = {}
        for row in rows:
            if row.raw_format != "file":
                by_feed.setdefault(row.feed, []).append(row)
        clock = clock_of(con, site)
        staged = {feed: _stage(con, Rules(con, site, feed, clock), each) for feed, each in by_feed.items()}
        with transaction(con):
            for feed, (part, texts) in staged.items():
                _write(con, home, site, part, texts, report)
                report.feeds[feed] = _feed_report(part)
            write_days(con, report.batch_id or 0, [part for part, _ in staged.values()])
            _reopen_files(con, [row for row in rows if row.raw_format == "file"], report.batch_id or 0)
        report.snapshot = current_snapshot(con)
        report.affected_days = affected_days(con, report.batch_id or 0)
        return report


def _refuse_unknown(ids: Sequence[int] | None, found: Sequence[QuarantineRow]) -> None:
    lost = sorted(set(ids or ()) - {row.quarantine_id for row in found})
    if lost:
        raise CellworksError(
            "the quarantine has no such open record",
            expected="numbers that `cellworks quarantine list` shows",
            found=", ".join(map(str, lost[:10])),
            mend="leave those out; a record that was replayed is not tried twice",
        )


def _stage(con: DuckDBPyConnection, rules: Rules, rows: Sequence[QuarantineRow]) -> tuple[Part, str]:
    """The rows judged anew; the second result is their table of texts, `_position` holding the quarantine_id."""
    text = temporary_name("text")
    con.execute(f"CREATE TEMP TABLE {text} (_source VARCHAR, _position BIGINT, _text VARCHAR, _problem VARCHAR)")
    for source in dict.fromkeys(row.source for row in rows):
        append_text(con, text, source, _texts([row for row in rows if row.source == source]))
    part = Part(rules.feed, [])
    stage_table(con, rules, part, text)
    return part, part.tables[-1]


def _texts(rows: Iterable[QuarantineRow]) -> Iterator[TextRow]:
    for row in rows:
        if row.raw_format == "json" or row.raw_text is None or row.raw_header is None:
            yield TextRow(row.quarantine_id, row.raw_text or "")
            continue
        try:
            [header], [values] = list(csv.reader([row.raw_header])), list(csv.reader(row.raw_text.splitlines(True)))
            yield TextRow(row.quarantine_id, as_json(header, values))
        except (ValueError, csv.Error):
            yield TextRow(row.quarantine_id, row.raw_text, "not one line with these columns")


def _write(con: DuckDBPyConnection, home: Home, site: Site, part: Part, staged: str, report: IngestReport) -> None:
    batch_id = report.batch_id or 0
    unfit, part.bad_sql = part.bad_sql, ""  # what still does not fit stays where it is
    write_part(con, home, part, raw_schema(site, part.feed), batch_id)
    con.execute(
        f"UPDATE lake.ops.quarantine SET status = '{REPLAYED}' WHERE quarantine_id IN "
        f"(SELECT _position FROM {staged} WHERE NOT _is_bad)"
    )
    con.execute(
        f"UPDATE lake.ops.quarantine AS q SET reason = s.reason FROM ({unfit}) AS s "
        "WHERE q.quarantine_id = s.position AND s.reason <> q.reason"
    )
    newest = [count.newest for count in part.counts.values() if count.newest is not None]
    good = sum(count.good for count in part.counts.values())
    count = Count(good, 0, max(newest) if newest else None)
    offset = Offset("quarantine", part.feed, f"replay {batch_id}", None, None, None, REPLAYED, "", count)
    write_offsets(con, [offset], batch_id)


def _feed_report(part: Part) -> FeedReport:
    good = sum(count.good for count in part.counts.values())
    return FeedReport(rows_in=good, rows_quarantined=sum(count.bad for count in part.counts.values()))


def _reopen_files(con: DuckDBPyConnection, files: Sequence[QuarantineRow], batch_id: int) -> None:
    """Forget how far these files were taken in, so that the next ingestion reads them.

    A file that was mended and taken in since its record was written is left alone: it would come twice.
    """
    if not files:
        return
    sources = [row.source for row in files]
    refused = {
        str(source)
        for source, status in con.execute(
            "SELECT source, arg_max(status, batch_id) FROM lake.ops.ingest_offset "
            "WHERE list_contains(?::VARCHAR[], source) GROUP BY source",
            [sources],
        ).fetchall()
        if status == "quarantined"
    }
    # An offset that no file can match: its size is none.
    offsets = [
        Offset(row.source, row.feed, "", -1, -1, None, REPLAYED, row.reason, Count())
        for row in {row.source: row for row in files if row.source in refused}.values()
    ]
    if offsets:
        write_offsets(con, offsets, batch_id)
    con.execute(
        f"UPDATE lake.ops.quarantine SET status = '{REPLAYED}' WHERE list_contains(?::BIGINT[], quarantine_id)",
        [[row.quarantine_id for row in files]],
    )
