"""A small plant of its own, taken through its first night by the command line, disturbed as nights are."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestration.run_lock import under_way
from pipelines.lake.home import Home
from pipelines.lake.lock import holder
from pipelines.lake.servers import ensure_stores

ROOT = Path(__file__).parents[2]
CELLWORKS = Path(sys.executable).parent / "cellworks"
PATIENCE_S = 1800.0
"""A night of all folders took a quarter of an hour on servers beside other work."""

# A relation that a few hundred cells show: what is wanted here is a champion, not a useful answer.
SOLUTION = """
type: orchestration.components.PredictiveModel
attributes:
  question: Which resistance does a tab weld have?
  entity: cell
  table: marts.cell_at_formation
  keys: [cell_id]
  acts_at: formation
  features: {select: [horn_weld_count, weld_energy_j, weld_time_s, weld_pressure_mpa, tab_welder_id]}
  target: {column: weld_resistance_uohm}
  task: regression
  split: {time: entered_at}
  gates: {max_coverage_gap: 0.1}
  search: {trials: 2, refit_trials: 1, max_rounds: 60}
"""

# Python loads this module of the path before anything else. What is no loopback is written down and refused.
REFUSING = """
import os, socket

def _refused(host):
    if isinstance(host, (bytes, bytearray)):
        host = host.decode()
    if host in (None, "", "localhost", "::1", "::") or str(host).startswith("127.") or host == "0.0.0.0":
        return False
    with open(os.environ["REFUSED_FILE"], "a") as file:
        file.write(f"{host}\\n")
    return True

def _guarded(name):
    bare = getattr(socket.socket, name)
    def guarded(self, *arguments):
        address = arguments[-1]
        if self.family in (socket.AF_INET, socket.AF_INET6) and _refused(address[0]):
            raise OSError(f"refused by the test: {address}")
        return bare(self, *arguments)
    setattr(socket.socket, name, guarded)

for name in ("connect", "connect_ex", "sendto"):
    _guarded(name)

def _looked_up(bare):
    def look_up(host, *arguments, **options):
        if _refused(host):
            raise socket.gaierror(f"refused by the test: {host}")
        return bare(host, *arguments, **options)
    return look_up

for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    setattr(socket, name, _looked_up(getattr(socket, name)))
"""


def wait_for(what: str, look: Callable[[], object], patience_s: float = PATIENCE_S) -> object:
    """The first true answer of `look`; fails after the patience."""
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        if answer := look():
            return answer
        time.sleep(0.2)
    pytest.fail(f"waited {patience_s:g} s in vain for {what}")


class SmallPlant:
    """An instance on a copy of the demo site, whose sensors look every five seconds."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        shutil.copytree(ROOT / "infra" / "sites" / "demo", self.site)
        _edit(self.site / "site.yaml", "\nschedules:", "\nsensor_interval_s: 5\nschedules:")
        _edit(self.site / "twin.yaml", "history_days: {value: 150", "history_days: {value: 20")
        self.home = Home(folder / "home")
        solution = self.home.root / "solutions" / "line" / "weld_resistance"
        solution.mkdir(parents=True)
        (solution / "defs.yaml").write_text(SOLUTION)
        guard = folder / "guard"
        guard.mkdir()
        (guard / "sitecustomize.py").write_text(REFUSING)
        self.refused_file = folder / "refused.txt"
        self.env = os.environ | {"CELLWORKS_HOME": str(self.home.root), "CELLWORKS_SITE": str(self.site)}
        self.guarded = self.env | {"PYTHONPATH": str(guard), "REFUSED_FILE": str(self.refused_file)}

    def copied(self, folder: Path) -> SmallPlant:
        """The same plant with its home copied, so that what follows does not touch this one."""
        there = copy.copy(self)
        there.home = Home(folder / "home")
        shutil.copytree(self.home.root, there.home.root)
        there.env = self.env | {"CELLWORKS_HOME": str(there.home.root)}
        there.guarded = self.guarded | {"CELLWORKS_HOME": str(there.home.root)}
        return there

    def start(self, *arguments: str, guarded: bool = False, log: Path | None = None) -> subprocess.Popen[str]:
        """Start the command line, as the leader of a group of its own."""
        out = subprocess.PIPE if log is None else log.open("w")
        return subprocess.Popen(
            [str(CELLWORKS), *arguments],
            env=self.guarded if guarded else self.env,
            stdout=out,
            stderr=subprocess.PIPE if log is None else subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # As from a terminal: a parallel runner of tests ignores Ctrl-C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, guarded: bool = False) -> Done:
        """Run the command line to its end."""
        return ended(self.start(*arguments, guarded=guarded))


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} in {file.name}"
    file.write_text(text.replace(old, new))


@dataclass(frozen=True)
class Done:
    """What a process left behind, and how long it took to end once it was asked to."""

    code: int
    out: str
    err: str
    seconds: float = 0.0


def ended(process: subprocess.Popen[str]) -> Done:
    """Wait for a process; what does not end is ended."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return Done(process.returncode, out or "", err or "")


@dataclass(frozen=True)
class FirstNight:
    """The plant after its first night, and what each process of it told.

    Attributes:
        servers: The environment that names its servers; empty for one on the embedded stores.
        interrupted: A night that got Ctrl-C while dbt built models; faults/ has one that takes rows in.
        second: A night begun beside the one under way.
        night: The night that went through.
    """

    plant: SmallPlant
    servers: dict[str, str]
    interrupted: Done
    second: Done
    night: Done


@pytest.fixture
def first_night(
    night_of_the_line: FirstNight, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> FirstNight:
    """The plant after its first night, with its stores for this process too."""
    if night_of_the_line.servers and request.node.get_closest_marker("embedded"):
        pytest.skip("changes the plant that others look at")
    for name, value in night_of_the_line.servers.items():
        monkeypatch.setenv(name, value)
    return night_of_the_line


@pytest.fixture(scope="session", params=["embedded", pytest.param("servers", marks=pytest.mark.servers)])
def night_of_the_line(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, parsed: Callable[[Path], Path]
) -> FirstNight:
    """The first night on either kind of stores; on servers where `make servers` asks for it."""
    folder = tmp_path_factory.mktemp("plant")
    parsed(folder / "home")
    named = request.getfixturevalue("servers").instance() if request.param == "servers" else {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setenv(name, value)
        ensure_stores(Home(folder / "home").stores)
        return _first_night(SmallPlant(folder), named)


def _first_night(plant: SmallPlant, servers: dict[str, str]) -> FirstNight:
    """Nine days of a small line, a night that is interrupted, and one that is not; sockets are refused all along."""
    options = ("--days", "9", "--seed", "5", "--scale", "0.12", "--telemetry-days", "1")
    simulated = plant.run("simulate", *options, guarded=True)
    assert simulated.code == 0, simulated.err
    interrupted = _interrupted(plant, "curate marts")
    begun = plant.start("nightly", "--json", guarded=True)
    wait_for("a night under way", lambda: begun.poll() is not None or under_way(plant.home))
    second = plant.run("nightly", guarded=True)
    return FirstNight(plant, servers, interrupted, second, ended(begun))


def _interrupted(plant: SmallPlant, why: str) -> Done:
    """A night that gets Ctrl-C when it holds the lake's writer lock for this."""
    begun = plant.start("nightly", guarded=True)
    wait_for(
        f"a night that does {why}",
        lambda: begun.poll() is not None or str(holder(plant.home).get("why", "")).startswith(why),
    )
    begun.send_signal(signal.SIGINT)
    begin = time.monotonic()
    done = ended(begun)
    return replace(done, seconds=time.monotonic() - begin)
