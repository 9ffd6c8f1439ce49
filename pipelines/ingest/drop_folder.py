"""Drop folder: `<folder>/<feed>/*` as CSV, gzip CSV, Parquet or JSON lines."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path

from duckdb import DuckDBPyConnection

from pipelines.control_plan.derive import feed_rules, raw_schema
from pipelines.control_plan.site import Site
from pipelines.ingest.connector import Delivery, Format, Pending, unknown_columns
from pipelines.ingest.header import FileProblemError, csv_header, is_packed, parquet_footer

_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
}
PART = ".part"
MAX_LINE_BYTES = 1 << 20
# Readings packed by gzip or Parquet shrink ten to thirty times; a bomb a thousand times. Below this size it is none.
_MOST_UNPACKED = 200
_SMALL_BYTES = 64 << 20
_CHUNK = 1 << 20
_GLOB = frozenset("*?[]{}")
# DuckDB gives these to the rows of files; a column of that name would be taken for them.
_RESERVED = frozenset({"file_index", "file_row_number"})


def open_bytes(path: Path) -> BufferedIOBase:
    """The file's bytes, unpacked when it ends in `.gz`."""
    return gzip.open(path, "rb") if is_packed(path) else path.open("rb")


def files_of(site: Site, folder: Path) -> Iterator[tuple[str, Path, Format]]:
    """Feed, path and format of every file that could be a delivery, by feed and name.

    Args:
        site: its feeds name the folders.
        folder: the drop folder; need not exist.
    """
    for feed in site.feeds.values():
        own = folder / feed.name
        if not own.is_dir():
            continue
        for path in sorted(own.iterdir()):
            form = format_of(path)
            # A link could lead out of the drop folder.
            if form is not None and _is_text(path.name) and path.is_file() and not path.is_symlink():
                yield feed.name, path, form


def _is_text(name: str) -> bool:
    """Whether a file's name can be told: bytes that are no UTF-8 come from the file system as half characters."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def format_of(path: Path) -> Format | None:
    """The format that a file's name ends in, whatever its case; None for another."""
    return next((form for ending, form in _FORMATS.items() if path.name.lower().endswith(ending)), None)


