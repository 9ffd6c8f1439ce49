"""What an ingestion did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass
class FeedReport:
    """One feed: rows taken in, rows and whole files set aside, deliveries read."""

    rows_in: int = 0
    rows_quarantined: int = 0
    files_quarantined: int = 0
    deliveries: int = 0


@dataclass
class IngestReport:
    """One batch.

    Attributes:
        batch_id: number of the batch, None when nothing was pending.
        snapshot: lake snapshot that holds it, None likewise.
        feeds: report by feed; feeds without deliveries are absent.
        affected_days: production days touched, by feed.
        notes: what was odd: unknown columns, folders that are no feed, files still being written.
    """

    batch_id: int | None = None
    snapshot: int | None = None
    feeds: dict[str, FeedReport] = field(default_factory=dict)
    affected_days: dict[str, list[date]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def feed(self, name: str) -> FeedReport:
        """Report of one feed; all zero when nothing came."""
        return self.feeds.get(name, FeedReport())

    @property
    def rows_in(self) -> int:
        """Rows taken in over all feeds."""
        return sum(each.rows_in for each in self.feeds.values())

    @property
    def rows_quarantined(self) -> int:
        """Rows set aside over all feeds."""
        return sum(each.rows_quarantined for each in self.feeds.values())

    @property
    def files_quarantined(self) -> int:
        """Whole files set aside over all feeds."""
        return sum(each.files_quarantined for each in self.feeds.values())
