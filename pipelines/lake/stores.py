"""Where an instance's catalogue, data, registry and runs are kept: `CELLWORKS_ENV` chooses.

Belongs here: what differs between the embedded default (SQLite and files of the home) and servers (PostgreSQL and
S3-compatible storage). Not here: anything that opens a connection. Credentials are read from the names that libpq and
AWS's libraries read; they are never part of an address.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from pipelines.lake.home import Home

ENV_VARIABLE: Final = "CELLWORKS_ENV"
POSTGRES_VARIABLE: Final = "CELLWORKS_POSTGRES_URL"
S3_VARIABLE: Final = "CELLWORKS_S3_URL"
ENDPOINT_VARIABLE, KEY_VARIABLE = "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"
SECRET_VARIABLE, REGION_VARIABLE = "AWS_SECRET_ACCESS_KEY", "AWS_REGION"
CA_VARIABLE: Final = "AWS_CA_BUNDLE"
DATABASES: Final = ("lake", "dagster", "mlflow", "optuna")
"""A database each: Dagster's, MLflow's and Optuna's migrations would share one table of versions otherwise."""


@dataclass(frozen=True)
class ObjectStore:
    """An S3-compatible store.

    Attributes:
        url: `s3://bucket/prefix`, without a slash at its end.
        endpoint: address of the service, `http(s)://host:port`.
        key: access key; secret: its secret, never shown.
        region: region that requests are signed for.
        ca_file: file (PEM) of the authorities that may have signed the service's certificate; None for well-known ones.
    """

    url: str
    endpoint: str
    key: str
    secret: str
    region: str
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"ObjectStore({self.url} at {self.endpoint})"


@dataclass(frozen=True)
class Stores:
    """The stores of one instance.

    Attributes:
        name: `embedded` or `servers`.
        catalogue: source of the DuckLake attachment, such as `ducklake:sqlite:<file>`.
        data_path: where the lake's Parquet lies, with a separator at its end.
        extensions: DuckDB extensions that the attachment needs.
        mlflow_uri: tracking and registry address of MLflow.
        mlflow_artifacts: folder or `s3://` address of MLflow's artifacts.
        dagster_url: address of Dagster's storage; None for SQLite below `DAGSTER_HOME`.
        lake_url: address of the catalogue's database; None for SQLite.
        optuna_url: address of the database of studies that several workers share; None where a search is one process's.
        objects: the object store; None for files.
    """

    name: str
    catalogue: str
    data_path: str
    extensions: tuple[str, ...]
    mlflow_uri: str
    mlflow_artifacts: str
    dagster_url: str | None = None
    lake_url: str | None = None
    optuna_url: str | None = None
    objects: ObjectStore | None = None


def stores_of(home: Home) -> Stores:
    """The stores that `CELLWORKS_ENV` chooses for an instance.

    Raises:
        CellworksError: the variable names no environment, or the servers are named incompletely.
    """
    named = os.environ.get(ENV_VARIABLE, "").strip() or "embedded"
    make = _ENVIRONMENTS.get(named)
    if make is None:
        raise CellworksError(
            "no such environment",
            expected=" or ".join(_ENVIRONMENTS),
            found=named,
            mend="correct it, or leave it out for the embedded stores",
            where=ENV_VARIABLE,
        )
    return make(home)


def embedded_stores(home: Home) -> Stores:
    """The stores in files of the home, whatever the environment says."""
    return Stores(
        name="embedded",
        catalogue=f"ducklake:sqlite:{home.catalogue}",
        data_path=f"{home.data_dir}{os.sep}",
        extensions=("ducklake", "sqlite_scanner"),
        mlflow_uri=f"sqlite:///{home.root / 'mlflow' / 'mlflow.sqlite'}",
        mlflow_artifacts=str(home.root / "mlflow" / "artifacts"),
    )


