"""Runs that take in, curate or learn for one site wait for each other in Dagster's queue, and for no other site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestration.environment import default_site
from orchestration.plant import Plant
from orchestration.pools import WORKS, pool_of
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home

if TYPE_CHECKING:
    import dagster as dg

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),  # of Dagster's own making
]

ROOT = Path(__file__).parents[2]
HELM = ROOT / "infra" / "helm" / "dagster-values.yaml"
INSTANCES = [ROOT / "infra" / "dagster" / f"{name}.yaml" for name in ("embedded", "servers")]
SITE = load_site(default_site())


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """Those of the demo site, with one curated table: the rest of dbt's would take its manifest."""
    from orchestration.assembly import build_definitions
    from orchestration.manifest import Table

    table = Table(layer="marts", name="fact_cell", domain="test", description="", columns={}, upstream=frozenset())
    return build_definitions(Plant(SITE, Home(tmp_path_factory.mktemp("home"))), tables=[table])


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A real one on SQLite, set up as `cellworks init` does, but for the number of runs, which would hide the pools."""
    import dagster as dg

    settings = INSTANCES[0].read_text().replace("max_concurrent_runs: 1", "max_concurrent_runs: 9")
    (tmp_path / "dagster.yaml").write_text(settings)
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def pools(definitions: dg.Definitions, job: str) -> set[str]:
    return set().union(*(node.definition.pools for node in definitions.resolve_job_def(job).nodes))


def test_the_pools_that_files_name_are_those_that_steps_name(definitions: dg.Definitions) -> None:
    named = pools(definitions, "nightly")
    assert named == {pool_of(SITE, work) for work in WORKS}
    for file in (HELM, ROOT / "docs" / "how-to" / "run-on-servers.md"):
        told = {f"{SITE.name}_{work}" for work in re.findall(r"<site>_([a-z]+)", file.read_text())}
        assert told == named, file.name


def test_what_only_learns_or_answers_takes_no_other_pool(definitions: dg.Definitions) -> None:
    learn = {pool_of(SITE, "learn")}
    assert [pools(definitions, job) for job in ("score", "retrain", "finishing__yield_root_cause")] == [learn] * 3


def test_every_instance_file_holds_pools_alike() -> None:
    helm = yaml.safe_load(HELM.read_text())["concurrency"]["pools"]
    found = [yaml.safe_load(file.read_text())["concurrency"]["pools"] for file in INSTANCES]
    assert [*found, {"granularity": helm["granularity"], "default_limit": helm["defaultLimit"]}] == [
        {"granularity": "run", "default_limit": 1}
    ] * 3


def let_go(instance: dg.DagsterInstance) -> list[str]:
    """Names of the jobs whose runs the daemon's queue would launch now."""
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

    queue: Any = QueuedRunCoordinatorDaemon(interval_seconds=5)
    return [run.job_name for run in queue._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)]


def test_a_run_waits_in_the_queue_while_another_holds_its_pool_and_no_longer(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    import dagster as dg
    from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

    code = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin(host="code", port=4000, location_name="demo"), "all")

    def run(job: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        resolved = definitions.resolve_job_def(job)
        return instance.create_run_for_job(resolved, status=status, remote_job_origin=RemoteJobOrigin(code, job))

    learning = run("finishing__yield_root_cause", dg.DagsterRunStatus.STARTED)
    run("score", dg.DagsterRunStatus.QUEUED)
    run("plant_day", dg.DagsterRunStatus.QUEUED)
    let_go(instance)  # the first look at a pool gives it the limit that the instance's file says
    assert let_go(instance) == ["plant_day"]
    instance.report_run_failed(learning)
    assert sorted(let_go(instance)) == ["plant_day", "score"]
