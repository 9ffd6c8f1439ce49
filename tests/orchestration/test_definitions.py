"""What Dagster is served: no heavy library while it loads, a check for every table, a blast radius for each check."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from models.families import family_named
from pipelines.control_plan.site import load_site
from tests.expectations.test_defects import DELIVERED, IN_THE_LAKE

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

LOAD_S = 6.0

_SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from orchestration.definitions import defs
from orchestration.jobs import NEW_DATA
definitions = defs()
graph = definitions.resolve_asset_graph()
# The job that new data starts holds every step but the training that it does not need.
inputs = definitions.resolve_job_def(NEW_DATA).dependencies.items()
steps = {
    step.alias or step.name: sorted({output.node for each in reads.values() for output in each.get_node_dependencies()})
    for step, reads in inputs
}
checks = [key.to_user_string() for key in graph.asset_check_keys]
keys = [key.to_user_string() for key in graph.get_all_asset_keys()]
heavy = [name for name in ("great_expectations", "xgboost", "lightgbm", "mlflow", "optuna") if name in sys.modules]
curation = [name for name in ("dbt", "dagster_dbt") if name in sys.modules]
print(json.dumps({"checks": checks, "keys": keys, "heavy": heavy, "curation": curation, "steps": steps}))
"""


def _load(home: Path) -> dict[str, Any]:
    env = {**os.environ, "CELLWORKS_HOME": str(home)}
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def loaded(home: Path) -> dict[str, Any]:
    return _load(home)


def _cpu_s_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_loading_definitions_leaves_the_heavy_libraries_out(loaded: dict[str, Any]) -> None:
    # The first load parses the dbt project in this process; that must not bring the learners either.
    assert loaded["heavy"] == []


def test_definitions_load_within_six_seconds_of_a_parsed_manifest(home: Path, loaded: dict[str, Any]) -> None:
    """Processor time of the process and what it starts: other work on the machine is not the load's."""
    before = _cpu_s_of_children()
    again = _load(home)
    assert _cpu_s_of_children() - before <= LOAD_S
    # Only a project that is not parsed yet needs dbt, whose import costs as much as all the rest.
    assert again["heavy"] == again["curation"] == []
    assert sorted(again["keys"]) == sorted(loaded["keys"])


def test_every_solution_has_the_parts_of_its_family(loaded: dict[str, Any]) -> None:
    root = ROOT / "orchestration" / "defs"
    wanted = set()
    for file in root.glob("*/*/defs.yaml"):
        family = family_named(yaml.safe_load(file.read_text())["type"].rsplit(".", 1)[1])
        assert family is not None
        wanted |= {f"{file.parent.parent.name}/{file.parent.name}/{part}" for part in family.parts}
    assert len(wanted) >= 3
    parts = ("model", "predictions", "monitoring")
    assert {key for key in loaded["keys"] if key.endswith(tuple(f"/{part}" for part in parts))} == wanted


def test_every_raw_staging_and_mart_table_has_a_check(loaded: dict[str, Any]) -> None:
    tables = {key for key in loaded["keys"] if key.split("/")[0] in ("raw", "staging", "marts")}
    checked = {check.rsplit(":", 1)[0] for check in loaded["checks"]}
    assert tables
    assert tables <= checked


def test_the_command_line_finds_the_same_solutions_as_dagster(loaded: dict[str, Any]) -> None:
    from orchestration.catalogue import discover

    served = {key.removesuffix("/predictions") for key in loaded["keys"] if key.endswith("/predictions")}
    assert {spec.solution for spec in discover()} == served


class Reach(NamedTuple):
    """Domains that a failed check of a domain stops, its own first, and those that go on."""

    stops: tuple[str, ...]
    leaves: tuple[str, ...]


# Genealogy goes from the lot over roll and cell to the tester; machines, meters and orders are beside it; `kpi`
# reads all but the orders.
REACH = {
    "material_inspection": Reach(
        ("material_inspection", "process", "test", "kpi"), ("equipment", "energy", "planning")
    ),
    "process": Reach(("process", "test", "kpi"), ("material_inspection", "equipment", "energy", "planning")),
    "test": Reach(("test", "kpi"), ("material_inspection", "process", "equipment", "energy", "planning")),
    "equipment": Reach(("equipment", "kpi"), ("material_inspection", "process", "test", "energy", "planning")),
    "energy": Reach(("energy", "kpi"), ("material_inspection", "process", "test", "equipment", "planning")),
    "planning": Reach(("planning",), ("material_inspection", "process", "test", "equipment", "energy", "kpi")),
}
# Staging is a feed's own, so a domain that reads another does so from its marts on.
FROM_MARTS = ("marts", "check_marts", "published_")
AFTER = {
    "raw": ("staging", "check_staging", *FROM_MARTS),
    "staging": FROM_MARTS,
    "marts": ("published_",),
}
# Domains that a solution answers from: lots, stacks for their stackers, cells for yield, machine hours for failures,
# the load, orders and the tariff, cost.
LEARNERS = {"material_inspection", "process", "test", "equipment", "energy", "planning", "kpi"}
# Plans go by cells that wait and by the load, so they wait for these too; the rest of their domain does not.
PLANNED_BY = {"material_inspection", "process", "test", "energy"}
DEFECTS = [(each.name, check) for each in DELIVERED for check in sorted({table for table, _ in each.fails})] + [
    (each.name, each.layer + "." + each.domain) for each in IN_THE_LAKE
]


def _steps(domain: str, parts: tuple[str, ...]) -> set[str]:
    return {f"{part}_{domain}" for part in (*parts, *(["learn"] if domain in LEARNERS else []))}


def _downstream(steps: dict[str, list[str]], failed: str) -> set[str]:
    """What Dagster does not run once a step failed."""
    held: set[str] = set()
    grown = {failed}
    while grown:
        grown = {step for step, reads in steps.items() if grown & set(reads)} - held
        held |= grown
    return held


@pytest.mark.parametrize(("defect", "fails"), DEFECTS, ids=[name for name, _ in DEFECTS])
def test_a_defect_stops_what_reads_its_domain_and_nothing_else(defect: str, fails: str, loaded: dict[str, Any]) -> None:
    layer, table = fails.split(".")
    feeds = load_site(ROOT / "infra" / "sites" / "demo").feeds
    feed = table.removeprefix("stg_")
    domain = feeds[feed].domain if feed in feeds else table
    own, *readers = REACH[domain].stops
    stopped = _steps(own, AFTER[layer]).union(*(_steps(each, FROM_MARTS) for each in readers))
    held = {"learn_planning"} if domain in PLANNED_BY else set()
    stopped |= held
    assert _downstream(loaded["steps"], f"check_{layer}_{domain}") == stopped
    everything = ("check_raw", "staging", "check_staging", *FROM_MARTS)
    untouched = set().union(*(_steps(each, everything) for each in REACH[domain].leaves)) - held
    assert untouched <= loaded["steps"].keys()
    assert not untouched & stopped


def test_the_blast_radius_is_told_of_every_defect_and_every_domain() -> None:
    assert len({name for name, _ in DEFECTS}) == len(DEFECTS) >= 12
    domains = {domain for reach in REACH.values() for domain in (*reach.stops, *reach.leaves)}
    assert all({*reach.stops, *reach.leaves} == domains for reach in REACH.values())
