"""Writing a batch: rows, quarantine, affected days and offsets, all inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from duckdb import DuckDBPyConnection

from pipelines.ingest.connector import Delivery
from pipelines.ingest.judging import adopt, adopt_whole
from pipelines.ingest.part import Count, Part, Rejected
from pipelines.lake.clock import wall_now
from pipelines.lake.home import Home
from pipelines.lake.sql import columns_sql, quote_identifier

_RECORD = "source, position, reason, raw_text, raw_format, raw_header"


@dataclass
class Batch:
    """Everything that one transaction will write.

    Attributes:
        deliveries: all that was pending, unreadable ones included.
        refused: deliveries that can't be read as a whole, with the reason.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    refused: list[tuple[Delivery, str]] = field(default_factory=list)

    def count(self, delivery: Delivery) -> Count:
        """Rows of a delivery."""
        for part in self.parts:
            if part.feed == delivery.feed and delivery.source in part.counts:
                return part.counts[delivery.source]
        return Count()

    @property
    def remarks(self) -> dict[str, str]:
        """Remarks on what was read, by source."""
        return {source: text for part in self.parts for source, text in part.remarks.items()}

    @property
    def unfit(self) -> dict[str, str]:
        """Reasons of deliveries refused as a whole, by source."""
        found = {delivery.source: reason for delivery, reason in self.refused}
        return found | {delivery.source: reason for part in self.parts for delivery, reason in part.unreadable}


def next_batch_id(con: DuckDBPyConnection) -> int:
    """Number of the next batch, 1 and up."""
    row = con.execute("SELECT coalesce(max(batch_id), 0) + 1 FROM lake.ops.ingest_offset").fetchone()
    return int(row[0]) if row else 1


def write_part(con: DuckDBPyConnection, home: Home, part: Part, columns: Iterable[str], batch_id: int) -> None:
    """Write the rows of a part and what it sets aside; `write_days` notes the days.

    Args:
        con: a connection inside the batch's transaction.
        home: the instance, for files that join the lake whole.
        part: what was read.
        columns: the feed's columns.
        batch_id: number of the batch.
    """
    if part.good_sql:
        names = columns_sql([*columns, "_source", "production_day", "_batch_id"])
        con.execute(
            f"INSERT INTO lake.raw.{quote_identifier(part.feed)} ({names}) SELECT *, {batch_id} FROM ({part.good_sql})"
        )
    for adoption in part.adopted:
        adopt(con, home, part.feed, adoption, batch_id)
    if part.whole is not None:
        adopt_whole(con, home, part.feed, part.whole, batch_id)
    if part.bad_sql:
        _quarantine(con, part.feed, f"({part.bad_sql})", batch_id)
    set_aside(con, part.feed, part.rejected, batch_id)


def write_days(con: DuckDBPyConnection, batch_id: int, parts: Sequence[Part]) -> None:
    """Note the production days that parts touch, of all feeds in one statement: each costs the lake a file.

    Args:
        con: a connection inside the batch's transaction.
        batch_id: number of the batch.
        parts: what was written.
    """
    touched = sorted({(part.feed, day) for part in parts for day in part.days})
    if not touched:
        return
    arrow = pa.table(
        {
            "feed": pa.array([feed for feed, _ in touched], pa.string()),
            "production_day": pa.array([day for _, day in touched], pa.date32()),
        }
    )
    con.register("cw_days", arrow)
    con.execute(f"INSERT INTO lake.ops.affected_day SELECT feed, production_day, {batch_id} FROM cw_days")
    con.unregister("cw_days")


def set_aside(con: DuckDBPyConnection, feed: str, records: Sequence[Rejected], batch_id: int) -> None:
    """Put records of a feed into quarantine."""
    if not records:
        return
    arrow = pa.table(
        {
            "source": pa.array([each.source for each in records], pa.string()),
            "position": pa.array([each.position for each in records], pa.int64()),
            "reason": pa.array([each.reason for each in records], pa.string()),
            "raw_text": pa.array([each.raw_text for each in records], pa.string()),
            "raw_format": pa.array([each.raw_format for each in records], pa.string()),
            "raw_header": pa.array([each.raw_header for each in records], pa.string()),
        }
    )
    con.register("cw_rejected", arrow)
    _quarantine(con, feed, "cw_rejected", batch_id)
    con.unregister("cw_rejected")


def _quarantine(con: DuckDBPyConnection, feed: str, records: str, batch_id: int) -> None:
    """Insert records of a relation with the columns of `_RECORD`, numbered on from the last one."""
    row = con.execute("SELECT coalesce(max(quarantine_id), 0) FROM lake.ops.quarantine").fetchone()
    last = int(row[0]) if row else 0
    con.execute(
        f"INSERT INTO lake.ops.quarantine (quarantine_id, feed, {_RECORD}, batch_id, quarantined_at, status) "
        f"SELECT {last} + row_number() OVER (), ?, {_RECORD}, ?, ?, 'open' FROM {records}",
        [feed, batch_id, wall_now()],
    )


def write_refused(con: DuckDBPyConnection, batch: Batch, batch_id: int) -> None:
    """Put whole files into quarantine."""
    refused = [*batch.refused, *(each for part in batch.parts for each in part.unreadable)]
    for feed in sorted({delivery.feed for delivery, _ in refused}):
        files = [Rejected(each.source, None, reason, None, "file") for each, reason in refused if each.feed == feed]
        set_aside(con, feed, files, batch_id)


@dataclass(frozen=True)
class Offset:
    """How far a source was taken in."""

    source: str
    feed: str
    fingerprint: str
    size_bytes: int | None
    mtime_ns: int | None
    cursor_value: str | None
    status: str
    note: str
    count: Count


def offsets_of(batch: Batch) -> list[Offset]:
    """Offsets of all deliveries of a batch."""
    unfit, remarks = batch.unfit, batch.remarks
    found = []
    for each in batch.deliveries:
        reason = unfit.get(each.source)
        status = "taken" if reason is None else "quarantined"
        size, mtime = (each.size_bytes, each.mtime_ns) if each.path is not None else (None, None)
        place = (each.source, each.feed, each.fingerprint, size, mtime, each.cursor_value)
        found.append(Offset(*place, status, reason or each.note or remarks.get(each.source, ""), batch.count(each)))
    return found


def write_offsets(con: DuckDBPyConnection, offsets: Sequence[Offset], batch_id: int) -> None:
    """Write offsets in one statement."""
    texts = {
        name: pa.array([getattr(each, name) for each in offsets], pa.string())
        for name in ("source", "feed", "fingerprint", "cursor_value", "status", "note")
    }
    numbers = {
        "size_bytes": pa.array([each.size_bytes for each in offsets], pa.int64()),
        "mtime_ns": pa.array([each.mtime_ns for each in offsets], pa.int64()),
        "rows_in": pa.array([each.count.good for each in offsets], pa.int64()),
        "rows_quarantined": pa.array([each.count.bad for each in offsets], pa.int64()),
        "max_known_at": pa.array([each.count.newest for each in offsets], pa.timestamp("us")),
    }
    con.register("cw_offsets", pa.table(texts | numbers))
    names = columns_sql([*texts, *numbers])
    con.execute(
        f"INSERT INTO lake.ops.ingest_offset ({names}, batch_id, ingested_at) SELECT {names}, ?, ? FROM cw_offsets",
        [batch_id, wall_now()],
    )
    con.unregister("cw_offsets")
