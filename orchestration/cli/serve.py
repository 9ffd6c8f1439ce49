"""`cellworks ui`: Dagster's webserver and daemon, and MLflow, on the loopback address until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Literal

from orchestration.cli.plant_commands import prepare_instance
from orchestration.environment import project_root
from orchestration.plant import plant
from pipelines.control_plan.errors import CellworksError

HOST, DAGSTER_PORT, MLFLOW_PORT = "127.0.0.1", 3000, 5000
_GRACE_S = 15
Part = Literal["dagster", "mlflow"]


def serve(part: Part | None, dagster_port: int, mlflow_port: int) -> None:
    """Start the processes of one part or both, wait, and stop them together.

    Raises:
        CellworksError: A port is taken.
    """
    here = plant()
    bin_dir = Path(sys.executable).parent
    commands: list[list[str]] = []
    addresses = []
    if part != "mlflow":
        _require_free(dagster_port, "--dagster-port")
        workspace = ["-m", "orchestration.definitions", "-d", str(project_root())]
        commands.append([str(bin_dir / "dagster-webserver"), "-h", HOST, "-p", str(dagster_port), *workspace])
        commands.append([str(bin_dir / "dagster-daemon"), "run", *workspace])
        addresses.append(f"Dagster http://{HOST}:{dagster_port}")
    if part != "dagster":
        _require_free(mlflow_port, "--mlflow-port")
        commands.append(
            [
                str(bin_dir / "mlflow"), "server", "--host", HOST, "--port", str(mlflow_port),
                "--backend-store-uri", here.home.mlflow_uri,
                "--artifacts-destination", str(here.home.mlflow_artifacts), "--workers", "1",
            ]
        )  # fmt: skip
        addresses.append(f"MLflow http://{HOST}:{mlflow_port}")
    prepare_instance(here)
    started = [subprocess.Popen(command, env=os.environ.copy(), cwd=project_root()) for command in commands]  # noqa: S603
    print(f"{'   '.join(addresses)}   Ctrl-C stops", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        os.wait()
    except KeyboardInterrupt:
        pass
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()


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
