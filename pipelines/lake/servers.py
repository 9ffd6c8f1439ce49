"""What an instance on servers asks PostgreSQL itself: its databases, and whether there is a catalogue.

The lake's own traffic goes through DuckDB; this and the locks are the little beside it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.objects import ensure_bucket
from pipelines.lake.stores import DATABASES, Stores

_CONNECT_S = 10
_with_catalogue: set[str] = set()


def connect(url: str, application: str = "cellworks") -> Any:
    """A connection that commits each statement.

    Args:
        url: address of a database, without a password.
        application: what the server's list of connections calls it; 63 characters are kept.

    Raises:
        CellworksError: the server does not answer or refuses.
    """
    try:
        con = psycopg2.connect(url, connect_timeout=_CONNECT_S, application_name=application[:63])
    except psycopg2.OperationalError as error:
        if (reason := _tls_reason(error)) is not None:
            raise CellworksError(
                "PostgreSQL and this machine agree on no encryption, so nothing was said",
                expected=f"a certificate of {_place(url)} that an authority in PGSSLROOTCERT signed",
                found=reason,
                mend="name the file (PEM) of the authority's certificates with PGSSLROOTCERT, "
                "and the server by the name in its certificate",
                where="PGSSLMODE, PGSSLROOTCERT",
            ) from error
        raise CellworksError(
            "PostgreSQL does not answer",
            expected=f"a server at {_place(url)}",
            found=(str(error).strip() or "no answer").splitlines()[-1],
            mend="start it, or correct CELLWORKS_POSTGRES_URL; nothing was changed",
        ) from error
    con.autocommit = True
    return con


def _tls_reason(error: psycopg2.OperationalError) -> str | None:
    """What libpq says against the server's certificate or its lack of TLS; None where it is about something else."""
    signs = ("certificate", "ssl error", "does not support ssl")
    return next((line for line in str(error).splitlines() if any(sign in line.lower() for sign in signs)), None)


def ensure_stores(stores: Stores) -> None:
    """Create the databases and the bucket of an instance that are not there; nothing for embedded stores.

    Raises:
        CellworksError: a server does not answer, or the role may not create them.
        OSError: the object store does not answer, or refuses.
    """
    if stores.objects is not None:
        ensure_bucket(stores.objects)
    databases = (stores.lake_url, stores.dagster_url, stores.optuna_url, stores.mlflow_uri if stores.lake_url else None)
    for url in databases:
        if url is not None and not _exists(url):
            _create(url)


def has_catalogue(stores: Stores) -> bool:
    """Whether the catalogue's database holds a DuckLake; asked until it does, as a lake does not go away.

    Raises:
        CellworksError: the server does not answer.
    """
    url = stores.lake_url
    if url is None:
        raise ValueError("embedded stores have no server")
    if url not in _with_catalogue:
        if not _exists(url):
            return False
        con = connect(url)
        try:
            with con.cursor() as cursor:
                cursor.execute("SELECT to_regclass('ducklake_snapshot') IS NOT NULL")
                if not cursor.fetchone()[0]:
                    _refuse_half_moved(cursor, url)
                    return False
        finally:
            con.close()
        _with_catalogue.add(url)
    return True


def _refuse_half_moved(cursor: Any, url: str) -> None:
    cursor.execute("SELECT to_regclass('cellworks.arrival') IS NOT NULL")
    if cursor.fetchone()[0]:
        raise CellworksError(
            "an instance is on its way to these servers",
            expected="a whole one",
            found="a move or restore that did not end",
            mend="run the same `cellworks migrate` or `cellworks restore` again",
            where=_place(url),
        )


def _exists(url: str) -> bool:
    con = connect(at_postgres(url))
    try:
        with con.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_database(url)])
            return cursor.fetchone() is not None
    finally:
        con.close()


def _create(url: str) -> None:
    con = connect(at_postgres(url))
    try:
        with con.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_database(url))))
    except psycopg2.errors.DuplicateDatabase:
        pass  # another process of ours was first
    except psycopg2.errors.InsufficientPrivilege as error:
        raise CellworksError(
            f"database {_database(url)} is not there, and this role may not create it",
            expected="the databases of an instance, or a role with CREATEDB",
            found=str(error).strip(),
            mend=f'ask for CREATE DATABASE "{_database(url)}" OWNER of this role, for each of {", ".join(DATABASES)}',
            where=_place(url),
        ) from error
    finally:
        con.close()


def _database(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def at_postgres(url: str) -> str:
    """The server's own database, from which others are seen and created."""
    return urlunsplit(urlsplit(url)._replace(path="/postgres"))


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or 'its socket'}:{parts.port or 5432}"
