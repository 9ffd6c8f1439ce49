"""A failed check stops what reads its domain, and nothing else: the real job, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.lake.home import Home
from tests.expectations.plants import copied
from tests.expectations.test_defects import DELIVERED, Delivered

# Minutes each; tests/orchestration/test_definitions.py shows the same for every defect on the job's steps.
pytestmark = [pytest.mark.slow, pytest.mark.long]
BY_NAME: dict[str, Delivered] = {each.name: each for each in DELIVERED}
# The job that new data starts: take in, check, curate, check, publish, score and watch.
_SCRIPT = """
import json, logging, warnings
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
from orchestration.cli.plant_commands import prepare_instance
from orchestration.definitions import defs
from orchestration.jobs import NEW_DATA
from orchestration.plant import plant
from dagster import DagsterInstance
prepare_instance(plant())
job = defs().resolve_job_def(NEW_DATA)
with DagsterInstance.get() as instance:
    run = job.execute_in_process(instance=instance, raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}})
checks = run.get_asset_check_evaluations()
print(json.dumps({
    "steps": [node.name for node in job.nodes],
    "ran": [event.step_key for event in run.all_events if event.is_step_success],
    "failed": [event.step_key for event in run.all_events if event.is_step_failure],
    "checks": ["/".join(each.asset_key.path) for each in checks if not each.passed],
    "shown": [str(each.metadata["failures"].value) for each in checks if not each.passed],
}))
"""


class Blocked(NamedTuple):
    """Defects, the check steps that fail by them, and the steps that must not run."""

    defects: tuple[str, ...]
    checks: set[str]
    fail: set[str]
    stop: set[str]


CASES = [
    Blocked(
        ("missing roll", "stale feed"),
        {"staging/stg_mes__stacking", "raw/ems__weather"},
        {"check_staging_process", "check_raw_energy"},
        {
            "staging_energy", "check_staging_energy", "marts_energy", "check_marts_energy", "published__energy",
            *(f"{part}{domain}" for domain in ("process", "test", "kpi")
              for part in ("marts_", "check_marts_", "published__")),
        },
    ),
    Blocked(
        ("duplicated lot", "unknown machine"),
        {"staging/stg_erp__material_lot", "staging/stg_scada__machine_state"},
        {"check_staging_material_inspection", "check_staging_equipment"},
        {
            f"{part}{domain}" for domain in ("material_inspection", "process", "test", "equipment", "kpi")
            for part in ("marts_", "check_marts_", "published__")
        },
    ),
]  # fmt: skip


@pytest.fixture
def night(small_plant: Home, tmp_path: Path) -> Callable[[Blocked], dict[str, list[str]]]:
    def run(case: Blocked) -> dict[str, list[str]]:
        home = copied(small_plant, tmp_path / "home")
        for name in case.defects:
            BY_NAME[name].bring(home)
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env={**os.environ, "CELLWORKS_HOME": str(home.root)},
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        told: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
        return told

    return run


@pytest.mark.parametrize(
    "case",
    [pytest.param(each, id=" and ".join(each.defects)) for each in CASES],
)
def test_a_failed_check_stops_its_domain_alone(case: Blocked, night: Callable[[Blocked], dict[str, list[str]]]) -> None:
    told = night(case)
    assert set(told["checks"]) == case.checks
    assert set(told["failed"]) == case.fail
    learning = {step for step in told["steps"] if step.startswith("learn_")}
    held_back = set(told["steps"]) - set(told["ran"]) - set(told["failed"])
    assert held_back - learning == case.stop
    assert held_back & learning == {f"learn_{step.removeprefix('marts_')}" for step in case.stop} & learning
    for shown in told["shown"]:
        assert "for example" in shown or "the table as a whole" in shown
