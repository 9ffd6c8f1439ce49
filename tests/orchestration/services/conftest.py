"""A home for servers of its own, and what they leave in it and among the processes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestration.environment import default_site
from orchestration.services import control, credentials, leftovers
from orchestration.services.choice import Wanted, choose
from orchestration.services.layout import mark
from orchestration.services.settings import Place, Settings, save
from pipelines.lake.home import Home

GIVEN = ("CELLWORKS_POSTGRES_URL", "CELLWORKS_S3_URL", "AWS_ENDPOINT_URL", "PGPASSFILE", "PGPASSWORD")
PATIENCE_S = 60.0


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that another user may pass through, as PostgreSQL is one where the tests run as root."""
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)
    root = Path(tempfile.mkdtemp(prefix="cellworks-test-"))
    root.chmod(0o711)
    yield Home(root)
    control.down(Home(root))
    shutil.rmtree(root)


def chosen(home: Home, **fields: Any) -> Settings:
    """Settings as `services up` would choose them, written where the servers look."""
    place = Place.of(home).ensure()
    settings = replace(choose(place, Wanted((default_site(),), port=18443)), **fields)
    credentials.write_files(place, settings, home.root)
    save(place, settings)
    return settings


def eventually(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)


def service(found: dict[str, Any], name: str) -> dict[str, Any]:
    """What `status` says of one server."""
    return next(each for each in found["services"] if each["name"] == name)


def left(home: Home) -> list[psutil.Process]:
    """Processes of this home."""
    marked = leftovers.of(mark(home))
    named = [each for each in psutil.process_iter() if str(home.root) in " ".join(arguments(each))]
    return [*marked, *(each for each in named if each.pid != os.getpid())]


def arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def secrets_of(home: Home) -> list[str]:
    """The secrets that were made for a home."""
    return list(json.loads(Place.of(home).credentials.read_text()).values())


def files_that_tell(home: Home) -> set[str]:
    """Names of the files of a home in which a secret stands, but those that are there to hold them."""
    known = {"credentials.json", "env", "pgpass", "gateway-env"}
    secrets = [each.encode() for each in secrets_of(home)]
    files = [each for each in home.root.rglob("*") if each.is_file() and each.name not in known]
    return {each.name for each in files if any(secret in each.read_bytes() for secret in secrets)}
