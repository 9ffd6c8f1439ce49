"""Dagster and MLflow themselves behind the gateway: their pages open below its paths, and viewers change nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from dagster import DagsterInstance

from models.registry.client import open_at
from orchestration.gateway import Ports
from orchestration.services import mlflow_login, probes
from pipelines.lake.servers import connect
from tests.servers import Servers, free_port

pytestmark = [pytest.mark.slow, pytest.mark.long]  # three servers take half a minute to start
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
APPROVER, ADMIN = {"email": "li@example.org"}, {"groups": ["platform"]}
ADMINS, VIEWERS = "thePasswordOfMlflowsAdmin17", "thePasswordOfMlflowsViewer17"


@dataclass(frozen=True)
class Behind:
    """What runs behind the gateway.

    Attributes:
        ports: of the servers.
        registry: address of MLflow's database, which the platform itself talks to.
    """

    ports: Ports
    registry: str

    def mlflow(self, method: str, path: str, login: tuple[str, str] | None, **more: Any) -> httpx.Response:
        """Ask MLflow itself, past the gateway, as another process of the machine may."""
        url = f"http://127.0.0.1:{self.ports.mlflow}/mlflow{path}"
        return httpx.request(method, url, auth=login, timeout=20, trust_env=False, **more)


@pytest.fixture(scope="module")
def behind(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder, bin_dir = tmp_path_factory.mktemp("real"), Path(sys.executable).parent
    (folder / "defs.py").write_text(DEFINITIONS)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    DagsterInstance.from_config(str(folder)).dispose()  # its tables: two web servers, starting together, would both try
    made = Behind(Ports(*(free_port() for _ in range(3))), servers.postgres_url.format("gateway_mlflow"))
    with closing(connect(servers.postgres_url.format("postgres"))) as con, con.cursor() as cursor:
        cursor.execute("CREATE DATABASE gateway_mlflow")
    mlflow_login.ensure_users(made.registry, ADMINS, VIEWERS)
    (folder / "auth.ini").write_text(mlflow_login.settings_text(made.registry))
    ports = made.ports
    store = ["--backend-store-uri", made.registry, "--artifacts-destination", str(folder / "made")]
    server = ["--host", "127.0.0.1", "--port", str(ports.mlflow), "--static-prefix", "/mlflow", "--workers", "1"]
    mlflow = [str(bin_dir / "mlflow"), "server", "--app-name", "basic-auth", *server, *store]
    dagster = [str(bin_dir / "dagster-webserver"), "-h", "127.0.0.1", "-f", "defs.py"]
    commands = {
        f"http://127.0.0.1:{ports.dagster}/dagster/server_info": [
            *(*dagster, "-p", str(ports.dagster), "--path-prefix", "/dagster")
        ],
        f"http://127.0.0.1:{ports.dagster_view}/dagster-view/server_info": [
            *(*dagster, "-p", str(ports.dagster_view), "--path-prefix", "/dagster-view", "--read-only")
        ],
        f"http://127.0.0.1:{ports.mlflow}/mlflow/health": mlflow,
    }
    env = os.environ | {
        "DAGSTER_HOME": str(folder),
        mlflow_login.CONFIG_VARIABLE: str(folder / "auth.ini"),
        mlflow_login.KEY_VARIABLE: "of forms",
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    processes = [
        subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, stdout=log, stderr=log)
        for command in commands.values()
        for log in [(folder / f"{Path(command[0]).name}.log").open("ab")]
    ]
    try:
        for url, process in zip(commands, processes, strict=True):
            _wait(url, process)
        yield made
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@pytest.fixture(scope="module")
def real(started: Callable[..., Any], behind: Behind) -> Iterator[Any]:
    with started(behind.ports, VIEWERS) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def model(behind: Behind) -> str:
    """A model with a champion, as the platform's own way makes it."""
    client = open_at(behind.registry)
    client.create_registered_model("assembly.leak")
    client.create_model_version("assembly.leak", "s3://somewhere/x")
    client.set_registered_model_alias("assembly.leak", "champion", "1")
    return "assembly.leak"


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


