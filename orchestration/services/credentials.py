"""Secrets of the servers that are ours: made once, kept in files of mode 0600, handed on by environment alone."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import string
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from models.registry.key import KEY_VARIABLE as REGISTRY_KEY_VARIABLE
from orchestration.services import mlflow_login
from orchestration.services.settings import HOST, Place, Settings
from pipelines.lake.stores import (
    ENDPOINT_VARIABLE,
    ENV_VARIABLE,
    KEY_VARIABLE,
    POSTGRES_VARIABLE,
    S3_VARIABLE,
    SECRET_VARIABLE,
    database_url,
)

_LETTERS = string.ascii_letters + string.digits
POSTGRES_SECRETS: Final = ("PGPASSFILE", "PGPASSWORD")
S3_SECRETS: Final = (KEY_VARIABLE, SECRET_VARIABLE, "AWS_SESSION_TOKEN")
MODEL_SECRETS: Final = (REGISTRY_KEY_VARIABLE,)


@dataclass(frozen=True)
class Credentials:
    """Secrets of PostgreSQL, of the S3 endpoint and of MLflow's users and forms; never shown."""

    postgres_password: str = field(repr=False, metadata={"length": 40})
    s3_key: str = field(repr=False, metadata={"length": 20})
    s3_secret: str = field(repr=False, metadata={"length": 40})
    mlflow_admin_password: str = field(repr=False, metadata={"length": 40})
    mlflow_viewer_password: str = field(repr=False, metadata={"length": 40})
    mlflow_form_key: str = field(repr=False, metadata={"length": 40})


def load(place: Place) -> Credentials:
    """The home's secrets, each made at the first call that needs it."""
    file = place.credentials
    told = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    made = {each.name: told.get(each.name) or _random(each.metadata["length"]) for each in fields(Credentials)}
    if made != told:
        write_private(file, json.dumps(made))
    return Credentials(**made)


def environment(place: Place, settings: Settings, home: Path, site: int = 0) -> dict[str, str]:
    """The variables by which a process of a site finds the servers.

    A further site has a home, databases and a prefix of its own: data of two sites in one lake could not be told apart.
    A server that was given keeps the secrets of the caller's environment.

    Args:
        place: the servers' folder.
        settings: what was chosen.
        home: folder of the instance.
        site: which of the sites; 0 is the home's own.
    """
    name = settings.site_names[site]
    found = {
        "CELLWORKS_HOME": str(home if site == 0 else home / "sites" / name),
        "CELLWORKS_SITE": settings.sites[site],
        ENV_VARIABLE: "servers",
        POSTGRES_VARIABLE: settings.postgres_url if site == 0 else database_url(settings.postgres_url, name),
        S3_VARIABLE: settings.s3_url if site == 0 else f"{settings.s3_url}-{name}",
        ENDPOINT_VARIABLE: settings.endpoint,
    }
    if settings.owns_postgres:
        found["PGPASSFILE"] = str(place.passwords)
    if settings.owns_s3:
        ours = load(place)
        found |= {KEY_VARIABLE: ours.s3_key, SECRET_VARIABLE: ours.s3_secret}
    return found


def write_files(place: Place, settings: Settings, home: Path) -> None:
    """Write libpq's password file, MLflow's and the gateway's, and for each site the shell file for its commands."""
    ours = load(place)
    if settings.owns_postgres:
        line = f"{HOST}:{settings.ports['postgres']}:*:cellworks:{ours.postgres_password}\n"
        write_private(place.passwords, line)
    write_private(place.mlflow, mlflow_login.settings_text(database_url(settings.postgres_url, "mlflow")))
    write_private(place.gateway, f"export {mlflow_login.VIEWER_VARIABLE}={ours.mlflow_viewer_password}\n")
    for index, site in enumerate(settings.site_names):
        told = environment(place, settings, home, index)
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in told.items()]
        file = place.environment if index == 0 else place.environment.with_name(f"env-{site}")
        write_private(file, "".join(lines))


def write_private(file: Path, text: str) -> None:
    """Write a file that nobody else can read at any moment, whole or not at all."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text)
    new.replace(file)


def without(environment: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """The environment less some variables."""
    return {name: value for name, value in environment.items() if name not in names}


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
