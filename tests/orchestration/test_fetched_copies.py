"""A machine that runs no maintenance lets its copies of models go as well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.orchestration.conftest import Told


def test_what_begins_on_a_machine_takes_away_the_copies_of_versions_that_another_one_pruned(
    here: Callable[..., Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")  # `init` sets it for the process
    copies = tmp_path / "home" / "fetched"
    for name in (f"{'a' * 32}-1", "draft-at_work"):
        (copies / name).mkdir(parents=True)
    told = here("init")
    assert told.returncode == 0, told.stderr
    assert [each.name for each in copies.iterdir()] == ["draft-at_work"]
