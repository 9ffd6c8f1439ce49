"""From files to the servers of `services up`, and from those into a second home: processes as a person starts them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestration.environment import default_site
from orchestration.services import control
from orchestration.services.settings import Place
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.publish import publish
from tests.servers import free_port

COMMAND = (sys.executable, "-c", "from orchestration.cli.main import main; main()")
KPIS = {"oee": 0.71, "premium_ratio": 0.93, "conversion_cost_usd_per_kwh": 24.5, "throughput_kwh_per_day": 8125.0}


class Shell:
    """A shell of its own for a home; `.` as a person types it."""

    def __init__(self, home: Home) -> None:
        chosen = ("CELLWORKS_", "AWS_", "PG", "DAGSTER_HOME")
        self.home = home
        self._env = {name: value for name, value in os.environ.items() if not name.startswith(chosen)} | {
            "CELLWORKS_HOME": str(home.root),
            "CELLWORKS_SITE": str(default_site()),
        }

    def source(self) -> Shell:
        """A second shell, in which `services/env` was read."""
        other = Shell(self.home)
        lines = Place.of(self.home).environment.read_text(encoding="utf-8").splitlines()
        words = [shlex.split(line.removeprefix("export "))[0] for line in lines]
        other._env |= dict(word.split("=", 1) for word in words)
        return other

    def run(self, *arguments: str) -> dict[str, Any]:
        """What a command prints as JSON; it has to succeed."""
        done = self._done(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def refused(self, *arguments: str) -> str:
        """What a command says that has to fail."""
        done = self._done(*arguments)
        assert done.returncode == 2, (done.returncode, done.stderr)
        return done.stdout + done.stderr

    def _done(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], env=self._env, capture_output=True, text=True, timeout=400, check=False
        )


@pytest.fixture
def homes() -> Iterator[tuple[Shell, Shell]]:
    """Two homes that PostgreSQL, another user where the tests run as root, may pass through."""
    roots = [Path(tempfile.mkdtemp(prefix="cellworks-test-")) for _ in range(2)]
    for root in roots:
        root.chmod(0o711)
    yield Shell(Home(roots[0])), Shell(Home(roots[1]))
    for root in roots:
        control.down(Home(root))
        shutil.rmtree(root)


def fill(home: Home) -> None:
    """Figures that `status` shows, of a published snapshot that is no longer the newest."""
    with writer(home, why="test") as con:
        figures = ", ".join(f"{value}::DOUBLE AS {name}" for name, value in KPIS.items())
        con.execute("CREATE SCHEMA IF NOT EXISTS lake.marts")
        con.execute(f"CREATE TABLE lake.marts.kpi_day AS SELECT DATE '2026-11-26' AS production_day, {figures}")
        publish(con, "kpi", "a run")
        con.execute("UPDATE lake.marts.kpi_day SET oee = 0")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("is_whole", [False, True])
def test_an_instance_moves_to_the_servers_of_its_home_and_from_a_backup_to_those_of_another(
    is_whole: bool, homes: tuple[Shell, Shell], tmp_path: Path
) -> None:
    shell, other = homes
    shell.run("init")
    fill(shell.home)
    before = shell.run("status")
    assert before["kpis"] == KPIS

    assert "cellworks migrate" in shell.refused("services", "up", "--port", str(free_port()))
    assert not shell.run("services", "down")["stopped"]  # it was refused before anything started

    shell.run("services", "up", "--stores")
    assert shell.run("status") == before  # the files are still the instance's
    assert "cellworks migrate" in shell.source().refused("status")
    assert shell.source().run("migrate")["moved"]
    if is_whole:
        up = shell.source().run("services", "up", "--port", str(free_port()))
        assert {"postgres", "s3", "mlflow", "code-demo", "daemon", "proxy"} <= {each["name"] for each in up["services"]}
    moved = shell.source()
    assert moved.run("status") == before
    assert str(Place.of(shell.home).environment) in shell.refused("status")
    assert str(Place.of(shell.home).environment) in shell.refused("nightly")

    taken = moved.run("backup", str(tmp_path / "backup"))
    other.run("services", "up", "--stores")
    assert other.source().run("restore", str(tmp_path / "backup"))["files"] == taken["files"]
    assert other.source().run("status") == before
    assert "services/env" in other.refused("init")

    # In a shell that has read the file the servers are still those of the home.
    assert moved.run("services", "down")["stopped"]
    again = moved.run("services", "up", "--stores")
    assert [each["healthy"] for each in again["services"]] == [True, True]
    assert moved.run("status") == before
