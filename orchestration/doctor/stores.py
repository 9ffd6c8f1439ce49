"""Looks at the stores: settings, servers, the lake and its files, registry, runs, and what waits to be upgraded."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestration.doctor.finding import Finding, Installation, error, of, ok, warning
from orchestration.engines import instance_settings
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import current_snapshot, reader
from pipelines.lake.sql import quote_literal
from pipelines.lake.stores import (
    ENDPOINT_VARIABLE,
    ENV_VARIABLE,
    KEY_VARIABLE,
    POSTGRES_VARIABLE,
    S3_VARIABLE,
    SECRET_VARIABLE,
    ObjectStore,
    Stores,
)

if TYPE_CHECKING:
    from dagster import DagsterInstance

_SLOW_S = 0.5
_SKEW_S = 5.0
_PATIENCE_S = 10.0
_SHOWN = 3
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1", None)
"""Hosts of an address; none is a socket of this machine."""


def settings(it: Installation) -> Iterator[Finding]:
    """The stores are named completely."""
    if it.stores is not None:
        yield ok(f"stores: {it.stores.name}")
        return
    needed = (POSTGRES_VARIABLE, S3_VARIABLE, ENDPOINT_VARIABLE, KEY_VARIABLE, SECRET_VARIABLE)
    missing = [name for name in needed if not os.environ.get(name, "").strip()]
    if os.environ.get(ENV_VARIABLE) == "servers" and missing:
        yield error(f"{ENV_VARIABLE} is servers, but {', '.join(missing)} not set", f"set {', '.join(missing)}")
        return
    try:
        _ = it.home.stores
    except CellworksError as problem:
        yield of(problem)


def servers(it: Installation) -> Iterator[Finding]:
    """PostgreSQL and the object store answer, and how fast."""
    stores = it.stores
    if stores is None or stores.objects is None:
        return
    databases = {
        "lake": stores.lake_url,
        "dagster": stores.dagster_url,
        "mlflow": stores.mlflow_uri,
        "optuna": stores.optuna_url,
    }
    for name, url in databases.items():
        if url is not None:
            yield _timed(f"PostgreSQL, database of {name}", url, partial(_ask_postgres, url))
    yield from _in_plain_text(stores.lake_url, stores.objects.endpoint)
    from pipelines.lake.objects import client

    # Made before the watch starts: to load the library takes longer than the store does.
    try:
        service = client(stores.objects)
    except CellworksError as problem:  # its certificate is not believed
        yield of(problem)
        return
    ask = partial(_ask_objects, stores.objects, service)
    yield _timed(f"the object store, {stores.objects.url}", stores.objects.endpoint, ask)


def _in_plain_text(postgres: str | None, endpoint: str) -> Iterator[Finding]:
    """Stores on other machines to which rows and keys go as anybody on the way may read them."""
    found = []
    if postgres is not None and not _is_here(postgres) and not _is_encrypted(postgres):
        found.append(("PostgreSQL", "PGSSLMODE=verify-full and PGSSLROOTCERT"))
    if urlsplit(endpoint).scheme == "http" and not _is_here(endpoint):
        found.append(("the object store", f"an address with https in {ENDPOINT_VARIABLE}"))
    for what, mend in found:
        yield warning(f"{what} is on another machine and is spoken to in plain text", f"name {mend}")


def _is_here(address: str) -> bool:
    return urlsplit(address).hostname in _THIS_MACHINE


def _is_encrypted(url: str) -> bool:
    """Whether a connection to the server is; true where none comes about, which is told beside it."""
    from pipelines.lake.servers import connect

    try:
        with closing(connect(url)) as con:
            return bool(con.info.ssl_in_use)
    except (CellworksError, OSError):
        return True


def _timed(what: str, address: str, ask: Callable[[], str]) -> Finding:
    began = time.monotonic()
    try:
        told = ask()
    except CellworksError as problem:
        return of(problem)
    except OSError as problem:
        return error(f"{what} does not answer: {problem}", "start it, or correct its address and key")
    took_s = time.monotonic() - began
    if told:
        return error(f"{what}: {told}", "set the clocks of both machines by NTP")
    if took_s > _SLOW_S:
        mend = "see what keeps this machine busy, such as a night: " if _is_here(address) else "bring it nearer: "
        return warning(f"{what} took {took_s:.2f} s to answer", f"{mend}each statement waits that long")
    return ok(f"{what} answers within {took_s * 1000:.0f} ms")


def _ask_postgres(url: str) -> str:
    """What is wrong with the server's clock; empty when it fits."""
    from pipelines.lake.servers import connect

    with closing(connect(url)) as con, con.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        skew_s = float(cursor.fetchone()[0]) - time.time()
    return f"its clock is {skew_s:+.0f} s beside ours" if abs(skew_s) > _SKEW_S else ""


