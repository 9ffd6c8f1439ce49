"""What `services up` chose for this home: ports, sites, which servers are ours. No secret is in it.

Kept in a file, because each server's process, the watch and the next command must see the same. How it is chosen is
in `choice.py`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.whole_file import write_whole

HOST: Final = "127.0.0.1"


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
    write_whole(place.settings, json.dumps(asdict(settings), indent=2))
