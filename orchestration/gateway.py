"""The gateway before Dagster and MLflow: a configuration of Apache httpd with mod_auth_openidc, from a site's roles."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestration.environment import project_root
from pipelines.control_plan.access import ROLES, Access, Issuer
from pipelines.control_plan.errors import CellworksError

SECRET_VARIABLE: Final = "CELLWORKS_GATEWAY_SECRET"  # noqa: S105 - the name of a variable
PASSPHRASE_VARIABLE: Final = "CELLWORKS_GATEWAY_PASSPHRASE"  # noqa: S105 - the name of a variable
MODULE_DIR: Final = Path("/usr/lib/apache2/modules")
"""Where Debian puts the modules of httpd."""
USER: Final = "www-data"
"""Whom Debian's httpd serves as; without a name, one that root starts goes on as root."""
_MODULES = (
    *("mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc"),
    *("headers", "proxy", "proxy_http", "substitute"),
)
# What may stand between quotes of httpd's configuration and mean nothing but itself.
_PLAIN = re.compile(r"[\w.@+:/ -]+", re.ASCII)


@dataclass(frozen=True)
class Ports:
    """Ports of the loopback address at which the servers behind the gateway listen.

    Attributes:
        dagster: Dagster's webserver, started with `--path-prefix /dagster`.
        dagster_view: another of them, with `--read-only --path-prefix /dagster-view`.
        mlflow: MLflow with its auth app, `--static-prefix /mlflow`.
    """

    dagster: int
    dagster_view: int
    mlflow: int


@dataclass(frozen=True)
class Front:
    """What the gateway shows to the outside.

    Attributes:
        listen: `address:port`.
        host: the name that browsers know it by.
        folder: absolute folder of its pid and its logs.
        certificate: TLS certificate, PEM; key: its key. Without them it listens on the loopback address alone.
        ca_bundle: certificates, PEM, of whoever signed the issuer's; None for those that the machine knows.
        module_dir: where httpd's modules lie.
        user: whom it serves as when root starts it; also the name of the group.
    """

    listen: str
    host: str
    folder: Path
    certificate: Path | None = None
    key: Path | None = None
    ca_bundle: Path | None = None
    module_dir: Path = MODULE_DIR
    user: str = USER


def configuration(access: Access, front: Front, ports: Ports, jwks_url: str) -> str:
    """The configuration file of httpd.

    Args:
        access: the site's rules; identity is `oidc`.
        front: what is shown to the outside.
        ports: of the servers behind.
        jwks_url: address of the issuer's public keys.

    Raises:
        CellworksError: the site names no issuer, a name can't stand in a configuration, or the gateway would be
            open to the outside without TLS.
    """
    issuer = access.issuer
    if issuer is None:
        raise CellworksError(
            "a gateway needs an identity provider",
            expected="access with identity oidc, an issuer and roles",
            found=f"identity {access.identity}",
            mend="write it as docs/how-to/who-may-do-what.md shows",
            where="site.yaml: access",
        )
    _require_encryption(front)
    for text in (issuer.url, issuer.audience, jwks_url, front.listen, front.host, front.user, *map(str, _paths(front))):
        _plain(text)
    env = Environment(
        loader=FileSystemLoader(project_root() / "infra" / "gateway"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - httpd's configuration; every text that comes in was looked at by `_plain`
    )
    return env.get_template("apache.conf.j2").render(
        **{name: getattr(front, name) for name in Front.__dataclass_fields__},
        issuer=issuer,
        jwks_url=jwks_url,
        ports=ports,
        modules=(*_MODULES, *(("ssl", "socache_shmcb") if front.certificate else ())),
        claims=_claims(access, issuer),
        has_groups=any(each.groups for each in access.roles.values()),
    )


def _claims(access: Access, issuer: Issuer) -> dict[str, list[str]]:
    """Claims of which one is enough for a role: those of its holders and of the holders of each higher role."""
    own: dict[str, list[str]] = {}
    for role in ROLES:
        holders = access.roles.get(role)
        named = [] if holders is None else [
            *(f"{issuer.person_claim}:{name}" for name in holders.people),
            *(f"{issuer.groups_claim}:{name}" for name in holders.groups),
        ]  # fmt: skip
        own[role] = [_plain(each) for each in named]
    return {role: [claim for higher in ROLES[place:] for claim in own[higher]] for place, role in enumerate(ROLES)}


def _paths(front: Front) -> list[Path]:
    named = (front.folder, front.certificate, front.key, front.ca_bundle, front.module_dir)
    return [path for path in named if path is not None]


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise CellworksError(
            "that can't stand in the gateway's configuration",
            expected="letters, digits, blanks and . @ + : / _ -",
            found=repr(text),
            mend="give the person or group another name at the identity provider, or correct it",
        )
    return text


def _require_encryption(front: Front) -> None:
    address = front.listen.rpartition(":")[0].strip("[]")
    try:
        is_local = ipaddress.ip_address(address).is_loopback
    except ValueError as error:
        raise CellworksError(
            "the gateway's address has another form",
            expected="address:port, such as 0.0.0.0:443",
            found=front.listen,
            mend="correct --listen",
        ) from error
    if (front.certificate is None) != (front.key is None) or (front.certificate is None and not is_local):
        raise CellworksError(
            "the gateway would take tokens unencrypted",
            expected="a certificate and its key, or the loopback address",
            found=front.listen,
            mend="give --certificate and --key",
        )