def _ask_objects(objects: ObjectStore, service: Any) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    place = urlsplit(objects.endpoint)
    port = place.port or (443 if place.scheme == "https" else 80)
    # First whether anybody listens: the client would try for half a minute.
    socket.create_connection((str(place.hostname), port), timeout=_PATIENCE_S).close()
    try:
        service.list_objects_v2(Bucket=urlsplit(objects.url).netloc, MaxKeys=1)
    except (BotoCoreError, ClientError) as problem:
        raise OSError(str(problem)) from problem
    return ""


def lake(it: Installation) -> Iterator[Finding]:
    """The lake opens, its newest snapshot reads, and every data file that it names is there in full."""
    if it.stores is None:
        return
    if not it.home.has_lake:
        yield warning("there is no lake yet", "run `cellworks init`, then `cellworks nightly`")
        return
    with reader(it.home) as con:
        snapshot = current_snapshot(con)
        tables = con.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'lake' ORDER BY ALL"
        ).fetchall()
        named: list[tuple[str, str, int]] = []
        for schema, table in tables:
            files = f"ducklake_list_files('lake', {quote_literal(table)}, schema => {quote_literal(schema)})"
            found = con.execute(f"SELECT data_file, data_file_size_bytes FROM {files}").fetchall()
            named += [(f"{schema}.{table}", str(file), int(size)) for file, size in found]
    size_of = _sizes(it.stores)
    wrong = [(table, file, size_of(file)) for table, file, size in named if size_of(file) != size]
    if wrong:
        shown = "; ".join(
            f"{table}: {file} {'is gone' if size is None else 'is cut'}" for table, file, size in wrong[:_SHOWN]
        )
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        yield error(f"{len(wrong)} data files of the lake are damaged: {shown}{more}", "put them back from a back-up")
    else:
        yield ok(
            f"snapshot {snapshot} of the lake reads: {len(tables)} tables, {len(named):,} files, all there in full"
        )


def _sizes(stores: Stores) -> Callable[[str], int | None]:
    """How to ask for the size of a data file, bytes; None for one that is not there."""
    if stores.objects is None:
        return lambda file: Path(file).stat().st_size if Path(file).is_file() else None
    from pipelines.lake.objects import client

    place = urlsplit(stores.data_path)
    pages = (
        client(stores.objects)
        .get_paginator("list_objects_v2")
        .paginate(Bucket=place.netloc, Prefix=place.path.lstrip("/"))
    )
    found = {
        f"s3://{place.netloc}/{each['Key']}": int(each["Size"]) for page in pages for each in page.get("Contents", [])
    }
    return found.get


def registry(it: Installation) -> Iterator[Finding]:
    """MLflow's store answers and is of this release."""
    if it.stores is None:
        return
    uri = it.stores.mlflow_uri
    file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    if file is not None and not file.is_file():
        yield ok("there is no registry yet; the first training makes it")
        return
    from models.registry.client import open_home
    from models.registry.place import elsewhere

    if file is not None and (others := elsewhere(file)):  # to open it would let them follow
        mend = "nothing is needed: the next command that opens the registry lets them follow"
        yield warning(f"this home was copied or moved: addresses of its registry are below {others[0]}", mend)
        return
    try:
        client = open_home(it.home)
        models = client.search_registered_models(max_results=1000)
    except CellworksError as problem:
        yield of(problem)
    else:
        yield ok(f"MLflow answers: {len(models)} registered models")
        yield from _key(it)
        reigning = sorted(model.name for model in models if "champion" in model.aliases)
        if reigning and it.stores.objects is None:  # from an object store each model would be fetched
            yield from _champions(it, client, reigning)


def rules(it: Installation) -> Iterator[Finding]:
    """The site's file says of who may do what what the lake knows."""
    from pipelines.access.rules import require, rules_of

    if it.site is None or it.stores is None or not it.home.has_lake:
        return
    with reader(it.home) as con:
        knows = require(con, rules_of(it.site))
    if knows:
        yield ok("the lake knows the rules of who may do what as the site's file has them")
    elif it.site.access.is_guarded:
        yield ok("the lake knows no rules of who may do what yet; the next act, or `cellworks init`, notes the site's")


