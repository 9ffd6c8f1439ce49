"""Dagster's daemon is killed while it ticks, queues and launches; each delivery is answered once, each tick ran once.

The code server lives on, as under `cellworks services up`, where each is a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestration.cli.plant_commands import prepare_instance
from orchestration.environment import SITE_VARIABLE, default_site
from orchestration.plant import plant
from orchestration.services import probes
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.lake.tables import has_table
from tests.end_to_end.conftest import PATIENCE_S, wait_for
from tests.faults.kills import SEED
from tests.orchestration.conftest import write_rule
from tests.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.long]
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
KILLS = 20
# A daemon that dies when it has told that a run starts, before it gives the run to the code server.
DYING = """
import os, signal
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._daemon.cli import main
DefaultRunLauncher.launch_run = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main()
"""
BEFORE, OVER = {"NOT_STARTED", "QUEUED", "STARTING"}, {"SUCCESS", "FAILURE", "CANCELED"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An instance with one rule over a person's own file; sensors look every second, and each minute has its upkeep."""
    site, home = tmp_path / "site", Home(tmp_path / "home")
    shutil.copytree(default_site(), site)
    text = (site / "site.yaml").read_text()
    begin = text.index("schedules:")
    end = text.index("\n\n", begin)
    ticking = 'sensor_interval_s: 1\nschedules:\n  maintenance: "* * * * *"'
    (site / "site.yaml").write_text(text[:begin] + ticking + text[end:])
    named = {SITE_VARIABLE: site, "CELLWORKS_HOME": home.root, "DAGSTER_HOME": home.dagster_dir, "PYTHONPATH": ROOT}
    for name, value in named.items():
        monkeypatch.setenv(name, str(value))
    here = plant()
    bootstrap(here.home.ensure(), here.site)
    write_rule(tmp_path, home.root)
    prepare_instance(here)
    return home


@contextmanager
def _logged(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, cwd=ROOT, env=os.environ.copy())
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def workspace(home: Home) -> Iterator[Path]:
    """A code server, and the file that names it to daemons."""
    port, file = free_port(), home.root / "workspace.yaml"
    file.write_text(f'load_from: [{{grpc_server: {{host: 127.0.0.1, port: {port}, location_name: "here"}}}}]\n')
    command = [str(BIN / "dagster"), "api", "grpc", "-h", "127.0.0.1", "-p", str(port), "--location-name", "here"]
    command += ["-m", "tests.faults.location", "-d", str(ROOT)]

    def is_served() -> bool:
        with contextlib.suppress(probes.UnhealthyError):
            probes.grpc("127.0.0.1", port)
            return True
        return False

    with _logged(command, home.root / "code.log"):
        wait_for("the code server", is_served)
        yield file


def _append(home: Home, name: str) -> None:
    """The file with one row more, in its place at once."""
    file, whole = home.root.parent / "graded.csv", home.root.parent / "whole.csv"
    whole.write_text(file.read_text() + f'"{name}",1180\n')
    whole.replace(file)


def _answers(home: Home) -> Counter[str]:
    with reader(home) as con:
        if not has_table(con, "solutions", "graded"):
            return Counter()
        return Counter(str(name) for (name,) in con.execute("SELECT id FROM solutions.graded").fetchall())


