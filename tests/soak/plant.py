"""The plant of the soak while it runs: its servers, its days through Dagster's own door, its runs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.definitions.run_request import InstigatorType

from orchestration.cli.plant_commands import prepare_instance
from orchestration.plant import plant
from orchestration.services import control
from orchestration.services.settings import Place, load
from pipelines.lake.home import Home
from tests.servers import free_port
from tests.soak.installation import SITE

_COMMAND = (sys.executable, "-c", "from orchestration.cli.main import main; main()")
_LAUNCH = """mutation($job: String!, $site: String!) { launchRun(executionParams: {
    selector: {jobName: $job, repositoryName: "__repository__", repositoryLocationName: $site}, mode: "default"
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_OPEN = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


class RunningPlant:
    """The installation with its servers up, and a temporary folder of its own, in which nothing may stay."""

    def __init__(self, project: Path, site: Path, home: Home, temporary: Path) -> None:
        self.home = home
        self.temporary = temporary
        temporary.mkdir()
        temporary.chmod(0o1777)  # PostgreSQL is another user where we are root
        self._project = project
        self._env = {
            **os.environ,
            "CELLWORKS_HOME": str(home.root),
            "CELLWORKS_SITE": str(site),
            "PYTHONPATH": str(project),
            "TMPDIR": str(temporary),
        }

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run a command to its end; what it prints as JSON."""
        done = subprocess.run(
            [*_COMMAND, *arguments, "--json"],
            cwd=self._project,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"cellworks {shlex.join(arguments)}: {(done.stderr or done.stdout)[-3000:]}")
        return dict(json.loads(done.stdout))

    @contextmanager
    def up(self) -> Iterator[DagsterInstance]:
        """Servers up within the block; their environment is this process's and its commands', too."""
        try:
            self.command("services", "up", "--port", str(free_port()))
            self._env |= _exported(Place.of(self.home).environment)
            os.environ.update({name: value for name, value in self._env.items() if name != "PYTHONPATH"})
            prepare_instance(plant())
            with DagsterInstance.get() as instance:
                yield instance
        finally:
            control.down(self.home)

    def deliver(self) -> None:
        """Ask for the twin's next day, as a person does who launches the job in the pages."""
        settings = load(Place.of(self.home))
        assert settings is not None
        body = json.dumps({"query": _LAUNCH, "variables": {"job": "plant_day", "site": SITE}}).encode()
        url = f"http://127.0.0.1:{settings.port}/dagster/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.loads(answer.read())
        if told.get("data", {}).get("launchRun", {}).get("__typename") != "LaunchRunSuccess":
            raise RuntimeError(f"the day was not launched: {told}")


def _exported(file: Path) -> dict[str, str]:
    words = [shlex.split(line.removeprefix("export "))[0] for line in file.read_text(encoding="utf-8").splitlines()]
    return dict(word.split("=", 1) for word in words)


def stop_schedules(instance: DagsterInstance) -> None:
    """No further night or maintenance after the last day, so that what waits comes to an end."""
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE):
        instance.stop_schedule(state.instigator_origin_id, state.selector_id, None)


def settle(instance: DagsterInstance, patience_s: float) -> bool:
    """Wait until no run waits or is under way; whether it came to that."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if instance.get_runs_count(RunsFilter(statuses=_OPEN)) == 0:
            return True
        time.sleep(1)
    return False


class Ledger:
    """Runs and how they ended, noted while they are there: old ones go."""

    def __init__(self) -> None:
        self.ended: dict[str, tuple[str, str]] = {}

    def note(self, instance: DagsterInstance) -> None:
        """Look at all runs."""
        for run in instance.get_runs():
            if run.is_finished:
                self.ended[run.run_id] = (run.job_name, run.status.value)

    def counts(self) -> dict[str, dict[str, int]]:
        """Runs by job and end."""
        found = Counter(self.ended.values())
        jobs = sorted({job for job, _ in found})
        return {job: {end: count for (name, end), count in sorted(found.items()) if name == job} for job in jobs}
