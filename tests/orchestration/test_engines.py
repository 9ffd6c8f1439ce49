"""Which engine runs the steps: one setting, nothing in place of what it names, and what a container is made with."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml

from models.solution import Resources
from orchestration.catalogue import find
from orchestration.engines import ENGINES, chosen_engine, instance_settings
from orchestration.environment import default_site
from orchestration.plant import Plant
from orchestration.resources import largest
from orchestration.run_lock import under_way
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
from pipelines.lake.stores import Stores, embedded_stores

if TYPE_CHECKING:
    import dagster as dg

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # of Dagster's own making

LIBRARIES = {"kubernetes": "dagster_k8s", "docker": "dagster_docker"}


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Stores that say they are servers; nothing here opens one."""
    return replace(embedded_stores(Home(tmp_path)), name="servers")


def test_processes_are_what_nobody_chooses(monkeypatch: pytest.MonkeyPatch, stores: Stores) -> None:
    monkeypatch.delenv("CELLWORKS_EXECUTOR", raising=False)
    assert chosen_engine(stores) == "processes"


def test_an_engine_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch, stores: Stores) -> None:
    monkeypatch.setenv("CELLWORKS_EXECUTOR", "celery")
    with pytest.raises(CellworksError, match="processes or kubernetes or docker"):
        chosen_engine(stores)


@pytest.mark.parametrize("engine", LIBRARIES)
def test_containers_do_not_share_files_of_a_home(engine: str, monkeypatch: pytest.MonkeyPatch, stores: Stores) -> None:
    monkeypatch.setenv("CELLWORKS_EXECUTOR", engine)
    with pytest.raises(CellworksError, match="CELLWORKS_ENV=servers"):
        chosen_engine(replace(stores, name="embedded"))


@pytest.mark.parametrize(("engine", "library"), LIBRARIES.items())
def test_a_library_that_is_missing_is_named_with_how_to_get_it(
    engine: str, library: str, monkeypatch: pytest.MonkeyPatch, stores: Stores
) -> None:
    from orchestration.executor import chosen_executor

    monkeypatch.setenv("CELLWORKS_EXECUTOR", engine)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(CellworksError) as told:
        chosen_executor(stores)
    assert f"`make setup` in the clone brings the extra `{engine}`" in str(told.value)


def test_every_engine_has_an_executor_that_goes_by_its_name(monkeypatch: pytest.MonkeyPatch, stores: Stores) -> None:
    from orchestration.executor import chosen_executor

    for library in LIBRARIES.values():
        pytest.importorskip(library)
    names = []
    for engine in ENGINES:
        monkeypatch.setenv("CELLWORKS_EXECUTOR", engine)
        names.append(chosen_executor(stores).name)
    assert names == ["warm", "k8s", "docker"]


def test_a_step_that_serves_several_solutions_gets_the_most_that_any_asks_for(tmp_path: Path) -> None:
    from orchestration.assets.solutions import learning_assets

    first, second, plain = map(find, ("finishing/yield_root_cause", "finishing/grading", "electrode/knife_life"))
    specs = [
        first.model_copy(update={"resources": Resources(cpu_cores=8, memory_gib=2)}),
        second.model_copy(update={"resources": Resources(cpu_cores=1.5, memory_gib=24)}),
        plain,
    ]
    steps = learning_assets(Plant(load_site(default_site()), Home(tmp_path)), specs, [])
    (step,) = steps
    read = pytest.importorskip("dagster_k8s.job").get_user_defined_k8s_config(step.op.tags)
    asked = {"cpu": "8", "memory": "24576Mi"}
    assert read.container_config["resources"] == {"requests": asked, "limits": asked}
    assert largest([plain]) is None


