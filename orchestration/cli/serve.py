"""`cellworks ui`: Dagster's webserver and daemon, and MLflow, on the loopback address until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from orchestration.cli.plant_commands import prepare_instance
from orchestration.environment import project_root
from orchestration.plant import plant

HOST, DAGSTER_PORT, MLFLOW_PORT = "127.0.0.1", "3000", "5000"
_GRACE_S = 15


def serve() -> None:
    """Start the three processes, wait, and stop them together."""
    here = plant()
    prepare_instance(here)
    bin_dir = Path(sys.executable).parent
    workspace = ["-m", "orchestration.definitions", "-d", str(project_root())]
    commands = [
        [str(bin_dir / "dagster-webserver"), "-h", HOST, "-p", DAGSTER_PORT, *workspace],
        [str(bin_dir / "dagster-daemon"), "run", *workspace],
        [
            str(bin_dir / "mlflow"), "server", "--host", HOST, "--port", MLFLOW_PORT,
            "--backend-store-uri", here.home.mlflow_uri,
            "--artifacts-destination", str(here.home.mlflow_artifacts), "--workers", "1",
        ],
    ]  # fmt: skip
    started = [subprocess.Popen(command, env=os.environ.copy(), cwd=project_root()) for command in commands]  # noqa: S603
    print(f"Dagster http://{HOST}:{DAGSTER_PORT}   MLflow http://{HOST}:{MLFLOW_PORT}   Ctrl-C stops both", flush=True)
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