def _key(it: Installation) -> Iterator[Finding]:
    """The key of this machine is the one that the servers know."""
    from models.registry.key import another_key, given_key, id_of, noted_key

    if it.stores is None or it.stores.lake_url is None:
        return
    given, noted = given_key(it.home), noted_key(it.stores.lake_url)
    if noted is None:
        yield ok("the servers know no registry key yet; the first training, or `cellworks init`, notes it")
    elif given is None or id_of(given) != noted.key_id:
        yield of(another_key(it.home, noted, given))
    else:
        yield ok(f"the registry key is the one that {noted.host} noted at {noted.at}")


def _champions(it: Installation, client: Any, names: list[str]) -> Iterator[Finding]:
    """The files of each champion are those that were registered, and it may act."""
    from models.registry.key import given_key, key_file
    from models.registry.versions import champion

    key = key_file(it.home)
    if given_key(it.home) is None:  # a look would make a new one
        mend = "put it back from a back-up; without it nothing is scored until the next nights have judged anew"
        yield error(f"{key} is gone, which verdicts and lists of files are sealed with", mend)
        return
    audited = it.site is not None and it.site.access.is_guarded
    found = (champion(it.home, name, client=client, audited=audited) for name in names)
    alarms = [each.alarm for each in found if each is not None and each.alarm is not None]
    for alarm in alarms:
        yield error(alarm, "`cellworks rollback`, a back-up, or the next night, which trains and judges anew")
    if not alarms:
        yield ok(f"the files of every champion ({len(names)}) are as they were registered")


def runs(it: Installation) -> Iterator[Finding]:
    """Dagster's storage answers, is of this release, and is set up as the platform wants it."""
    if it.stores is None:
        return
    settings = it.home.dagster_dir / "dagster.yaml"
    if not settings.is_file():
        yield warning("there is no Dagster instance yet", "run `cellworks init`")
        return
    if settings.read_bytes() != instance_settings(it.stores, it.home).encode():
        yield warning(
            f"{settings} is not as {it.stores.name}.yaml of this release", "run `cellworks init`: it writes it"
        )
    with opened(it) as instance:
        if instance is None:
            return
        count = instance.get_runs_count()
        storages: dict[str, Any] = {
            "runs": instance.run_storage,
            "events": instance.event_log_storage,
            "schedules": instance.schedule_storage,
        }
        behind = [
            name for name, each in storages.items() if each and (pair := each.alembic_version()) and pair[0] != pair[1]
        ]
    if behind:
        yield error(f"Dagster's storage of {', '.join(behind)} is of another release", "run `dagster instance migrate`")
    else:
        yield ok(f"Dagster's storage answers: {count} runs")


def opened(it: Installation) -> DagsterInstance | _Nothing:
    """Dagster's instance of the home, for a `with`; None within it where there is none."""
    from dagster import DagsterInstance

    if it.stores is None or not (it.home.dagster_dir / "dagster.yaml").is_file():
        return _Nothing()
    if it.stores.dagster_url is not None:
        os.environ["CELLWORKS_DAGSTER_URL"] = it.stores.dagster_url
    return DagsterInstance.from_config(str(it.home.dagster_dir))


class _Nothing:
    """Stands for an instance that is not there."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def upgrades(it: Installation) -> Iterator[Finding]:
    """The lake has what the site's plan asks for, and dbt has parsed the project of this release."""
    if it.site is None or it.stores is None or not it.home.has_lake:
        return
    from pipelines.curation.invoke import parsed_hash
    from pipelines.curation.project import current_hash
    from pipelines.lake.schemas import bootstrap_statements

    with reader(it.home) as con:
        pending = bootstrap_statements(con, it.site)
    if pending:
        yield warning(
            f"the lake lacks what the plan asks for: {len(pending)} statements, such as {pending[0]}",
            "run `cellworks init`; the next night does it as well",
        )
    parsed = parsed_hash(it.home)
    if parsed is not None and parsed != current_hash(it.site):
        yield warning("models or plan have changed since dbt parsed them", "the next night parses and rebuilds anew")
    elif not pending:
        yield ok("schemas and dbt's project are of this release")