def test_a_killed_daemon_goes_on_where_it_was(
    home: Home, workspace: Path, record_property: Callable[[str, Any], None]
) -> None:
    import dagster as dg

    rng, wanted = random.Random(SEED), {"C1", "C2"}
    command = [str(BIN / "dagster-daemon"), "run", "-w", str(workspace)]
    log = home.root / "daemon.log"
    begun = time.monotonic()
    with dg.DagsterInstance.get() as instance, _logged(command, log):
        # What the daemon itself does ends where a run of its own has begun.
        wait_for("a run", lambda: any(run.status.value not in BEFORE for run in instance.get_runs()))
        lasts_s = time.monotonic() - begun
        wait_for("the first answers", lambda: set(_answers(home)) == wanted)
    shares = [(part + rng.random()) / KILLS for part in range(KILLS)]
    rng.shuffle(shares)
    for number, share in enumerate(shares):
        wanted.add(f"D{number}")
        _append(home, f"D{number}")
        # The moment of the kill is what is being tested; a daemon that ends by itself fails the test.
        with _logged(command, log) as daemon, pytest.raises(subprocess.TimeoutExpired):
            daemon.wait(share * lasts_s)

    with dg.DagsterInstance.get() as instance, _logged(command, log):
        wait_for("answers for all that came", lambda: set(_answers(home)) >= wanted)
        wait_for("the end of all runs", lambda: all(run.status.value in OVER for run in instance.get_runs()))
    answers = _answers(home)
    with dg.DagsterInstance.get() as instance:
        figures = _ticked(instance)
    figures |= {"kills": KILLS, "lost": len(wanted - set(answers)), "seconds_calm": round(lasts_s, 1)}
    figures["doubled"] = sum(answers.values()) - len(answers)
    record_property("figures", figures)
    wrong = ("lost", "doubled", "runs_of_a_key_twice", "runs_of_a_minute_twice", "runs_lost", "runs_failed")
    assert {name: figures[name] for name in wrong} == dict.fromkeys(wrong, 0)


def test_a_run_that_a_killed_daemon_never_handed_over_is_begun_by_the_next(
    home: Home, workspace: Path, record_property: Callable[[str, Any], None]
) -> None:
    import dagster as dg

    # As they are by default this takes five minutes.
    file = home.dagster_dir / "dagster.yaml"
    text, plain = file.read_text(), "run_monitoring:\n  enabled: true\n"
    assert text.count(plain) == 1
    file.write_text(text.replace(plain, f"{plain}  start_timeout_seconds: 30\n  poll_interval_seconds: 2\n"))
    log = home.root / "daemon.log"
    with _logged([sys.executable, "-c", DYING, "run", "-w", str(workspace)], log) as daemon:
        assert daemon.wait(PATIENCE_S) == -signal.SIGKILL, log.read_text()
    with dg.DagsterInstance.get() as instance:
        [left] = [run for run in instance.get_runs() if run.status.value == "STARTING"]
        with _logged([str(BIN / "dagster-daemon"), "run", "-w", str(workspace)], log):
            wait_for("answers for all that came", lambda: set(_answers(home)) == {"C1", "C2"})
            wait_for("the end of all runs", lambda: all(run.status.value in OVER for run in instance.get_runs()))
        # Which run was to be handed over first is the queue's affair: at a full minute a schedule has one, too.
        runs = [run for run in instance.get_runs() if left.run_id in (run.run_id, run.parent_run_id)]
    assert sorted(run.status.value for run in runs) == ["FAILURE", "SUCCESS"]
    answers = _answers(home)
    lost, doubled = 2 - len(answers), answers.total() - len(answers)
    record_property("figures", {"kills": 1, "runs": len(runs), "lost": lost, "doubled": doubled})
    assert (lost, doubled) == (0, 0)


def _ticked(instance: Any) -> dict[str, float]:
    """How runs and ticks belong together.

    A kill may hit the moment between a run's note and its hand-over: it never began, and the next daemon begins another
    in its place, with its tags. That one alone is the tick's run then.
    """
    everything = [record.dagster_run for record in instance.get_run_records()]
    begun = {record.dagster_run.run_id for record in instance.get_run_records() if record.start_time is not None}
    replaced = {run.parent_run_id for run in everything} - begun
    runs = [run for run in everything if run.run_id not in replaced]
    ids = {run.run_id for run in everything}
    keys = Counter(run.tags["dagster/run_key"] for run in runs if "dagster/run_key" in run.tags)
    minutes = Counter(
        (run.tags["dagster/schedule_name"], run.tags[".dagster/scheduled_execution_time"])
        for run in runs
        if "dagster/schedule_name" in run.tags
    )
    named = {
        run_id
        for state in instance.all_instigator_state()
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
        for run_id in tick.run_ids
    }
    return {
        "runs": len(runs),
        "runs_begun_anew": len(everything) - len(runs),
        "runs_failed": sum(run.status.value != "SUCCESS" for run in runs),
        "runs_of_ticks": len(named),
        "runs_lost": len(named - ids),
        "runs_of_a_key_twice": sum(count - 1 for count in keys.values()),
        "runs_of_a_minute_twice": sum(count - 1 for count in minutes.values()),
    }
