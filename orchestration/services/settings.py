"""What `services up` chose for this home: ports, sites, which servers are ours. No secret is in it.

Kept in a file, because each server's process, the watch and the next command must see the same.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
from pipelines.lake.stores import ENDPOINT_VARIABLE, POSTGRES_VARIABLE, S3_VARIABLE

HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080
_LONGEST_SOCKET = 90
"""Bytes; the system takes 107 (macOS 103), and supervisor adds its process id while it makes the socket."""


@dataclass(frozen=True)
class Settings:
    """The choices of one `services up`.

    Attributes:
        port: of the reverse proxy, the one door where no site names roles.
        ports: of each server behind it, by name.
        sites: folder of each site; the first is the home's own.
        postgres_url: address of PostgreSQL, without a password.
        owns_postgres: whether we start it; else it was given.
        endpoint: address of the S3 endpoint.
        s3_url: bucket and prefix.
        owns_s3: whether we start it.
        socket: of the supervisor.
        stores_only: whether PostgreSQL and S3 are all that is started.
        is_guarded: whether a site names roles, so that the door is the gateway, which knows who somebody is.
    """

    port: int
    ports: dict[str, int]
    sites: tuple[str, ...]
    postgres_url: str
    owns_postgres: bool
    endpoint: str
    s3_url: str
    owns_s3: bool
    socket: str
    stores_only: bool
    is_guarded: bool = False

    @property
    def site_names(self) -> tuple[str, ...]:
        """Name of each site: of its folder, which is the name of its code location."""
        return tuple(Path(each).name for each in self.sites)


@dataclass(frozen=True)
class Place:
    """The folder of the servers in a home and the names of what lies in it."""

    root: Path

    @classmethod
    def of(cls, home: Home) -> Place:
        """The place in a home."""
        return cls(home.root / "services")

    def ensure(self) -> Place:
        """Make the folders, closed to other people. Returns itself.

        PostgreSQL refuses to run as root; then it runs as another user, who must get through to its data, and the
        files beside it are closed one by one.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.logs, self.s3, self.caddy):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
        return self

    @property
    def settings(self) -> Path:
        """What the last `up` chose."""
        return self.root / "settings.json"

    @property
    def credentials(self) -> Path:
        """Secrets of the servers that are ours."""
        return self.root / "credentials.json"

    @property
    def passwords(self) -> Path:
        """Password file in libpq's form."""
        return self.root / "pgpass"

    @property
    def environment(self) -> Path:
        """Shell file with the variables by which the commands find the servers."""
        return self.root / "env"

    @property
    def mlflow(self) -> Path:
        """Settings of MLflow's auth app."""
        return self.root / "mlflow-auth.ini"

    @property
    def gateway(self) -> Path:
        """Shell file with the password by which the gateway asks MLflow."""
        return self.root / "gateway-env"

    @property
    def supervisor(self) -> Path:
        """Configuration of the supervisor."""
        return self.root / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        """Process id of the supervisor, while it runs."""
        return self.root / "supervisord.pid"

    @property
    def workspace(self) -> Path:
        """Dagster's list of code servers."""
        return self.root / "workspace.yaml"

    @property
    def lock(self) -> Path:
        """Held by `up` and `down`."""
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        """A file of each server, turned over at 5 MB."""
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data."""
        return self.root / "postgres"

    @property
    def s3(self) -> Path:
        """A folder of each bucket."""
        return self.root / "s3"

    @property
    def caddy(self) -> Path:
        """State of the reverse proxy."""
        return self.root / "caddy"


@dataclass(frozen=True)
class Wanted:
    """What is asked of `services up`.

    Attributes:
        sites: folder of each site; the first is the home's own.
        port: of the reverse proxy.
        stores_only: start PostgreSQL and S3 alone.
    """

    sites: tuple[Path, ...]
    port: int = DEFAULT_PORT
    stores_only: bool = False

    @property
    def is_guarded(self) -> bool:
        """Whether one of the sites names roles."""
        return any(load_site(each).access.is_guarded for each in self.sites)


def choose(place: Place, wanted: Wanted) -> Settings:
    """The settings of a new `up`: what was chosen before where it can be kept, else free ports.

    Raises:
        CellworksError: the proxy's port is taken, two sites have one name, or the S3 endpoint is given by half.
    """
    before = load(place)
    sites, port = wanted.sites, wanted.port
    names = [each.name for each in sites]
    if len(set(names)) < len(names):
        raise CellworksError(
            "two sites have the same name, and each is a code location of that name",
            expected="folders of different names",
            found=", ".join(str(each) for each in sites),
            mend="rename one folder",
        )
    is_guarded = wanted.is_guarded
    if not wanted.stores_only and not is_guarded:
        require_free(port)
    servers = ["postgres", "s3", "mlflow", "webserver", "webserver-view", *(f"code-{name}" for name in names)]
    ports = _ports(servers, {} if before is None else before.ports, taken=port)
    postgres, endpoint, s3_url = _given(before)
    if endpoint and not s3_url:
        raise CellworksError(
            f"{ENDPOINT_VARIABLE} names an S3 endpoint, but {S3_VARIABLE} no bucket",
            expected="both, or neither to have one started here",
            mend=f"set {S3_VARIABLE} to s3://bucket/prefix",
            where=S3_VARIABLE,
        )
    return Settings(
        port=port,
        ports=ports,
        sites=tuple(str(each) for each in sites),
        postgres_url=postgres or f"postgresql://cellworks@{HOST}:{ports['postgres']}/cellworks",
        owns_postgres=not postgres,
        endpoint=endpoint or f"http://{HOST}:{ports['s3']}",
        s3_url=s3_url if endpoint else "s3://cellworks/site",
        owns_s3=not endpoint,
        socket=_socket(place) if before is None or not Path(before.socket).parent.is_dir() else before.socket,
        stores_only=wanted.stores_only,
        is_guarded=is_guarded,
    )


def _given(before: Settings | None) -> tuple[str, str, str]:
    """PostgreSQL, S3 endpoint and bucket that the environment names; what our own shell file says names none."""
    postgres, endpoint, s3_url = (
        os.environ.get(name, "").strip() for name in (POSTGRES_VARIABLE, ENDPOINT_VARIABLE, S3_VARIABLE)
    )
    if before is not None and before.owns_postgres and postgres == before.postgres_url:
        postgres = ""
    if before is not None and before.owns_s3 and (endpoint, s3_url) == (before.endpoint, before.s3_url):
        endpoint = s3_url = ""
    return postgres, endpoint, s3_url


def load(place: Place) -> Settings | None:
    """What the last `up` chose; None before the first.

    Raises:
        CellworksError: the file is damaged.
    """
    try:
        told = json.loads(place.settings.read_text(encoding="utf-8"))
        return Settings(**{**told, "sites": tuple(told["sites"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise CellworksError(
            "the settings of the services can't be read",
            expected="what `cellworks services up` wrote",
            found=str(error),
            mend="run `cellworks services down`, delete the file, then `cellworks services up`",
            where=str(place.settings),
        ) from error


def save(place: Place, settings: Settings) -> None:
    """Write the settings."""
    place.settings.write_text(json.dumps(asdict(settings), indent=2), encoding="utf-8")


def _socket(place: Place) -> str:
    inside = place.root / "supervisor.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET:
        return str(inside)
    return str(Path(tempfile.mkdtemp(prefix="cellworks-")) / "supervisor.sock")


def _ports(names: Sequence[str], before: dict[str, int], *, taken: int) -> dict[str, int]:
    """A port for each name: the one that it had if that is free, else any. All are held until all are found."""
    found: dict[str, int] = {}
    held: list[socket.socket] = []
    try:
        for name in names:
            for wish in (before.get(name, 0), 0, 0):
                probe = socket.socket()
                held.append(probe)
                if _bound(probe, wish) and probe.getsockname()[1] != taken:
                    found[name] = probe.getsockname()[1]
                    break
    finally:
        for probe in held:
            probe.close()
    return found


def _bound(probe: socket.socket, port: int) -> bool:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port))
    except OSError:
        return False
    return True


def require_free(port: int) -> None:
    """Refuse a port that the proxy can't listen at.

    Raises:
        CellworksError: it can't.
    """
    with socket.socket() as probe:
        if not _bound(probe, port):
            raise CellworksError(
                f"port {port} of {HOST} can't be used",
                expected="a free port for the reverse proxy",
                mend="stop what listens there, or give another with --port",
            )