class DropFolder:
    """Files in a folder per feed. A file still being written ends in `.part` and is left alone.

    Args:
        site: its feeds name the folders.
        folder: the drop folder; need not exist yet.
        leave: sources to pass over this time (a file that changed while it was read).
    """

    def __init__(self, site: Site, folder: Path, leave: frozenset[str] = frozenset()) -> None:
        self._site = site
        self._folder = folder
        self._leave = leave
        self._expected: dict[str, tuple[dict[str, str], frozenset[str]]] = {}
        self._found = Pending()

    def pending(self, con: DuckDBPyConnection) -> Pending:
        """Files that are new, or hold something new under an old name.

        A file whose size and modification time are those of its last delivery isn't opened; any other is hashed.
        """
        known = {
            str(source): (size, mtime, fingerprint)
            for source, size, mtime, fingerprint in con.execute(
                "SELECT source, size_bytes, mtime_ns, fingerprint FROM lake.ops.ingest_offset "
                "WHERE mtime_ns IS NOT NULL "
                "QUALIFY row_number() OVER (PARTITION BY source ORDER BY batch_id DESC, ingested_at DESC) = 1"
            ).fetchall()
        }
        found = self._found = Pending(notes=self._strangers())
        for feed, path, form in files_of(self._site, self._folder):
            source = f"{feed}/{path.name}"
            if source in self._leave:
                continue
            delivery = self._delivery(feed, path, form, known.get(source))
            if delivery is not None:
                found.deliveries.append(delivery)
                found.notes += [f"{source}: {delivery.note}"] if delivery.note else []
        return found

    def _strangers(self) -> list[str]:
        """What lies in the folder and will not be read: most likely a mistake of whoever delivers."""
        if not self._folder.is_dir():
            return []
        found = []
        for folder in sorted(each for each in self._folder.iterdir() if each.is_dir()):
            if folder.name not in self._site.feeds:
                found.append(f"{folder.name}/: there is no such feed; its files are left alone")
                continue
            for path in sorted(folder.iterdir()):
                if path.name.endswith(PART) or path.name.startswith("."):
                    continue
                if not _is_text(path.name):
                    found.append(f"{folder.name}/: {path.name!a} is left alone; a name must be UTF-8")
                elif format_of(path) is None:
                    found.append(f"{folder.name}/{path.name}: left alone; a delivery ends in {', '.join(_FORMATS)}")
                elif path.is_symlink() or not path.is_file():
                    found.append(f"{folder.name}/{path.name}: left alone; it is a link or a folder, not a file")
        return found

    def _delivery(self, feed: str, path: Path, form: Format, last: tuple[int, int, str] | None) -> Delivery | None:
        """The file as a delivery; None when its last delivery held the same."""
        try:
            stat = path.stat()
            if last is not None and last[:2] == (stat.st_size, stat.st_mtime_ns):
                return None
            with path.open("rb") as file:
                fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None  # taken away since the folder was listed
        except PermissionError:
            self._found.notes.append(f"{feed}/{path.name}: no right to read it; give it, and the next run takes it in")
            return None
        if last is not None and last[2] == fingerprint:
            return None
        delivery = Delivery(feed, f"{feed}/{path.name}", form, fingerprint, stat.st_size, stat.st_mtime_ns, path)
        try:
            return self._opened(delivery)
        except FileProblemError as problem:
            return replace(delivery, problem=str(problem))

    def _opened(self, delivery: Delivery) -> Delivery:
        """The delivery with the columns found.

        Raises:
            FileProblemError: the file can't be read at all.
        """
        path = delivery.file
        if delivery.size_bytes == 0:
            raise FileProblemError("the file is empty")
        if _GLOB & set(path.name):
            raise FileProblemError("the file's name holds one of * ? [ ] { }; rename it")
        if delivery.format == "parquet":
            footer = parquet_footer(path)
            if footer.unpacked_bytes > _most_unpacked(delivery.size_bytes):
                raise FileProblemError(
                    f"the Parquet file unpacks to more than {_MOST_UNPACKED} times its size: {footer.rows:,} rows"
                )
            typed = replace(delivery, types=tuple(kind for _, kind in footer.schema))
            return self._with_columns(typed, tuple(name for name, _ in footer.schema))
        _check_lines(path)
        return delivery if delivery.format == "jsonl" else self._with_columns(delivery, csv_header(path, open_bytes))

    def _with_columns(self, delivery: Delivery, found: tuple[str, ...]) -> Delivery:
        expected, needed = self._columns_of(delivery.feed)
        if lost := sorted(needed - set(found)):
            other = next((d for d in (";", "\t", "|") if len(found) == 1 and d in found[0]), None)
            hint = f"; it seems to be separated by {other!r}, expected a comma" if other else ""
            raise FileProblemError(f"columns {', '.join(lost[:5])} are missing{hint}")
        if len(set(found)) != len(found):
            raise FileProblemError("a column appears twice in the header")
        if reserved := [name for name in found if name.lower() in _RESERVED]:
            raise FileProblemError(f"the column {reserved[0]} bears a name that the reader needs; rename it")
        notes = []
        if absent := [name for name in expected if name not in found]:
            notes.append(f"without {', '.join(absent[:5])}: taken as not measured")
        if unknown := [name for name in found if name not in expected]:
            notes.append(unknown_columns(unknown))
        return replace(delivery, columns=found, note="; ".join(notes))

    def _columns_of(self, feed: str) -> tuple[dict[str, str], frozenset[str]]:
        """Columns of a feed with their types, and those that must be there; asked for every file, worked out once."""
        if feed not in self._expected:
            needed = frozenset(rule.column for rule in feed_rules(self._site, feed) if rule.kind == "not_null")
            self._expected[feed] = (raw_schema(self._site, feed), needed)
        return self._expected[feed]


def _most_unpacked(size_bytes: int) -> int:
    """How many bytes a packed file of this size may become."""
    return max(_SMALL_BYTES, size_bytes * _MOST_UNPACKED)


def _check_lines(path: Path) -> None:
    """Refuse a broken gzip stream, and a line so long that DuckDB's reader would leave it out without a word."""
    longest = run = unpacked = 0
    most = _most_unpacked(path.stat().st_size)
    try:
        with open_bytes(path) as file:
            while chunk := file.read(_CHUNK):
                unpacked += len(chunk)
                if is_packed(path) and unpacked > most:
                    raise FileProblemError(f"the gzip file unpacks to more than {_MOST_UNPACKED} times its size")
                first = chunk.find(b"\n")
                longest = max(longest, run + (len(chunk) if first < 0 else first))
                run = run + len(chunk) if first < 0 else len(chunk) - chunk.rfind(b"\n") - 1
                # A line wholly inside a chunk is shorter than the chunk, so it needs no look.
                if longest > MAX_LINE_BYTES:
                    raise FileProblemError(f"a line is longer than {MAX_LINE_BYTES >> 20} MiB")
    except (OSError, EOFError, zlib.error) as error:
        what = "gzip file" if is_packed(path) else "file"
        raise FileProblemError(f"the {what} is broken: {error}") from error