class Engine(HTTPServer):
    """What Docker's API is asked, answered as if it were done."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.begun: list[str] = []
        self.holders: list[str] = []
        self.is_full = False
        super().__init__(("127.0.0.1", 0), _Answers)


class _Answers(BaseHTTPRequestHandler):
    server: Engine

    def do_GET(self) -> None:
        self._tell(200, {"ApiVersion": "1.44", "MinAPIVersion": "1.24", "Id": "c1", "Name": "/c1", "State": {}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        path = urlsplit(self.path).path
        if path.endswith("/containers/create"):
            self.server.made.append(asked)
            self.server.holders.append(under_way(Home.from_env()))
            self._tell(201, {"Id": "c1", "Warnings": []})
        elif self.server.is_full:
            self._tell(500, {"message": "no room"})
        else:
            self.server.begun.append(path.split("/", 2)[2])
            self._tell(204, None)

    def _tell(self, status: int, what: dict[str, Any] | None) -> None:
        body = b"" if what is None else json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """One that listens on loopback and keeps what it was asked."""
    with Engine() as here:
        threading.Thread(target=here.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{here.server_port}")
        yield here
        here.shutdown()


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stores: Stores) -> Iterator[dg.DagsterInstance]:
    """One with the launcher of the file that `cellworks init` writes, on SQLite."""
    import dagster as dg

    pytest.importorskip("dagster_docker")
    monkeypatch.setenv("CELLWORKS_EXECUTOR", "docker")
    settings = yaml.safe_load(instance_settings(stores, Home(tmp_path)))
    for name in settings["run_launcher"]["config"]["env_vars"]:
        if name not in ("DOCKER_HOST", "CELLWORKS_EXECUTOR"):
            monkeypatch.setenv(name, f"the value of {name}")
    monkeypatch.setenv("CELLWORKS_ENV", "embedded")
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    del settings["storage"]  # PostgreSQL, which this needs not
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def open_run(instance: dg.DagsterInstance, job: dg.JobDefinition) -> dg.DagsterRun:
    """A run of a code server's job."""
    from dagster._core.code_pointer import ModuleCodePointer
    from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

    code = RepositoryPythonOrigin(sys.executable, ModuleCodePointer("orchestration.definitions", "defs"))
    return instance.create_run_for_job(job, job_code_origin=JobPythonOrigin(job.name, code))


def test_a_run_is_a_container_of_few_rights_with_what_it_needs(instance: dg.DagsterInstance, engine: Engine) -> None:
    import dagster as dg
    from dagster._core.launcher import LaunchRunContext

    run = open_run(instance, dg.GraphDefinition(name="alarm", node_defs=[]).to_job())
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    (made,) = engine.made
    assert engine.begun == ["networks/c1/connect", "containers/c1/start"]
    assert made["Image"] == "cellworks:0.1.0"
    assert "PGPASSWORD=the value of PGPASSWORD" in made["Env"]
    told = made["HostConfig"]
    assert told["Binds"] == ["cellworks_home:/var/lib/cellworks"]
    assert (told["ReadonlyRootfs"], told["CapDrop"], told["Memory"]) == (True, ["ALL"], 12 * 1024**3)
    assert told["NetworkMode"] == "cellworks_inside"


def own_job() -> dg.JobDefinition:
    """The job of a solution that asks for resources."""
    import dagster as dg

    from orchestration.executor import chosen_executor

    @dg.op
    def learn() -> None: ...

    stores = replace(embedded_stores(Home.from_env()), name="servers")
    wanted = Resources(cpu_cores=1.5, memory_gib=6)
    return dg.GraphDefinition(name="own", node_defs=[learn]).to_job(executor_def=chosen_executor(stores, wanted))


def test_a_step_of_a_job_with_resources_is_a_container_with_these_under_the_run_lock(
    instance: dg.DagsterInstance, engine: Engine
) -> None:
    import dagster as dg

    engine.is_full = True
    with dg.execute_job(dg.reconstructable(own_job), instance=instance, raise_on_error=False) as result:
        assert not result.success  # an engine that starts nothing fails the run
    (made,) = engine.made
    told = made["HostConfig"]
    assert (told["NanoCpus"], told["Memory"], told["ReadonlyRootfs"]) == (1_500_000_000, 6 * 1024**3, True)
    assert "PGPASSWORD=the value of PGPASSWORD" in made["Env"]
    assert "of own" in engine.holders[0]
