"""Table files beside the lake (CSV, Parquet, JSON lines): how a name tells them, and how DuckDB reads them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_literal

_READERS = {
    ".csv": "read_csv({}, sample_size = -1)",
    ".tsv": "read_csv({}, delim = '\t', sample_size = -1)",
    ".csv.gz": "read_csv({}, sample_size = -1)",
    ".parquet": "read_parquet({})",
    ".jsonl": "read_json({}, format = 'newline_delimited')",
}
SUFFIXES = tuple(_READERS)
OWN_COPY = "raw.own__"
"""Begins the name of the lake's copy of a person's own file."""


def file_suffix(table: str) -> str | None:
    """The suffix by which a table name is a file, None when it is a lake relation."""
    lowered = table.lower()
    return next((suffix for suffix in sorted(_READERS, key=len, reverse=True) if lowered.endswith(suffix)), None)


def resolve_file(table: str, root: Path | None) -> Path:
    """A file table's path: as it is when absolute, else below `root` (default: the working directory).

    Raises:
        CellworksError: there is no such file.
    """
    path = Path(table).expanduser()
    path = path if path.is_absolute() else (root or Path.cwd()) / path
    if not path.is_file():
        raise CellworksError(
            f"the table file is not there: {table}",
            expected="a readable CSV, Parquet or JSON-lines file",
            found=f"nothing at {path}",
            mend="correct `table` in the solution's defs.yaml",
        )
    return path.resolve()


def file_relation(path: Path) -> str:
    """SQL that stands for a table file in FROM; the suffix says how it is read.

    Raises:
        ValueError: no suffix of a table file.
    """
    suffix = file_suffix(path.name)
    if suffix is None:
        raise ValueError(f"{path.name} is no table file")
    return _READERS[suffix].format(quote_literal(path))


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content: the 'snapshot' of a table that is no lake table."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
