"""The real daemon, webserver and MLflow on loopback: a delivery is scored, a moved alias too, and all of it stops."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.registry.client import open_home
from models.registry.versions import sign_override
from pipelines.lake.connection import reader
from tests.end_to_end.conftest import FirstNight, SmallPlant, wait_for

pytestmark = pytest.mark.slow

NAME, TABLE = "line.weld_resistance", "lake.solutions.weld_resistance"
_REMOTE = re.compile(r"""(?:src|href|import|url)\s*[=(:]?\s*["'(]?(?:https?:)?//([^"'/)\s]+)""")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pages:
    """The served instance."""

    def __init__(self, plant: SmallPlant) -> None:
        self.plant = plant
        self.dagster, self.mlflow = _free_port(), _free_port()
        self.log = plant.home.root / "ui.log"
        ports = ("--dagster-port", str(self.dagster), "--mlflow-port", str(self.mlflow))
        self.process = plant.start("ui", *ports, log=self.log)

    def get(self, port: int, path: str = "/") -> str:
        """A page; empty while nobody serves it."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            return ""

    def ask(self, query: str) -> dict[str, Any]:
        """An answer of Dagster's GraphQL."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.dagster}/graphql",
            json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.loads(answer.read())
        assert "errors" not in told, told
        return dict(told["data"])

    def runs(self, job: str) -> list[dict[str, Any]]:
        """Runs of a job, newest first, with their tags."""
        query = '{runsOrError(filter: {pipelineName: "%s"}) {... on Runs {results {runId status tags {key value}}}}}'
        return [
            {**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}}
            for run in self.ask(query % job)["runsOrError"]["results"]
        ]


@pytest.fixture
def pages(first_night: FirstNight) -> Iterator[Pages]:
    served = Pages(first_night.plant)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.process.send_signal(signal.SIGINT)
            served.process.wait(60)


def _count(plant: SmallPlant, version: int) -> int:
    with reader(plant.home) as con:
        row = con.execute(f"SELECT count(*) FROM {TABLE} WHERE model_version = ?", [version]).fetchone()
    return int(row[0]) if row else 0


def _remote_assets(page: str) -> list[str]:
    return [host for host in _REMOTE.findall(page) if not host.startswith(("127.", "localhost"))]


def _processes(home: Path) -> list[str]:
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"CELLWORKS_HOME={home}".encode() in environ.read_bytes().split(b"\0"):
                found.append((environ.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_a_delivery_and_a_moved_alias_are_scored_by_the_daemon_which_then_stops(pages: Pages) -> None:
    plant = pages.plant
    wait_for("Dagster", lambda: pages.get(pages.dagster))
    wait_for("MLflow", lambda: pages.get(pages.mlflow))
    assert pages.ask("{version}")["version"]
    for port in (pages.dagster, pages.mlflow):
        assert _remote_assets(pages.get(port)) == []

    before = _count(plant, 1)
    assert before > 0
    delivered = plant.run("simulate", "--days", "1", "--telemetry-days", "0")
    assert delivered.code == 0, delivered.err
    wait_for("predictions for the new day", lambda: _count(plant, 1) > before)
    [run] = pages.runs("new_data")
    assert pages.runs("score") == [], "the night had taken in and scored all before it"
    assert run["tags"]["dagster/sensor_name"] == "new_data"

    client = open_home(plant.home)
    made = client.create_model_version(NAME, client.get_model_version(NAME, "1").source)
    sign_override(plant.home, NAME, made.version, "Ana", "end-to-end test")
    client.set_registered_model_alias(NAME, "champion", made.version)
    wait_for("predictions by the new champion", lambda: _count(plant, int(made.version)) > before)
    [scored, *_] = [run for run in pages.runs("score") if "cellworks/solution" in run["tags"]]
    assert scored["tags"]["cellworks/solution"] == "line/weld_resistance"
    assert scored["tags"]["cellworks.version/weld_resistance"] == str(made.version)

    pages.process.send_signal(signal.SIGINT)
    assert pages.process.wait(60) == 0, pages.log.read_text()[-3000:]
    assert _processes(plant.home.root) == []
    for port in (pages.dagster, pages.mlflow):
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
