"""Connections to the lake: a private DuckDB in memory with the DuckLake attached as `lake`.

The extensions come from the wheels of the package index; nothing is downloaded at run time.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.control_plan.errors import CellworksError
from pipelines.lake import traffic, warm
from pipelines.lake.certificates import authorities, require_trusted
from pipelines.lake.home import Home
from pipelines.lake.lock import AWAY_S, DEFAULT_TIMEOUT_S, WHOLE, LockLostError, require_held, writer_lock
from pipelines.lake.sql import quote_literal
from pipelines.lake.stores import Stores, embedded_stores
from pipelines.lake.trouble import damage, is_away, is_transient, refuse_unready, unopened

ALIAS = "lake"
# Where Python runs no file (`python -c`, a child of a fork server), DuckDB takes it for a notebook: a connection that
# is no cursor of another draws a bar on standard output, among what a program reads there.
SILENCE = "SET enable_progress_bar = false"
_BUSY_TIMEOUT_MS = 30_000
_HTTP_RETRIES = 6
# Writers side by side want the same next number of a snapshot: short waits that hardly grow, about 12 s in all.
_COMMIT_RETRIES, _COMMIT_WAIT_MS, _COMMIT_BACKOFF = 100, 20, 1.03
_ATTEMPTS = 6
_LONGEST_WAIT_S = 2.0
_Result = TypeVar("_Result")


@cache
def extension_file(name: str) -> Path:
    """Path of an extension inside its wheel (`duckdb_extension_<name>`).

    Raises:
        CellworksError: the wheel is not installed, or for another DuckDB version.
    """
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        file = Path(folder) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        if file.is_file():
            return file
    raise CellworksError(
        f"the DuckDB extension '{name}' is not installed",
        expected=f"package duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}",
        found=f"looked in {folders or 'no such package'}",
        mend="run `make setup`",
    )


THREADS_VARIABLE = "CELLWORKS_THREADS"


def threads() -> int:
    """Threads of one connection: `CELLWORKS_THREADS`, else the cores up to 4."""
    named = os.environ.get(THREADS_VARIABLE, "")
    return max(1, int(named)) if named.isdigit() else min(os.cpu_count() or 1, 4)


def memory_limit() -> str:
    """DuckDB's memory limit: `CELLWORKS_MEMORY_LIMIT`, else 2500MB."""
    return os.environ.get("CELLWORKS_MEMORY_LIMIT", "").strip() or "2500MB"


def attach_statements(
    home: Home,
    *,
    read_only: bool = False,
    snapshot: int | None = None,
    alias: str = ALIAS,
    made_in: str | None = None,
    in_files: bool = False,
) -> list[str]:
    """The statements that turn an empty DuckDB into one with the lake attached and in use.

    Args:
        home: the instance.
        read_only: refuse writes through this connection.
        snapshot: see tables and views as of this snapshot; implies read only.
        alias: name of the attached lake.
        made_in: make a new catalogue in this schema of the server; None for the lake's own place.
        in_files: the lake in the home's files, whichever stores the environment chooses.

    Returns:
        SQL statements to be run in order (also by the dbt profile and the Great Expectations engine).
    """
    stores = embedded_stores(home) if in_files else home.stores
    statements = [
        f"SET extension_directory = {quote_literal(home.extension_dir)}",
        "SET autoinstall_known_extensions = false",
        "SET TimeZone = 'UTC'",
        SILENCE,
    ]
    statements += [f"LOAD {quote_literal(extension_file(name))}" for name in stores.extensions]
    statements += _server_statements(stores)
    options = [
        f"DATA_PATH {quote_literal(stores.data_path)}",
        "OVERRIDE_DATA_PATH true",
        *(f"{name} {value}" for name, value in catalogue_options(stores).items()),
        # Rows kept in the catalogue would need a table of it for every table of the lake; each scan of the catalogue
        # parses the definitions of all its tables first, which is most of the time of a short statement.
        "DATA_INLINING_ROW_LIMIT 0",
    ]
    if snapshot is not None:
        options.append(f"SNAPSHOT_VERSION {int(snapshot)}")
    if read_only or snapshot is not None:
        options.append("READ_ONLY")
    if made_in is not None:
        options.append(f"METADATA_SCHEMA {quote_literal(made_in)}")
    elif in_files or home.has_lake:
        # An emptied catalogue would be taken for a new one, and maintenance would delete its files as nobody's.
        options.append("CREATE_IF_NOT_EXISTS false")
    statements.append(f"ATTACH {quote_literal(stores.catalogue)} AS {alias} ({', '.join(options)})")
    statements.append(f"USE {alias}")
    return statements


def catalogue_options(stores: Stores) -> dict[str, str]:
    """Options of the attachment that belong to the kind of catalogue, as SQL literals."""
    if stores.lake_url is not None:
        return {}
    # Write-ahead journal: readers go on while a writer commits.
    return {"META_JOURNAL_MODE": "'WAL'", "META_BUSY_TIMEOUT": str(_BUSY_TIMEOUT_MS)}


