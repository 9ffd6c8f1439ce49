"""Drop folder: `<folder>/<feed>/*` as CSV, gzip CSV, Parquet or JSON lines."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from duckdb import DuckDBPyConnection

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.site import Site
from pipelines.ingest.connector import Delivery, Format

_FORMATS: dict[str, Format] = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", ".jsonl": "jsonl"}
MAX_LINE_BYTES = 4 * 1024 * 1024
_CHUNK = 1 << 20


class DropFolder:
    """Files in a folder per feed. A file still being written ends in `.part` and is left alone."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder

    def pending(self, con: DuckDBPyConnection) -> list[Delivery]:
        """Files that are new, or hold something new under an old name.

        A file of known size and modification time isn't opened; a touched one is hashed.
        """
        rows = con.execute("SELECT source, size_bytes, mtime_ns, fingerprint FROM lake.ops.ingest_offset").fetchall()
        stats = {(source, size, mtime) for source, size, mtime, _ in rows}
        contents = {(source, fingerprint) for source, _, _, fingerprint in rows}
        found = []
        for feed, path, form in self._files():
            stat = path.stat()
            source = f"{feed}/{path.name}"
            if (source, stat.st_size, stat.st_mtime_ns) in stats:
                continue
            with path.open("rb") as file:
                fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
            if (source, fingerprint) in contents:
                continue
            delivery = Delivery(feed, source, form, fingerprint, stat.st_size, stat.st_mtime_ns, path)
            found.append(replace(delivery, problem=self._problem(delivery)))
        return found

    def _files(self) -> Iterator[tuple[str, Path, Format]]:
        for feed in self._site.feeds.values():
            folder = self._folder / feed.name
            if not folder.is_dir():
                continue
            for path in sorted(folder.iterdir()):
                form = next((f for ending, f in _FORMATS.items() if path.name.endswith(ending)), None)
                if form is not None and path.is_file() and not path.is_symlink():
                    yield feed.name, path, form

    def _problem(self, delivery: Delivery) -> str:
        """What keeps a file from being read at all; empty when nothing does."""
        if delivery.path is None or delivery.size_bytes == 0:
            return "the file is empty"
        expected = set(raw_schema(self._site, delivery.feed))
        if delivery.format == "parquet":
            return _parquet_problem(delivery.path, expected)
        problem = csv_problem(delivery.path, expected) if delivery.format == "csv" else ""
        return problem or _text_problem(delivery.path)


def csv_header(path: Path) -> list[str]:
    """Column names of a CSV file (plain or gzip).

    Raises:
        ValueError: no header can be read; the text says why.
    """
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            first = file.readline(MAX_LINE_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"the gzip file is broken: {error}") from error
    if not first.endswith(b"\n"):
        raise ValueError("the header has no line end: truncated, or a line that is too long")
    try:
        text = first.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("the file is not UTF-8") from error
    if "\x00" in text:
        raise ValueError("the file is not UTF-8 text (NUL bytes: UTF-16?)")
    return next(csv.reader(io.StringIO(text)))


def csv_problem(path: Path, expected: set[str]) -> str:
    """Why a CSV file can't be read with the columns that the control plan derives."""
    try:
        header = csv_header(path)
    except ValueError as error:
        return str(error)
    missing = expected - set(header)
    if missing:
        other = next((d for d in (";", "\t", "|") if len(header) == 1 and d in header[0]), None)
        hint = f"; it seems to be separated by {other!r}, expected a comma" if other else ""
        return f"columns {', '.join(sorted(missing)[:5])} are missing{hint}"
    if len(set(header)) != len(header):
        return "a column appears twice in the header"
    return ""


def _text_problem(path: Path) -> str:
    """A broken gzip stream, or a line so long that DuckDB's reader would leave it out without a word."""
    longest = run = 0
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                first = chunk.find(b"\n")
                run = run + len(chunk) if first < 0 else len(chunk) - chunk.rfind(b"\n")
                longest = max(longest, run)
    except (OSError, EOFError, zlib.error) as error:
        return f"the gzip file is broken: {error}"
    return "" if longest <= MAX_LINE_BYTES else f"a line is longer than {MAX_LINE_BYTES >> 20} MiB"


def _parquet_problem(path: Path, expected: set[str]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        return f"the Parquet file is broken: {str(error).splitlines()[0]}"
    missing = expected - names
    return f"columns {', '.join(sorted(missing)[:5])} are missing" if missing else ""
