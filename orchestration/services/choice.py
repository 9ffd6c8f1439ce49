"""What is asked of `services up`, and the choices that follow from it: ports, which servers are ours."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from orchestration.services.settings import HOST, Place, Settings, load
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.stores import ENDPOINT_VARIABLE, POSTGRES_VARIABLE, S3_VARIABLE

DEFAULT_PORT: Final = 8080
_LONGEST_SOCKET = 90
"""Bytes; the system takes 107 (macOS 103), and supervisor adds its process id while it makes the socket."""


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
        CellworksError: the proxy's port is taken, the sites can't be served together, or the S3 endpoint is given by
            half.
    """
    before = load(place)
    sites, port = wanted.sites, wanted.port
    names = [each.name for each in sites]
    require_joint(sites)
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


def choose_beside(before: Settings | None, wanted: Wanted) -> tuple[Settings, Settings]:
    """The settings of what runs, and those asked for: the same, or all servers where only the stores run.

    Args:
        before: the settings of what runs; None where their file is gone.
        wanted: what is asked for.

    Raises:
        CellworksError: other ones are asked for, the proxy's port is taken, or the sites can't be served together.
    """
    sites = tuple(str(each) for each in wanted.sites)
    if before is not None and before.stores_only and not wanted.stores_only and before.sites == sites:
        require_joint(wanted.sites)
        if not wanted.is_guarded:
            require_free(wanted.port)
        return before, replace(before, port=wanted.port, stores_only=False, is_guarded=wanted.is_guarded)
    asked = (wanted.port, sites, wanted.stores_only, wanted.is_guarded)
    if before is None or (before.port, before.sites, before.stores_only, before.is_guarded) != asked:
        only = "stores only, " if wanted.stores_only else ""
        roles = "with roles" if wanted.is_guarded else "without roles"
        raise CellworksError(
            "the services of this home run already, and not those that are asked for",
            expected="the same as before, or none that run",
            found=f"{only}--port {wanted.port}, sites {', '.join(sites)}, {roles}",
            mend="run `cellworks services down` first",
        )
    return before, before


def require_joint(sites: Sequence[Path]) -> None:
    """Refuse sites that one Dagster could not tell apart, or that would let different people in by one door.

    Args:
        sites: their folders.

    Raises:
        CellworksError: two folders, or two sites, have one name, or their identity, issuer or roles differ.
    """
    of_folders = [each.name for each in sites]
    if len(set(of_folders)) < len(of_folders):
        raise CellworksError(
            "two sites have the same name, and each is a code location of that name",
            expected="folders of different names",
            found=", ".join(str(each) for each in sites),
            mend="rename one folder",
        )
    loaded = [load_site(each) for each in sites]
    names = [each.name for each in loaded]
    for name, folder in zip(names, sites, strict=True):
        if names.count(name) > 1:
            raise CellworksError(
                f"two sites call themselves {name}, and each would take the other's runs for its own",
                expected="sites of different names in their site.yaml",
                found=", ".join(f"{each} in {at}" for each, at in zip(names, sites, strict=True)),
                mend="give one of them another `name`, before it has runs of its own",
                where=f"{folder / 'site.yaml'}: name",
            )

    _require_one_door([(each.access.identity, each.access.issuer, each.access.roles) for each in loaded], sites)


def _require_one_door(rules: Sequence[object], sites: Sequence[Path]) -> None:
    """The pages of all sites are the same, and who is let in by the rules of one starts runs of the others."""
    other = next((site for rule, site in zip(rules, sites, strict=True) if rule != rules[0]), None)
    if other is not None:
        raise CellworksError(
            "sites behind one door let different people in",
            expected=f"identity, issuer and roles of {sites[0]} in each site.yaml",
            found=f"others in {other}",
            mend="give them the same, or give this one a home and a `cellworks services up` of its own",
            where=f"{other / 'site.yaml'}: access",
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
