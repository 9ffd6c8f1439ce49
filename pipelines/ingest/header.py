"""What a file says about its columns, read without reading the file."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_HEADER_BYTES = 1 << 20


class FileProblemError(Exception):
    """A file that can't be read at all; the text says why and goes into quarantine."""


def is_packed(path: Path) -> bool:
    """Whether gzip packed the file, by its name."""
    return path.name.lower().endswith(".gz")


def csv_header(path: Path, open_bytes: Callable[[Path], io.BufferedIOBase]) -> tuple[str, ...]:
    """Column names of a CSV file.

    Args:
        path: the file.
        open_bytes: opens it, unpacking what is packed.

    Raises:
        FileProblemError: no header can be read.
    """
    try:
        with open_bytes(path) as file:
            first = file.readline(_HEADER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise FileProblemError(f"the gzip file is broken: {error}") from error
    # NUL first: UTF-16 without a mark decodes as UTF-8.
    if first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in first:
        raise FileProblemError("the file is not UTF-8 text (UTF-16?)")
    if not first.endswith(b"\n"):
        raise FileProblemError("the header has no line end: truncated, or a line that is too long")
    try:
        text = first.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileProblemError("the file is not UTF-8") from error
    try:
        return tuple(next(csv.reader(io.StringIO(text), strict=True), ()))
    except csv.Error as error:
        raise FileProblemError(f"the header can't be read: {error}") from error


@dataclass(frozen=True)
class Footer:
    """What the footer of a Parquet file says.

    Attributes:
        schema: names and types (Arrow's words) of the columns.
        rows: how many there are.
        unpacked_bytes: size of the values without packing; at least a byte each, as in CSV, since a value that repeats
            itself takes none and becomes as many.
    """

    schema: tuple[tuple[str, str], ...]
    rows: int
    unpacked_bytes: int


def parquet_footer(path: Path) -> Footer:
    """The footer of a Parquet file.

    Raises:
        FileProblemError: it is broken or missing (a truncated file).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        told = pq.read_metadata(path)
        schema = tuple((field.name, str(field.type)) for field in told.schema.to_arrow_schema())
        stored = sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups))
    except (pa.ArrowException, OSError) as error:
        raise FileProblemError(f"the Parquet file is broken: {str(error).splitlines()[0]}") from error
    return Footer(schema, told.num_rows, max(stored, told.num_rows * told.num_columns))
