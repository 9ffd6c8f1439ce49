"""`cellworks ui`: Dagster's webserver and daemon, and MLflow, on the loopback address until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from models.registry.place import follow
from orchestration.cli.plant_commands import prepare_instance
from orchestration.environment import project_root
from orchestration.logs import is_json
from orchestration.plant import Plant, plant, require_rules
from pipelines.control_plan.errors import CellworksError

HOST, DAGSTER_PORT, MLFLOW_PORT = "127.0.0.1", 3000, 5000
_GRACE_S = 15
_GLANCE_S = 0.1
Part = Literal["dagster", "mlflow"]


def serve(part: Part | None, dagster_port: int, mlflow_port: int) -> None:
    """Start the processes of one part or both, wait, and stop them together.

    Raises:
        CellworksError: A port is taken, a process ended by itself, or the site names roles and is on servers.
    """
    here = plant()
    _refuse_pages_past_the_login(here)
    require_rules(here)
    bin_dir = Path(sys.executable).parent
    commands: list[list[str]] = []
    addresses = []
    if part != "mlflow":
        _require_free(dagster_port, "--dagster-port")
        workspace = ["-m", "orchestration.definitions", "-d", str(project_root())]
        workspace += ["--log-format", "json"] if is_json() else []
        commands.append([str(bin_dir / "dagster-webserver"), "-h", HOST, "-p", str(dagster_port), *workspace])
        commands.append([str(bin_dir / "dagster-daemon"), "run", *workspace])
        addresses.append(f"Dagster http://{HOST}:{dagster_port}")
    if part != "dagster":
        _require_free(mlflow_port, "--mlflow-port")
        follow(here.home.root / "mlflow" / "mlflow.sqlite")
        commands.append(
            [
                str(bin_dir / "mlflow"), "server", "--host", HOST, "--port", str(mlflow_port),
                "--backend-store-uri", here.home.stores.mlflow_uri,
                "--artifacts-destination", here.home.stores.mlflow_artifacts, "--workers", "1",
            ]
        )  # fmt: skip
        addresses.append(f"MLflow http://{HOST}:{mlflow_port}")
    prepare_instance(here)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Groups of their own: code servers, runs and workers are children of children, and none may stay behind.
    started = [
        subprocess.Popen(command, env=os.environ.copy(), cwd=project_root(), start_new_session=True)  # noqa: S603
        for command in commands
    ]
    try:
        print(f"{'   '.join(addresses)}   Ctrl-C stops", flush=True)
        ended, status = os.wait()
        _refuse_end(next(process for process in started if process.pid == ended), status)
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        _stop(started)


def _refuse_pages_past_the_login(here: Plant) -> None:
    """These pages ask nobody who they are, and here they would write the plant's own databases."""
    if here.site.access.is_guarded and here.home.stores.name == "servers":
        raise CellworksError(
            "this site names roles, and `cellworks ui` shows the plant's servers to every account of the machine",
            expected="pages behind the login of the gateway",
            found="pages without a login, which start runs and change models past the audit",
            mend="`cellworks services up`, then `cellworks gateway` (docs/how-to/who-may-do-what.md)",
            where=str(here.site.folder / "site.yaml"),
        )


def _refuse_end(process: subprocess.Popen[bytes], status: int) -> None:
    process.returncode = os.waitstatus_to_exitcode(status)
    arguments = [str(part) for part in process.args] if isinstance(process.args, list) else []
    raise CellworksError(
        f"{Path(arguments[0]).name} ended by itself, so the others were stopped",
        expected="it to run until Ctrl-C",
        found=f"exit code {process.returncode}",
        mend="see what it printed above, then start again",
    )


def _stop(started: list[subprocess.Popen[bytes]]) -> None:
    """Ask every group to end, then end what is left of it; a run under way is told as interrupted."""
    for process in started:
        _signal_group(process, signal.SIGTERM)
    patience = time.monotonic() + _GRACE_S
    for process in started:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, patience - time.monotonic()))
    while time.monotonic() < patience and any(_signal_group(process, 0) for process in started):
        time.sleep(_GLANCE_S)
    for process in started:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Whether anybody was left in the process's group to get it."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CellworksError(
                f"port {port} of {HOST} can't be used",
                expected="a free port",
                found=error.strerror or str(error),
                mend=f"stop what listens there (another `cellworks ui`?), or give another port with {option}",
            ) from error
