"""Dagster and MLflow themselves behind the gateway: their pages open below its paths, and viewers change nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestration.gateway import Ports

pytestmark = [pytest.mark.slow, pytest.mark.soak]  # three servers take half a minute to start
DEFINITIONS = """
import dagster as dg

@dg.op
def nothing(): ...

@dg.job
def nightly(): nothing()

defs = dg.Definitions(jobs=[nightly])
"""
LAUNCH = """mutation { launchRun(executionParams: {selector: {jobName: "nightly", repositoryName: "__repository__",
    repositoryLocationName: "defs.py"}, runConfigData: {}}) { __typename ... on UnauthorizedError { message } } }"""
VIEWER, ENGINEER = {"groups": ["visitors"]}, {"groups": ["process engineers"]}
APPROVER = {"email": "li@example.org"}


@pytest.fixture(scope="module")
def real(started: Callable[[Ports], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder, bin_dir = tmp_path_factory.mktemp("real"), Path(sys.executable).parent
    (folder / "defs.py").write_text(DEFINITIONS)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    ports = Ports(*(_free() for _ in range(3)))
    store = ["--backend-store-uri", f"sqlite:///{folder}/runs.sqlite", "--artifacts-destination", str(folder / "made")]
    server = ["--host", "127.0.0.1", "--port", str(ports.mlflow), "--static-prefix", "/mlflow", "--workers", "1"]
    dagster = [str(bin_dir / "dagster-webserver"), "-h", "127.0.0.1", "-f", "defs.py"]
    commands = {
        f"http://127.0.0.1:{ports.dagster}/dagster/server_info": [
            *(*dagster, "-p", str(ports.dagster), "--path-prefix", "/dagster")
        ],
        f"http://127.0.0.1:{ports.dagster_view}/dagster-view/server_info": [
            *(*dagster, "-p", str(ports.dagster_view), "--path-prefix", "/dagster-view", "--read-only")
        ],
        f"http://127.0.0.1:{ports.mlflow}/mlflow/": [str(bin_dir / "mlflow"), "server", *server, *store],
    }
    env = os.environ | {"DAGSTER_HOME": str(folder)}
    processes = [
        subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, stdout=log, stderr=log)
        for command in commands.values()
        for log in [(folder / f"{Path(command[0]).name}.log").open("ab")]
    ]
    try:
        for url, process in zip(commands, processes, strict=True):
            _wait(url, process)
        with started(ports) as gateway:
            yield gateway
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _free() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, url
        try:
            if httpx.get(url, timeout=20, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(url)


def _launch(gateway: Any, path: str, claims: dict[str, Any]) -> Any:
    return gateway.ask("POST", path, gateway.issuer.token(**claims), json={"query": LAUNCH})


def test_a_viewer_sees_dagster_and_starts_nothing_and_an_engineer_does(real: Any) -> None:
    token = real.issuer.token(**VIEWER)
    page = real.ask("GET", "/dagster-view/runs", token)
    assert (page.status_code, "/dagster-view" in page.text) == (200, True)
    asked = real.ask("POST", "/dagster-view/graphql", token, json={"query": "{ version }"})
    assert asked.json()["data"]["version"]
    refused = _launch(real, "/dagster-view/graphql", VIEWER).json()
    assert refused["data"]["launchRun"]["__typename"] == "UnauthorizedError"
    assert _launch(real, "/dagster-view/graphql", APPROVER).json() == refused
    assert _launch(real, "/dagster/graphql", VIEWER).status_code == 403
    assert _launch(real, "/dagster/graphql", ENGINEER).json()["data"]["launchRun"]["__typename"] == "LaunchRunSuccess"


def test_a_viewer_searches_mlflow_and_an_approver_moves_an_alias(real: Any) -> None:
    api = "/mlflow/ajax-api/2.0/mlflow"

    def ask(method: str, path: str, claims: dict[str, Any], **more: Any) -> Any:
        return real.ask(method, path, real.issuer.token(**claims), **more)

    assert ask("GET", "/mlflow/", VIEWER).status_code == 200
    found = ask("POST", f"{api}/experiments/search", VIEWER, json={"max_results": 5})
    assert found.json()["experiments"][0]["name"] == "Default"
    create = {"json": {"name": "assembly.leak"}}
    assert ask("POST", f"{api}/registered-models/create", VIEWER, **create).status_code == 403
    assert ask("POST", f"{api}/registered-models/create", ENGINEER, **create).status_code == 403
    assert ask("POST", f"{api}/registered-models/create", APPROVER, **create).status_code == 200
    version = {"json": {"name": "assembly.leak", "source": "s3://somewhere/x"}}
    assert ask("POST", f"{api}/model-versions/create", APPROVER, **version).status_code == 200
    alias = {"json": {"name": "assembly.leak", "alias": "champion", "version": "1"}}
    assert ask("POST", f"{api}/registered-models/alias", VIEWER, **alias).status_code == 403
    assert ask("POST", f"{api}/registered-models/alias", APPROVER, **alias).status_code == 200
    seen = ask("GET", f"{api}/registered-models/get?name=assembly.leak", VIEWER).json()
    assert seen["registered_model"]["aliases"] == [{"alias": "champion", "version": "1"}]