def _server_statements(stores: Stores) -> list[str]:
    """Where the objects are and how to try again; the secret lives in the memory of the connection alone."""
    objects = stores.objects
    if objects is None:
        return []
    require_trusted(objects)
    endpoint = urlsplit(objects.endpoint)
    is_encrypted = endpoint.scheme == "https"
    secret = {
        "TYPE": "s3",
        "KEY_ID": quote_literal(objects.key),
        "SECRET": quote_literal(objects.secret),
        "REGION": quote_literal(objects.region),
        "ENDPOINT": quote_literal(endpoint.netloc),
        "URL_STYLE": "'path'",
        "USE_SSL": str(is_encrypted).lower(),
        "SCOPE": quote_literal(objects.url),
    }
    return [
        f"CREATE OR REPLACE SECRET cellworks ({', '.join(f'{name} {value}' for name, value in secret.items())})",
        *([f"SET ca_cert_file = {quote_literal(authorities(objects))}"] if is_encrypted else []),
        f"SET http_retries = {_HTTP_RETRIES}",
        f"SET ducklake_max_retry_count = {_COMMIT_RETRIES}",
        f"SET ducklake_retry_wait_ms = {_COMMIT_WAIT_MS}",
        f"SET ducklake_retry_backoff = {_COMMIT_BACKOFF}",
    ]


def retrying(work: Callable[[], _Result], attempts: int = _ATTEMPTS) -> _Result:
    """Run `work` again while the catalogue is busy or a server away; `work` is a whole batch, so no half is kept.

    Raises:
        duckdb.Error: the last error, when no attempt got through or it was no transient one.
        LockLostError: likewise.
    """
    until, attempt = time.monotonic() + AWAY_S, 0
    while True:
        attempt += 1
        try:
            return work()
        except (duckdb.Error, LockLostError) as error:
            is_worth = time.monotonic() < until if is_away(error) else attempt < attempts and is_transient(error)
            if not is_worth:
                raise
        wait_s = min(0.05 * 2 ** (attempt - 1), _LONGEST_WAIT_S)
        time.sleep(wait_s * (0.5 + random.random()))  # noqa: S311 - spreads retries, no secret


@contextlib.contextmanager
def _opened(home: Home, *, read_only: bool, snapshot: int | None) -> Iterator[DuckDBPyConnection]:
    objects = home.stores.objects
    settings = {
        "threads": threads(),
        "memory_limit": memory_limit(),
        "temp_directory": str(home.lake_dir / "tmp"),
        "preserve_insertion_order": True,
    }
    with warm.lent(settings, ALIAS) as own, own.cursor() as con:

        def attach() -> None:
            con.execute(f"DETACH DATABASE IF EXISTS {ALIAS}")  # of an attempt that failed half way
            for statement in attach_statements(home, read_only=read_only, snapshot=snapshot):
                con.execute(statement)

        try:
            retrying(attach)
        except duckdb.Error as error:
            if is_transient(error) or is_away(error):  # the caller may try its whole batch again
                raise
            raise unopened(home, snapshot, error) from error
        try:
            with contextlib.nullcontext() if objects is None else traffic.watched(own):
                yield con
        except duckdb.Error as error:
            if (damaged := damage(home, error)) is None:
                raise
            raise damaged from error


def require_lake(home: Home) -> None:
    """Refuse to go on in a home that has no lake.

    Raises:
        CellworksError: there is no lake yet.
    """
    if not home.has_lake:
        raise CellworksError(
            "there is no lake yet",
            expected=f"a catalogue at {home.stores.catalogue}",
            found="none",
            mend="run `cellworks init` and `cellworks nightly`, or point CELLWORKS_HOME at the right folder",
        )


@contextlib.contextmanager
def writer(
    home: Home, *, why: str, timeout_s: float = DEFAULT_TIMEOUT_S, area: str = WHOLE
) -> Iterator[DuckDBPyConnection]:
    """A writing connection; holds the writer lock of an area until the block ends.

    Args:
        home: the instance; created if it is not there.
        why: what is being done, for whoever has to wait.
        timeout_s: how long to wait for the lock.
        area: what is read, changed and written, which on servers others stay out of; see `pipelines.lake.lock`.

    Raises:
        CellworksError: another writer holds the lock, or an extension is missing.
    """
    with writer_lock(home, why, timeout_s, area):
        refuse_unready(home)
        home.ensure()
        with _opened(home, read_only=False, snapshot=None) as con:
            yield con


@contextlib.contextmanager
def reader(home: Home, *, snapshot: int | None = None) -> Iterator[DuckDBPyConnection]:
    """A reading connection; never waits for a writer.

    Args:
        home: the instance.
        snapshot: see the lake as of this snapshot; None for the newest at each query.

    Raises:
        CellworksError: there is no lake yet, or no such snapshot.
    """
    require_lake(home)
    with _opened(home, read_only=True, snapshot=snapshot) as con:
        yield con


@contextlib.contextmanager
def transaction(con: DuckDBPyConnection) -> Iterator[DuckDBPyConnection]:
    """BEGIN, then COMMIT, or ROLLBACK when the block raises (Ctrl-C included) or the writer lock was lost meanwhile."""
    con.execute("BEGIN TRANSACTION")
    try:
        yield con
        require_held()
    except BaseException:
        # A fatal error has ended the transaction already; the first error is the one to show.
        with contextlib.suppress(duckdb.Error):
            con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")


def create_missing(con: DuckDBPyConnection, *statements: str) -> None:
    """Run statements of the kind CREATE ... IF NOT EXISTS, where another writer may be creating the same.

    Args:
        con: a writing connection outside a transaction.
        statements: each of them; who comes second finds it there when he tries again.
    """
    for statement in statements:
        retrying(partial(con.execute, statement))


def current_snapshot(con: DuckDBPyConnection) -> int:
    """Number of the newest snapshot that the connection sees."""
    row = con.execute(f"SELECT id FROM ducklake_current_snapshot('{ALIAS}')").fetchone()
    return int(row[0]) if row else 0
