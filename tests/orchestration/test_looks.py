"""What the look of a code server at each run that ended leaves in its memory: so much and no more."""

from __future__ import annotations

import gc
import sys
import uuid
from pathlib import Path

import pytest
from dagster import DagsterInstance

from orchestration.cli.plant_commands import prepare_instance
from orchestration.plant import plant
from tests.servers import Servers

pytestmark = [pytest.mark.slow, pytest.mark.servers]
# Of each engine that has asked for a table's columns, SQLAlchemy keeps the dialect in caches of so many.
_KEPT = 128


def _blocks(instance: DagsterInstance, looks: int) -> int:
    """Allocated blocks after looks as Dagster's code server takes them, each through an instance of its own."""
    for _ in range(looks):
        with DagsterInstance.from_ref(instance.get_ref()) as own:
            assert own.get_run_by_id(str(uuid.uuid4())) is None
    gc.collect()
    return sys.getallocatedblocks()


def test_looks_at_runs_that_ended_fill_a_cache_and_then_take_no_memory(
    on_servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    prepare_instance(plant())
    with DagsterInstance.get() as instance:
        first = _blocks(instance, 10)
        full = _blocks(instance, _KEPT)
        more = _blocks(instance, _KEPT)
    assert abs(more - full) < 0.02 * (full - first)
