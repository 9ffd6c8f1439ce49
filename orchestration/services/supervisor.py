"""The supervisor (supervisord): its configuration, and talking to it over its socket."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import xmlrpc.client
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import psutil

from orchestration.environment import project_root
from orchestration.services.layout import MARK, Service, mark, program
from orchestration.services.settings import Place, Settings
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

WATCH: Final = "watch"
_RETRIES: Final = 4
"""Starts that may fail in a row, 1, 2, 3, ... s apart; then the watch tries again each minute."""
_PATIENCE_S: Final = 20.0
_GLANCE_S: Final = 0.1
_HEAD: Final = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile={log}
logfile_maxbytes=5MB
logfile_backups=3
pidfile={pid}
directory={folder}
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


def write(home: Home, settings: Settings, services: tuple[Service, ...]) -> None:
    """Write the supervisor's configuration; no secret is in it."""
    place = Place.of(home)
    head = _HEAD.format(
        socket=_plain(settings.socket),
        log=_plain(place.logs / "supervisord.log"),
        pid=_plain(place.supervisor_pid),
        folder=_plain(project_root()),
        user="user=root\n" if os.geteuid() == 0 else "",
    )
    programs = [_program(home, each.name, "child", each.signal, each.patience_s) for each in services]
    watch = _program(home, WATCH, "watch", "TERM", 10)
    place.supervisor.write_text("\n".join([head, *programs, watch]), encoding="utf-8")


def _program(home: Home, name: str, module: str, signal: str, patience_s: int) -> str:
    log = Place.of(home).logs / f"{name}.log"
    command = " ".join(f'"{each}"' for each in (sys.executable, "-m", f"orchestration.services.{module}"))
    return (
        f"[program:{name}]\n"
        f'command={_plain(command)} "{_plain(home.root)}" {name}\n'
        f"directory={_plain(project_root())}\n"
        f'environment={MARK}="{_plain(mark(home, name))}"\n'
        "autostart=false\nautorestart=true\nstartsecs=3\n"
        f"startretries={_RETRIES}\nstopsignal={signal}\nstopwaitsecs={patience_s}\n"
        # PostgreSQL's own processes are its own business.
        f"stopasgroup={'false' if name == 'postgres' else 'true'}\nkillasgroup=true\n"
        f"redirect_stderr=true\nstdout_logfile={_plain(log)}\nstdout_logfile_maxbytes=5MB\nstdout_logfile_backups=3\n"
    )


def _plain(value: object) -> str:
    return str(value).replace("%", "%%")


def is_running(place: Place) -> bool:
    """Whether the supervisor of this home is alive."""
    return _process(place) is not None


def _process(place: Place) -> psutil.Process | None:
    """The supervisor's process. After a power cut the number in its file may be another program's by now."""
    try:
        found = psutil.Process(int(place.supervisor_pid.read_text(encoding="utf-8")))
        return found if str(place.supervisor) in found.cmdline() else None
    except (FileNotFoundError, ValueError, psutil.Error):
        return None


def start(place: Place, settings: Settings) -> None:
    """Start it in the background, and wait until it can be spoken to.

    Raises:
        CellworksError: it does not start.
    """
    command = [program("supervisord"), "-c", str(place.supervisor)]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=False)  # noqa: S603
    until = time.monotonic() + _PATIENCE_S
    while done.returncode == 0 and time.monotonic() < until:
        if answers(settings):
            return
        time.sleep(_GLANCE_S)
    raise CellworksError(
        "the supervisor does not start",
        expected="supervisord in the background",
        found=(done.stderr or done.stdout).strip()[-500:] or "no answer",
        mend=f"read {place.logs / 'supervisord.log'}",
    )


def reread(settings: Settings) -> None:
    """Let it take on the processes that its configuration has since it started, and forget those that it lost.

    Those that run go on; what is to be forgotten was stopped before.
    """
    ((added, _, removed),) = door(settings).supervisor.reloadConfig()
    for name in removed:
        door(settings).supervisor.removeProcessGroup(name)
    for name in added:
        door(settings).supervisor.addProcessGroup(name)


def stop(place: Place, settings: Settings | None) -> None:
    """End it, and wait until it is gone; without settings its socket is not known, and it is told by a signal."""
    process = _process(place)
    if process is None:
        return
    if settings is None or not _shut_down(settings):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs([process], timeout=_PATIENCE_S)


def _shut_down(settings: Settings) -> bool:
    """Whether it took the order; not where somebody tidied up the temporary folder with its socket."""
    try:
        door(settings).supervisor.shutdown()
    except (OSError, HTTPException):
        return False
    return True


def answers(settings: Settings) -> bool:
    """Whether it can be spoken to."""
    try:
        door(settings).supervisor.getState()
    except (OSError, HTTPException):
        return False
    return True


def at_work(settings: Settings) -> frozenset[str]:
    """Names of its processes that run or are about to."""
    running = {"STARTING", "RUNNING", "BACKOFF"}
    return frozenset(name for name, state in states(settings).items() if state["statename"] in running)


def states(settings: Settings) -> dict[str, dict[str, Any]]:
    """What the supervisor says of each of its processes, by name; none when it does not answer."""
    try:
        told = door(settings).supervisor.getAllProcessInfo()
    except OSError:
        return {}
    return {each["name"]: each for each in told}


def begin(settings: Settings, name: str) -> None:
    """Ask for a process, without waiting; harmless when it runs."""
    _tolerant(lambda: door(settings).supervisor.startProcess(name, False), {"ALREADY_STARTED"})


def finish(settings: Settings, name: str) -> None:
    """Stop a process and wait until it has ended; harmless when it does not run."""
    _tolerant(lambda: door(settings).supervisor.stopProcess(name, True), {"NOT_RUNNING", "BAD_NAME"})


def _tolerant(ask: Any, expected: set[str]) -> None:
    try:
        ask()
    except xmlrpc.client.Fault as error:
        if error.faultString.partition(":")[0] not in expected:
            raise


def door(settings: Settings) -> Any:
    """The supervisor's own interface, over its socket."""
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, f"unix://{Path(settings.socket)}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