API = "/ajax-api/2.0/mlflow"
ALIAS = {"json": {"name": "assembly.leak", "alias": "champion", "version": "2"}}
CHANGES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "move an alias": ("POST", f"{API}/registered-models/alias", ALIAS),
    "take an alias away": ("DELETE", f"{API}/registered-models/alias?name=assembly.leak&alias=champion", {}),
    "make a version": ("POST", f"{API}/model-versions/create", {"json": {"name": "assembly.leak", "source": "s3://x"}}),
    "remove the model": ("DELETE", f"{API}/registered-models/delete", {"json": {"name": "assembly.leak"}}),
    "remove a version": ("DELETE", f"{API}/model-versions/delete", {"json": {"name": "assembly.leak", "version": "1"}}),
    "tag the model": ("POST", f"{API}/registered-models/set-tag", {"json": {"name": "assembly.leak", "key": "a"}}),
    "make oneself admin": ("PATCH", "/api/2.0/mlflow/users/update-admin", {"json": {"username": "viewer"}}),
}


def _aliases(behind: Behind) -> dict[str, str]:
    found = open_at(behind.registry).get_registered_model("assembly.leak").aliases
    return {alias: str(number) for alias, number in found.items()}


def test_behind_the_gateway_everybody_looks_at_mlflow_and_nobody_changes_it(
    real: Any, behind: Behind, model: str
) -> None:
    def ask(method: str, path: str, claims: dict[str, Any], **more: Any) -> Any:
        return real.ask(method, f"/mlflow{path}", real.issuer.token(**claims), **more)

    for claims in (VIEWER, ENGINEER, APPROVER, ADMIN):
        assert ask("GET", "/", claims).status_code == 200
        found = ask("POST", f"{API}/experiments/search", claims, json={"max_results": 5})
        assert found.json()["experiments"][0]["name"] == "Default"
        listed = ask("GET", f"{API}/registered-models/search?max_results=5", claims)
        assert [each["name"] for each in listed.json()["registered_models"]] == [model]
        for what, (method, path, more) in CHANGES.items():
            assert ask(method, path, claims, **more).status_code == 403, what
        assert ask("POST", f"{API}/registered-models/create", claims, json={"name": "mine"}).status_code == 403
    assert _aliases(behind) == {"champion": "1"}


def test_mlflow_itself_refuses_a_process_of_the_machine_and_lets_its_viewer_change_nothing_that_is_there(
    behind: Behind, model: str
) -> None:
    get = ("GET", f"{API}/registered-models/get?name={model}")
    for stranger in (None, ("viewer", "guessed-password"), ("admin", VIEWERS), ("nobody", ADMINS), ("viewer", "")):
        for method, path, more in [(*get, {}), ("GET", "/", {}), *CHANGES.values()]:
            assert behind.mlflow(method, path, stranger, **more).status_code == 401, (stranger, path)
    viewer = ("viewer", VIEWERS)
    assert behind.mlflow(*get, viewer).json()["registered_model"]["name"] == model
    for what, (method, path, more) in CHANGES.items():
        assert behind.mlflow(method, path, viewer, **more).status_code == 403, what
    assert behind.mlflow("GET", "/api/2.0/mlflow/users/get?username=admin", viewer).status_code == 403
    assert _aliases(behind) == {"champion": "1"}
    tag = CHANGES["tag the model"]
    assert behind.mlflow(tag[0], tag[1], ("admin", ADMINS), **tag[2]).status_code == 200
    probes.closed(f"http://127.0.0.1:{behind.ports.mlflow}/mlflow")


def test_a_gateway_with_another_password_says_what_to_mend_and_asks_nobody_for_one(
    started: Callable[..., Any], behind: Behind
) -> None:
    with started(behind.ports, "not-the-password") as gateway:
        answer = gateway.ask("GET", "/mlflow/", gateway.issuer.token(**VIEWER))
    assert answer.status_code == 401
    assert "CELLWORKS_MLFLOW_PASSWORD" in answer.text
    assert "services/gateway-env" in answer.text
    assert "www-authenticate" not in answer.headers
