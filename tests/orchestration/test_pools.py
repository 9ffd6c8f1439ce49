"""Runs of one site wait for each other in Dagster's queue, by its tag or by its pools, and for no other site."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestration.engines import instance_settings
from orchestration.environment import default_site
from orchestration.plant import Plant
from orchestration.pools import WORKS, pool_of
from orchestration.services.choice import Wanted, choose
from orchestration.services.settings import Place, save
from orchestration.whose import SITE_TAG
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
from pipelines.lake.stores import embedded_stores

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


def served(home: Home, *sites: str) -> Home:
    """A home whose `services up` chose these sites."""
    place = Place.of(home).ensure()
    folders = tuple(default_site().parent / name for name in sites)
    save(place, choose(place, Wanted(folders, stores_only=True)))
    return home


def written(home: Home, stores: str = "servers") -> dict[str, Any]:
    """What `cellworks init` writes into Dagster's instance file."""
    return dict(yaml.safe_load(instance_settings(replace(embedded_stores(home), name=stores), home)))


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """A real one on SQLite, set up as for two sites on servers of a machine of four cores."""
    import dagster as dg

    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    settings = written(served(Home(tmp_path / "home"), "demo", "north"))
    del settings["storage"]  # PostgreSQL, which this needs not
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
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


def test_a_run_for_each_site_that_is_served_goes_at_once_and_no_more_than_there_are_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)

    def at_once(stores: str = "servers") -> int:
        return int(written(home, stores)["concurrency"]["runs"]["max_concurrent_runs"])

    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert (at_once(), at_once("embedded")) == (1, 1)
    served(home, "demo", "north")
    assert (at_once(), at_once("embedded")) == (2, 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert at_once() == 1
    helm = yaml.safe_load(HELM.read_text())["concurrency"]["runs"]["tagConcurrencyLimits"]
    assert written(home)["concurrency"]["runs"]["tag_concurrency_limits"] == helm
    assert helm[0]["key"] == SITE_TAG


def let_go(instance: dg.DagsterInstance) -> list[tuple[str | None, str]]:
    """Site by its tag, and job, of the runs that the daemon's queue would launch now."""
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

    queue: Any = QueuedRunCoordinatorDaemon(interval_seconds=5)
    runs = queue._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    return [(run.tags.get(SITE_TAG), run.job_name) for run in runs]


def test_a_sites_runs_take_turns_by_tag_or_pool_and_another_sites_run_goes_meanwhile(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    import dagster as dg
    from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

    code = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin(host="code", port=4000, location_name="demo"), "all")

    def run(site: str | None, job: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        """Of a site's job, or without a tag, as what is launched from the pages."""
        resolved, origin = definitions.resolve_job_def(job), RemoteJobOrigin(code, job)
        tags = {} if site is None else {SITE_TAG: site}
        return instance.create_run_for_job(resolved, status=status, remote_job_origin=origin, tags=tags)

    learning = run("demo", "finishing__yield_root_cause", dg.DagsterRunStatus.STARTED)
    run("demo", "plant_day", dg.DagsterRunStatus.QUEUED)
    run(None, "score", dg.DagsterRunStatus.QUEUED)
    run("north", "plant_day", dg.DagsterRunStatus.QUEUED)
    let_go(instance)  # the first look at a pool gives it the limit that the instance's file says
    assert let_go(instance) == [("north", "plant_day")]
    instance.report_run_failed(learning)
    assert let_go(instance) == [("demo", "plant_day"), (None, "score")]