def _servers(home: Home) -> Stores:  # noqa: ARG001 - the map's functions take the same
    urls = {database: database_url(_server_url(), database) for database in DATABASES}
    objects = _object_store()
    return Stores(
        name="servers",
        catalogue=f"ducklake:postgres:{urls['lake']}",
        data_path=f"{objects.url}/lake/",
        extensions=("ducklake", "postgres_scanner", "httpfs"),
        mlflow_uri=urls["mlflow"],
        mlflow_artifacts=f"{objects.url}/mlflow",
        dagster_url=urls["dagster"],
        lake_url=urls["lake"],
        optuna_url=urls["optuna"],
        objects=objects,
    )


_ENVIRONMENTS: Final[Mapping[str, Callable[[Home], Stores]]] = {"embedded": embedded_stores, "servers": _servers}


def database_url(server: str, database: str) -> str:
    """The address of one of our databases on a server: the server's own name, an underscore and `database`."""
    parts = urlsplit(server)
    return urlunsplit(parts._replace(path=f"{parts.path}_{database}"))


def _server_url() -> str:
    url = _required(POSTGRES_VARIABLE, "postgresql://user@host:5432/cellworks")
    parts = urlsplit(url)
    if parts.scheme != "postgresql" or len(parts.path) < 2 or "/" in parts.path[1:]:
        raise _wrong(POSTGRES_VARIABLE, "postgresql://user@host:5432/cellworks", _without_password(url))
    if parts.password is not None or "password" in dict(parse_qsl(parts.query)):
        raise CellworksError(
            "the address of PostgreSQL holds a password, which would be shown wherever the address is",
            expected="an address without one",
            found=_without_password(url),
            mend="put it into a file of libpq's form and name that with PGPASSFILE, or set PGPASSWORD",
            where=POSTGRES_VARIABLE,
        )
    return url


def _object_store() -> ObjectStore:
    url = _required(S3_VARIABLE, "s3://bucket/prefix").rstrip("/")
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc:
        raise _wrong(S3_VARIABLE, "s3://bucket/prefix", _without_password(url))
    endpoint = _required(ENDPOINT_VARIABLE, "https://s3.example.org")
    service = urlsplit(endpoint)
    if service.scheme not in ("http", "https") or not service.netloc or "@" in service.netloc:
        raise _wrong(ENDPOINT_VARIABLE, "https://s3.example.org", _without_password(endpoint))
    return ObjectStore(
        url=url,
        endpoint=endpoint.rstrip("/"),
        key=_required(KEY_VARIABLE, "the access key"),
        secret=_required(SECRET_VARIABLE, "the access key's secret"),
        region=os.environ.get(REGION_VARIABLE, "").strip() or "us-east-1",
        ca_file=_authorities() if service.scheme == "https" else None,
    )


def _authorities() -> str | None:
    named = os.environ.get(CA_VARIABLE, "")
    if not named:
        return None
    # DuckDB takes a file alone, boto3 a folder as well.
    if not Path(named).is_file():
        raise no_authorities(named, "it is a folder" if Path(named).is_dir() else "there is no such file")
    return named


def no_authorities(file: str, reason: str) -> CellworksError:
    """What a person is told when a file holds no authorities' certificates."""
    return CellworksError(
        f"{CA_VARIABLE} names no file of certificates",
        expected="a readable file with the certificates (PEM) of the authorities that may sign for the object store",
        found=f"{file}: {reason}",
        mend=f"correct {CA_VARIABLE}, or leave it out where a well-known authority signed",
        where=CA_VARIABLE,
    )


def _required(variable: str, form: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise CellworksError(
            f"{ENV_VARIABLE} is servers, but {variable} is not set",
            expected=form,
            found="nothing",
            mend=f"set {variable}, or take the embedded stores",
            where=variable,
        )
    return value


def _wrong(variable: str, form: str, found: str) -> CellworksError:
    return CellworksError(f"{variable} has another form", expected=form, found=found, mend="correct it", where=variable)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    query = urlencode([(name, "..." if name == "password" else value) for name, value in parse_qsl(parts.query)])
    return urlunsplit(parts._replace(netloc=user + host, query=query))
