"""What every test process needs before it imports anything of ours, and how several of them share the suite."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from orchestration.environment import default_site, prepare_process

prepare_process()
# How long an example takes is the machine's affair: two cores are shared, and a property is not about seconds.
settings.register_profile("cellworks", deadline=None)
settings.load_profile("cellworks")

from pipelines.control_plan.site import load_site  # noqa: E402 - after the switches
from pipelines.lake.home import Home  # noqa: E402
from tests.servers import Servers, running_servers  # noqa: E402

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestration.benchmarks.spec import Benchmark

# Folders whose files share a plant that takes a minute to build. They are the longest, so they begin first.
SHARING = ("tests/end_to_end/", "tests/expectations/", "tests/dbt/")


class ByPlant(LoadScopeScheduling):
    """Tests that share a fixture stay in one process: those of a file, or of a folder above."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in SHARING if nodeid.startswith(folder)), nodeid.split("::", maxsplit=1)[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByPlant:
    """The scheduler of `pytest -n`; a mark for groups does nothing with this pytest."""
    return ByPlant(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first, which takes `--no-loadscope-reorder`."""
    items.sort(key=lambda item: not item.nodeid.startswith(SHARING))


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Gives an instance's folder what dbt saves of the demo site's project; to parse takes a quarter of a minute.

    It is parsed once for all processes of the suite, by the first that needs it.
    """
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if own.name.startswith("popen-") else own) / "parsed"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "done").exists():
            from pipelines.curation.run import parse

            parse(Home(shared), load_site(default_site()))
            (shared / "done").touch()

    def give(home: Path) -> Path:
        target = Home(home).dbt_dir / "target"
        target.mkdir(parents=True)
        for name in ("manifest.json", "partial_parse.msgpack", "project_hash"):
            shutil.copyfile(Home(shared).dbt_dir / "target" / name, target / name)
        return home

    return give


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the machine's user database give this process's user another name; nothing less makes somebody else."""
    entry = pwd.getpwuid(os.getuid())

    def name(user: str) -> None:
        monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd((user, *entry[1:])))

    return name


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A PostgreSQL and an S3 endpoint of this process of the suite."""
    with running_servers() as running:
        yield running


@pytest.fixture
def on_servers(servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Servers]:
    """The test's instance is one on servers: its databases and its bucket are there, and empty."""
    from pipelines.lake.servers import ensure_stores

    instance = servers.instance()
    for name, value in instance.items():
        monkeypatch.setenv(name, value)
    ensure_stores(Home(tmp_path / "home").stores)
    yield servers
    servers.drop(instance)


@pytest.fixture(params=["embedded", pytest.param("servers", marks=pytest.mark.servers)])
def stores(request: pytest.FixtureRequest) -> str:
    """The test runs on either kind of stores; on servers where `make servers` asks for it."""
    if request.param == "servers":
        if request.node.get_closest_marker("embedded"):
            pytest.skip("looks at files of a home, or at two homes with a lake each")
        request.getfixturevalue("on_servers")
    return str(request.param)


@pytest.fixture(scope="session")
def data_set() -> Callable[[str], tuple[Benchmark, pa.Table]]:
    """Gives a public data set by name; where it is not there, the test is skipped with what is missing."""
    from orchestration.benchmarks.run import read
    from orchestration.benchmarks.spec import benchmarks

    known = {each.data: each for each in benchmarks()}
    folder = Path(os.environ.get("CELLWORKS_DATA") or Path(__file__).parents[2] / "shared" / "data")

    def give(name: str) -> tuple[Benchmark, pa.Table]:
        benchmark = known[name]
        if lost := benchmark.lost(folder):
            pytest.skip(f"{name}: no {', '.join(lost)} in {folder / name}; published at {benchmark.published_at}")
        return benchmark, read(benchmark, folder)

    return give
