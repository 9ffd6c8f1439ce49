"""What the tests of faults count themselves: a row that was lost, one that is there twice, a move done again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from tests.faults.kills import recovery
from tests.faults.states import curated


@pytest.fixture
def state(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """What is told of a lake of a hundred rows, two of them alike, after a statement."""
    home = Home(tmp_path / "home")
    with writer(home, why="test") as con:
        con.execute("CREATE SCHEMA lake.marts")
        con.execute("CREATE SCHEMA lake.ops")
        con.execute("CREATE TABLE lake.ops.ingest_offset AS SELECT 1 AS batch_id")
        con.execute("CREATE TABLE lake.marts.cell AS SELECT greatest(i, 1) AS id, i AS _build_no FROM range(100) t(i)")

    def after(sql: str) -> dict[str, Any]:
        with writer(home, why="test") as con:
            con.execute(sql)
        return curated(home)

    return after


@pytest.mark.parametrize(
    ("fault", "lost", "doubled"),
    [
        ("UPDATE lake.marts.cell SET _build_no = 7", 0, 0),
        ("DELETE FROM lake.marts.cell WHERE id IN (7, 8, 9)", 3, 0),
        ("INSERT INTO lake.marts.cell SELECT * FROM lake.marts.cell WHERE id IN (7, 8)", 0, 2),
        ("DROP TABLE lake.marts.cell; CREATE TABLE lake.marts.roll AS SELECT 1 AS id", 99, 0),
    ],
)
def test_rows_that_a_fault_lost_or_doubled_are_counted(
    state: Callable[[str], dict[str, Any]], fault: str, lost: int, doubled: int
) -> None:
    calm = state("SELECT 1")
    found = recovery([calm, state(fault)], calm, lambda calm, found: found == calm)
    is_fine = not (lost or doubled)
    assert (found["lost"], found["doubled"], found["recovered"]) == (lost, doubled, 1 + is_fine)


def test_a_state_that_tells_of_a_loss_is_odd_whatever_it_is_compared_by() -> None:
    left = [{"lost": 0, "doubled": 0}, {"lost": 2, "doubled": 0}, {"lost": 0, "doubled": 1}]
    found = recovery(left, left[0], lambda _calm, _found: True)
    assert (found["recovered"], found["lost"], found["doubled"], found["odd"]) == (1, 2, 1, left[1:])
