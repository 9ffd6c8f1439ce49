"""What an error of the lake means: worth another try, a server that is away, or damage, and how a person mends it."""

from __future__ import annotations

import re

import duckdb

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.lock import LockLostError

# What a busy or momentarily inconsistent catalogue says; anything else is not worth a second try.
_TRANSIENT = (
    "database is locked",
    "database table is locked",
    "busy",
    "failed to commit ducklake",
    "transaction conflict",
    "could not serialize access",
)
# What a server says, or does not say any more, while it restarts.
_AWAY = (
    "unable to connect to postgres",
    "connection refused",
    "server closed the connection",
    "terminating connection",
    "the database system is",  # starting up, shutting down, in recovery mode
    "no connection to the server",
    "connection to server",
    "could not connect",
    "could not establish connection",
    "couldn't connect",
    "timeout was reached",
    "failure when receiving data",
    "failed sending data",
    "server returned nothing",
    "transferred a partial file",
)
# DuckDB says it as `HTTP code 503`, `returned HTTP 503` and `(HTTP 503 ...)`.
_AWAY_STATUS = re.compile(r"\bhttp (?:code )?(?:429|50[0234])\b")
_CATALOGUE_DAMAGED = ("database disk image is malformed", "file is not a database")
_FILE_DAMAGED = (
    "magic bytes",
    "too small to be a parquet file",
    "no files found",
    "cannot open file",
    "no such file",
    "footer",
    "corrupt",
    "thrift",
    "decompression failure",
    "failed to read file",
    "tprotocolexception",
    "http 404",
    "reading past",
    "out of buffer",
)
_PARQUET = re.compile(r"[^\s\"']+\.parquet")
_RESTORE = (
    "put the instance back with `cellworks restore` into another CELLWORKS_HOME (docs/how-to/back-up-and-move.md)"
)


def is_transient(error: BaseException) -> bool:
    """Whether an error of DuckDB is a busy catalogue that a second try may get past."""
    return isinstance(error, duckdb.Error) and any(sign in str(error).lower() for sign in _TRANSIENT)


def is_away(error: BaseException) -> bool:
    """Whether an error says that a server is not there for the moment, or was away since the lock was taken."""
    if isinstance(error, LockLostError):
        return True
    if not isinstance(error, duckdb.Error):
        return False
    said = str(error).lower()
    return any(sign in said for sign in _AWAY) or _AWAY_STATUS.search(said) is not None


def unopened(home: Home, snapshot: int | None, error: duckdb.Error) -> CellworksError:
    """What a person is told when the lake's catalogue does not open."""
    found = str(error).splitlines()[0]
    if snapshot is not None and "snapshot" in found.lower():
        return CellworksError(
            f"the lake has no snapshot {snapshot}",
            expected="a snapshot that was published or pinned",
            found=found,
            mend="take a newer one; expired snapshots do not come back",
        )
    return CellworksError(
        "the lake can't be opened",
        expected="an undamaged DuckLake catalogue",
        found=found,
        mend=f"{_RESTORE}; nothing was changed",
        where=home.stores.catalogue,
    )


def damage(home: Home, error: duckdb.Error) -> CellworksError | None:
    """What a person is told when a file of the lake is damaged or lost; None when the error says something else."""
    text = str(error)
    if any(sign in text.lower() for sign in _CATALOGUE_DAMAGED):
        return CellworksError(
            "the lake's catalogue is damaged",
            expected="an undamaged SQLite file",
            found=text.splitlines()[0],
            mend=f"{_RESTORE}; nothing was changed",
        )
    named, data = _PARQUET.search(text), home.stores.data_path.removeprefix("s3://")
    if named and data in named.group() and any(sign in text.lower() for sign in _FILE_DAMAGED):
        return CellworksError(
            "a data file of the lake is damaged or lost",
            expected="the Parquet file as it was written",
            found=text.splitlines()[0],
            mend="copy this one file back from a backup (docs/how-to/back-up-and-move.md): such files never change",
            where=named.group(),
        )
    return None


def refuse_unready(home: Home) -> None:
    """Refuse to write where an instance was moved away, or is half restored.

    Raises:
        CellworksError: it was, or is.
    """
    if home.stores.lake_url is None and home.moved_file.is_file():
        raise CellworksError(
            "this instance was moved to servers",
            expected="CELLWORKS_ENV=servers and the servers' addresses",
            found="CELLWORKS_ENV=embedded",
            mend="set them; or remove this file and site.json, to go on here from the moment of the move",
            where=str(home.moved_file),
        )
    if home.restoring_file.is_file():
        raise CellworksError(
            "a restore into this home did not end",
            expected="a whole instance",
            found="a part of one",
            mend="run `cellworks restore` again with the same backup",
            where=str(home.restoring_file),
        )
    if home.stores.lake_url is None and not home.catalogue.exists() and next(home.data_dir.rglob("*.parquet"), None):
        raise CellworksError(
            "the lake's catalogue is gone, but its data files are there",
            expected="both, or neither",
            found="data without a catalogue",
            mend=f"{_RESTORE}; nothing was changed",
            where=str(home.catalogue),
        )
