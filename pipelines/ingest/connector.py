"""The interface of all sources, and what they hand over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from duckdb import DuckDBPyConnection

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "parquet", "jsonl", "arrow"]


@dataclass(frozen=True)
class Delivery:
    """Something that has not been taken in yet: a file in one content, or a stretch of a table.

    Attributes:
        source: where it comes from, relative to the drop folder, or `database.table`.
        fingerprint: hash of the content, or the cursor's end; (source, fingerprint) is taken in once.
        path: file to read, None for `arrow`.
        table: rows of a database, None for files.
        cursor_value: where the next read begins, None for files.
        problem: why it can't be read at all, empty when it can.
    """

    feed: str
    source: str
    format: Format
    fingerprint: str
    size_bytes: int = 0
    mtime_ns: int = 0
    path: Path | None = None
    table: pa.Table | None = None
    cursor_value: str | None = None
    problem: str = ""


class Connector(Protocol):
    """A source of deliveries."""

    def pending(self, con: DuckDBPyConnection) -> list[Delivery]:
        """Deliveries not taken in yet, oldest first; `con` sees the offsets in `ops.ingest_offset`."""
        ...
