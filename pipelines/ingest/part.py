"""A part of a batch: deliveries of one feed that were read and judged, ready to be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from pipelines.ingest.connector import Delivery


class UnreadableError(Exception):
    """A file whose header was fine but whose content can't be read.

    Args:
        delivery: the file.
        reason: why, for the quarantine.
    """

    def __init__(self, delivery: Delivery, reason: str) -> None:
        super().__init__(reason)
        self.delivery = delivery
        self.reason = reason


@dataclass
class Count:
    """Rows of one delivery: taken in, set aside, and the newest known_at taken in."""

    good: int = 0
    bad: int = 0
    newest: datetime | None = None

    def add(self, good: int, bad: int, newest: datetime | None) -> None:
        """Add what another reading of the same delivery brought."""
        self.good += good
        self.bad += bad
        if newest is not None:
            self.newest = newest if self.newest is None else max(self.newest, newest)


@dataclass(frozen=True)
class Rejected:
    """A record for the quarantine.

    Attributes:
        position: line or row number in the source, None when it can't be told.
        raw_format: `json`, `csv`, or `file` for a whole file.
        raw_header: columns of the CSV line.
    """

    source: str
    position: int | None
    reason: str
    raw_text: str | None
    raw_format: str
    raw_header: str | None = None


@dataclass(frozen=True)
class Adoption:
    """A Parquet file that fits the raw table as it is: it joins the lake as a file, not row by row.

    Attributes:
        delivery: what the rows are of.
        file: the Parquet file.
        production_day: that of every row.
        is_ours: whether the file may be taken away from where it lies.
    """

    delivery: Delivery
    file: Path
    production_day: date
    is_ours: bool = False


@dataclass
class Part:
    """What was read of one feed.

    Attributes:
        counts: by source.
        days: production days of what is inserted or adopted.
        good_sql: query of the feed's columns, `_source` and `production_day`; empty when nothing is inserted.
        bad_sql: query of the quarantine's columns source, position, reason, raw_text, raw_format, raw_header.
        rejected: further records for the quarantine.
        adopted: files as delivered that join the lake whole.
        whole: a Parquet file of ours with all rows of the part and what ingestion adds to them; joins the lake too.
        unreadable: files that turned out broken beyond their header.
        remarks: what is odd about a source but kept nothing out.
        tables: temporary tables that the queries read; they go with the connection.
    """

    feed: str
    deliveries: list[Delivery]
    counts: dict[str, Count] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    good_sql: str = ""
    bad_sql: str = ""
    rejected: list[Rejected] = field(default_factory=list)
    adopted: list[Adoption] = field(default_factory=list)
    whole: Path | None = None
    unreadable: list[tuple[Delivery, str]] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)

    def count(self, source: str) -> Count:
        """Counts of a source, zero at first."""
        return self.counts.setdefault(source, Count())
