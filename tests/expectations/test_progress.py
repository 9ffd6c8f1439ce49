"""How far the checks are, as told while they are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from expectations.run import run_suites
from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from tests.expectations.plants import copied

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("full", [False, True], ids=["what held", "whole tables"])
def test_every_table_is_told_and_all_are_decided_in_the_end(
    small_plant: Home, site: Site, tmp_path: Path, *, full: bool
) -> None:
    told: list[tuple[str, int, int]] = []
    report = run_suites(
        copied(small_plant, tmp_path / "home"),
        site,
        layer="staging",
        domain="energy",
        full=full,
        progress=lambda *heard: told.append(heard),
    )
    tables = {each.table for each in report.tables}
    assert {f"asking {table}" for table in tables} <= {what for what, _, _ in told}
    validated = {what.removeprefix("validating ") for what, _, _ in told if what.startswith("validating ")}
    assert validated == (tables if full else set())
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1][1:] == (len(tables), len(tables))
