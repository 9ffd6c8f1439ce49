"""The interface of all sources, and what they hand over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from duckdb import DuckDBPyConnection

from pipelines.ingest.header import is_packed

Format = Literal["csv", "parquet", "jsonl", "rows"]


@dataclass(frozen=True)
class TextRow:
    """One record as text: a JSON object, and where it was found.

    Attributes:
        position: line, 1 and up, or cursor value; for a moment, microseconds since 1970 in UTC.
        text: the JSON object, or whatever stood there instead.
        problem: why it is no record at all, empty when it may be one.
    """

    position: int
    text: str
    problem: str = ""


@dataclass(frozen=True)
class Delivery:
    """Something that has not been taken in yet: a file in one content, or a stretch of a table.

    Attributes:
        source: where it comes from, `feed/file` in the drop folder or `database.table`.
        fingerprint: hash of the content, or the stretch; the last one of a source is not taken in twice.
        path: file to read, None for `rows`.
        rows: opens the rows of a database afresh, None for files.
        cursor_value: where the next read begins, None for files.
        columns: column names found in a CSV or Parquet file, in its order.
        types: types of these columns, in the words of the format; empty for CSV.
        problem: why it can't be read at all, empty when it can.
        note: what is odd but did not keep it out.
    """

    feed: str
    source: str
    format: Format
    fingerprint: str
    size_bytes: int = 0
    mtime_ns: int = 0
    path: Path | None = None
    rows: Callable[[], Iterator[TextRow]] | None = None
    cursor_value: str | None = None
    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    problem: str = ""
    note: str = ""

    @property
    def file(self) -> Path:
        """The file of a file delivery.

        Raises:
            ValueError: it is no file.
        """
        if self.path is None:
            raise ValueError(f"{self.source} is not a file")
        return self.path

    @property
    def is_packed(self) -> bool:
        """Whether it is a file that gzip packed."""
        return self.path is not None and is_packed(self.path)

    def is_unchanged(self) -> bool:
        """Whether the file is still the one that was fingerprinted; True for what is no file."""
        if self.path is None:
            return True
        try:
            stat = self.path.stat()
        except OSError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self.size_bytes, self.mtime_ns)


def unknown_columns(names: Sequence[str]) -> str:
    """The remark on columns that a delivery has and the plan has not."""
    return f"columns {', '.join(names[:5])} are not in the control plan and were left out"


@dataclass
class Pending:
    """What a connector has: deliveries, oldest first, and remarks for the person who reads the report."""

    deliveries: list[Delivery] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Connector(Protocol):
    """A source of deliveries."""

    def pending(self, con: DuckDBPyConnection) -> Pending:
        """Deliveries not taken in yet; `con` sees the offsets in `ops.ingest_offset`."""
        ...
