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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from duckdb import DuckDBPyConnection

from orchestration.cli.plant_commands import prepare_instance
from orchestration.plant import plant
from orchestration.services import control
from orchestration.services.settings import Place, load
from pipelines.control_plan.site import load_site
from pipelines.ingest.drop_folder import files_of
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table
from tests.servers import free_port
from tests.soak.installation import SITE

_COMMAND = (sys.executable, "-c", "from orchestration.cli.main import main; main()")
_LAUNCH = """mutation($job: String!, $site: String!) { launchRun(executionParams: {
    selector: {jobName: $job, repositoryName: "__repository__", repositoryLocationName: $site}, mode: "default"
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_SCHEDULES = """query($site: String!) {
  schedulesOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: $site}) {
    __typename ... on Schedules { results { name scheduleState { id } } } ... on PythonError { message }
  } }"""
_START = """mutation($name: String!, $site: String!) { startSchedule(scheduleSelector: {
    scheduleName: $name, repositoryName: "__repository__", repositoryLocationName: $site
  }) { __typename ... on PythonError { message } } }"""
_STOP = """mutation($id: String!) { stopRunningSchedule(id: $id) { __typename ... on PythonError { message } } }"""
_READ = {
    "csv": "read_csv(?, all_varchar = true, header = true)",
    "jsonl": "read_json(?, format = 'newline_delimited')",
    "parquet": "read_parquet(?, union_by_name = true)",
}
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
        self._site = site
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

    def rows(self) -> dict[str, int]:
        """Rows of the files that were delivered, counted by DuckDB alone, and what lake and quarantine hold of them."""
        site, files = load_site(self._site), dict[tuple[str, str], list[str]]()
        for feed, path, form in files_of(site, self.home.drop_dir):
            files.setdefault((feed, form), []).append(str(path))
        with reader(self.home) as con:
            delivered = sum(_count(con, _READ[form], [names]) for (_, form), names in files.items())
            feeds = sorted({feed for feed, _ in files})
            there = [feed for feed in feeds if has_table(con, "raw", feed)]
            taken_in = sum(_count(con, f"raw.{quote_identifier(feed)}", []) for feed in there)
            set_aside = _count(con, "lake.ops.quarantine WHERE list_contains(?, feed)", [feeds])
        return {"delivered": delivered, "taken_in": taken_in, "set_aside": set_aside}

    def all_came(self) -> bool:
        """Whether the lake holds each row that was delivered, or quarantine does, and none twice."""
        return all_came(self.rows())

    def launch(self, job: str) -> str:
        """Ask for a job, as a person does who launches it in the pages: `plant_day` is the twin's next day. Its run."""
        launched = self._ask(_LAUNCH, "LaunchRunSuccess", job=job, site=SITE)
        return str(launched["run"]["runId"])

    def start_schedules(self) -> None:
        """Nights and maintenance by the clock from now on."""
        for schedule in self._schedules():
            self._ask(_START, "ScheduleStateResult", name=schedule["name"], site=SITE)

    def stop_schedules(self) -> None:
        """No further night or maintenance by the clock, so that what waits comes to an end."""
        for schedule in self._schedules():
            self._ask(_STOP, "ScheduleStateResult", id=schedule["scheduleState"]["id"])

    def _schedules(self) -> list[dict[str, Any]]:
        return list(self._ask(_SCHEDULES, "Schedules", site=SITE)["results"])

    def _ask(self, query: str, wanted: str, **variables: str) -> dict[str, Any]:
        """What Dagster's pages answer to a query of one field; an error if that is not what is wanted."""
        settings = load(Place.of(self.home))
        assert settings is not None
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{settings.port}/dagster/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.loads(answer.read())
        found = dict(next(iter((told.get("data") or {}).values()), {}))
        if found.get("__typename") != wanted:
            raise RuntimeError(f"Dagster did not do what was asked ({variables}): {told}")
        return found


def all_came(rows: dict[str, int]) -> bool:
    """Whether as many rows were taken in or set aside as were delivered, and some were."""
    return rows["delivered"] > 0 and rows["taken_in"] + rows["set_aside"] == rows["delivered"]


def _count(con: DuckDBPyConnection, relation: str, values: list[Any]) -> int:
    return int(con.execute(f"SELECT count(*) FROM {relation}", values).fetchall()[0][0])


def _exported(file: Path) -> dict[str, str]:
    words = [shlex.split(line.removeprefix("export "))[0] for line in file.read_text(encoding="utf-8").splitlines()]
    return dict(word.split("=", 1) for word in words)


def went_well(instance: DagsterInstance, run_id: str, patience_s: float) -> bool:
    """Wait for the end of a run; whether it came, and as a success."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        run = instance.get_run_by_id(run_id)
        if run is not None and run.is_finished:
            return run.is_success
        time.sleep(1)
    return False


def settle(instance: DagsterInstance, patience_s: float, is_done: Callable[[], bool]) -> bool:
    """Wait until no run waits or is under way, and the sensors have nothing to ask for; whether it came to that."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if instance.get_runs_count(RunsFilter(statuses=_OPEN)) == 0 and is_done():
            return True
        time.sleep(1)
    return False


class Ledger:
    """Runs from now on and how they ended, noted while they are there: old ones go."""

    def __init__(self, instance: DagsterInstance) -> None:
        self.ended: dict[str, tuple[str, str]] = {}
        self._before = {run.run_id for run in instance.get_runs()}

    def note(self, instance: DagsterInstance) -> None:
        """Look at all runs."""
        for run in instance.get_runs():
            if run.is_finished and run.run_id not in self._before:
                self.ended[run.run_id] = (run.job_name, run.status.value)

    def counts(self) -> dict[str, dict[str, int]]:
        """Runs by job and end."""
        found = Counter(self.ended.values())
        jobs = sorted({job for job, _ in found})
        return {job: {end: count for (name, end), count in sorted(found.items()) if name == job} for job in jobs}
