"""The real daemon, webserver and MLflow on loopback: a delivery is scored, a moved alias too, and all of it stops."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from models.registry.client import open_home
from models.registry.versions import sign_override
from pipelines.lake.connection import reader
from tests.end_to_end.conftest import FirstNight, SmallPlant, wait_for
from tests.orchestration.conftest import own_rows, write_solution

pytestmark = [pytest.mark.slow, pytest.mark.long]  # the sensors themselves are ticked in orchestration/

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


@contextmanager
def served(plant: SmallPlant) -> Iterator[Pages]:
    """The pages of a plant, stopped after the block if the block has not done so."""
    pages = Pages(plant)
    try:
        yield pages
    finally:
        if pages.process.poll() is None:
            pages.process.send_signal(signal.SIGINT)
            pages.process.wait(60)


def _count(plant: SmallPlant, slug: str, version: int) -> int:
    with reader(plant.home) as con:
        sql = f"SELECT count(*) FROM lake.solutions.{slug} WHERE model_version = ?"
        row = con.execute(sql, [version]).fetchone()
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


def _lives_on(pages: Pages, solution: str, deliver: Callable[[], None]) -> None:
    """What a UI left open does: score what arrives."""
    plant, slug = pages.plant, solution.rsplit("/", 1)[-1]
    wait_for("Dagster", lambda: pages.get(pages.dagster))
    wait_for("MLflow", lambda: pages.get(pages.mlflow))
    assert pages.ask("{version}")["version"]
    for port in (pages.dagster, pages.mlflow):
        assert _remote_assets(pages.get(port)) == []

    before = _count(plant, slug, 1)
    assert before > 0
    deliver()
    wait_for("predictions of what is new", lambda: _count(plant, slug, 1) > before)
    [run] = pages.runs("new_data")
    assert run["tags"]["dagster/sensor_name"] == "new_data"
    assert pages.runs("score") == [], "the night had taken in and scored all before it"


def _follows_the_alias(pages: Pages, solution: str) -> None:
    """What a moved alias names scores all rows."""
    plant, slug = pages.plant, solution.rsplit("/", 1)[-1]
    rows = _count(plant, slug, 1)
    client, name = open_home(plant.home), solution.replace("/", ".")
    made = client.create_model_version(name, client.get_model_version(name, "1").source)
    sign_override(plant.home, name, made.version, "Ana", "end-to-end test")
    client.set_registered_model_alias(name, "champion", made.version)
    wait_for("predictions by the new champion", lambda: _count(plant, slug, int(made.version)) >= rows)
    [scored] = pages.runs("score")
    assert scored["tags"]["cellworks/solution"] == solution
    assert scored["tags"][f"cellworks.version/{slug}"] == str(made.version)


def _stops(pages: Pages) -> None:
    """All of it goes, and leaves no process and no port behind."""
    plant = pages.plant
    pages.process.send_signal(signal.SIGINT)
    assert pages.process.wait(60) == 0, pages.log.read_text()[-3000:]
    assert _processes(plant.home.root) == []
    for port in (pages.dagster, pages.mlflow):
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def test_a_file_that_grew_is_scored_by_the_daemon_which_then_stops(
    tmp_path: Path, parsed: Callable[[Path], Path]
) -> None:
    plant = SmallPlant(tmp_path)
    parsed(plant.home.root)
    write_solution(tmp_path, "one", own_rows(400))
    trained = plant.run("nightly", "--only", "mine/one")
    assert trained.code == 0, trained.err

    def deliver() -> None:
        whole = tmp_path / "more.csv"
        whole.write_text((tmp_path / "one.csv").read_text() + "900001,0.5,0.5,bad\n")
        whole.replace(tmp_path / "one.csv")

    with served(plant) as pages:
        _lives_on(pages, "mine/one", deliver)
        _stops(pages)


@pytest.mark.embedded
def test_a_day_of_the_line_and_a_moved_alias_are_scored_by_the_daemon_which_then_stops(first_night: FirstNight) -> None:
    def deliver() -> None:
        delivered = first_night.plant.run("simulate", "--days", "1", "--telemetry-days", "0")
        assert delivered.code == 0, delivered.err

    with served(first_night.plant) as pages:
        _lives_on(pages, "line/weld_resistance", deliver)
        _follows_the_alias(pages, "line/weld_resistance")
        _stops(pages)
