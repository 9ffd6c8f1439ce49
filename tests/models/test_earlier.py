"""A lake of an earlier release: tables of answers with other keys or fewer columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from models.scoring.earlier import set_aside
from models.scoring.table import COLUMNS, answer_table, append_answers, scored_keys
from pipelines.lake.clock import wall_now
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from tests.faults.work import solution


def answers(key: str) -> pa.Table:
    told = {"value": [0.5], "is_flagged": [False]}
    return answer_table({"lot_id": pa.chunked_array([[key]])}, None, told, wall_now(), (1, 1))


def test_answers_for_other_entities_are_set_aside_and_new_ones_begin(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    spec = solution(home)
    assert set_aside(home, spec) is None  # no lake
    with writer(home, why="test") as con:
        con.execute("CREATE SCHEMA lake.solutions")
    assert set_aside(home, spec) is None  # no table
    with writer(home, why="test") as con:
        body = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
        con.execute(f"CREATE TABLE lake.solutions.{spec.slug} (cell_id VARCHAR, {body})")
        con.execute(f"INSERT INTO lake.solutions.{spec.slug} (cell_id, model_version) VALUES ('C1', 1), ('C2', 1)")
    name = set_aside(home, spec)
    assert name is not None
    assert scored_keys(home, spec, 1) is None
    append_answers(home, spec, answers("A"), wall_now())
    assert set_aside(home, spec) is None
    with reader(home) as con:
        assert con.execute(f"SELECT count(*) FROM lake.solutions.{name} WHERE cell_id IS NOT NULL").fetchone() == (2,)
        assert con.execute(f"SELECT lot_id FROM lake.solutions.{spec.slug}").fetchall() == [("A",)]


def test_a_column_that_came_with_a_release_is_added(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    spec = solution(home)
    first, second = pa.table({"lot_id": ["A"]}), pa.table({"dose_g": [2.5], "lot_id": ["B"]})
    append_answers(home, spec, answers("A"), wall_now(), {"dose": first})
    append_answers(home, spec, answers("B"), wall_now(), {"dose": second})
    with reader(home) as con:
        rows = con.execute(f"SELECT lot_id, dose_g FROM lake.solutions.{spec.slug}_dose ORDER BY 1").fetchall()
    assert rows == [("A", None), ("B", 2.5)]
