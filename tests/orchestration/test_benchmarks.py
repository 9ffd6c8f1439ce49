"""Public data sets through the door of a user's table; the data itself is not part of the product."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.run import measure, read
from orchestration.benchmarks.spec import benchmarks

CELLWORKS = Path(sys.executable).parent / "cellworks"
DATA = Path(__file__).parents[3] / "shared" / "data"
BY_NAME = {each.data: each for each in benchmarks()}
pytestmark = pytest.mark.slow
there = pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not on this machine")


def test_what_is_missing_is_told_with_where_it_is_published(tmp_path: Path) -> None:
    done = subprocess.run(
        [CELLWORKS, "benchmarks", "--data", tmp_path, "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"CELLWORKS_HOME": str(tmp_path / "home")},
    )
    assert json.loads(done.stdout) == {"results": []}
    for benchmark in BY_NAME.values():
        assert f"{benchmark.data}: {benchmark.files[0]}" in done.stderr
        assert benchmark.published_at in done.stderr


@there
@pytest.mark.parametrize(("name", "rows", "judged"), [("severson_lfp", 123, 42), ("cmapss_fd001", 33_727, 13_096)])
def test_the_published_split_is_taken(name: str, rows: int, judged: int) -> None:
    table = read(BY_NAME[name], DATA)
    column, parts = BY_NAME[name].protocol.column, BY_NAME[name].protocol.judged
    found = table.column(column).to_pylist()
    assert (table.num_rows, sum(part == parts[0] for part in found)) == (rows, judged)


@there
def test_of_an_engine_under_test_only_the_last_cycle_has_an_answer() -> None:
    table = read(BY_NAME["cmapss_fd001"], DATA).to_pandas()
    test = table[table["part"] == "test"]
    answered = test[test["rul"].notna()].set_index("engine")
    assert len(answered) == test["engine"].nunique() == 100
    assert (answered.loc["test-1", "rul"], answered.loc["test-100", "rul"]) == (112, 20)


@there
def test_small_data_gets_a_simple_model_and_the_papers_figure(tmp_path: Path) -> None:
    benchmark = BY_NAME["severson_lfp"]
    found = measure(benchmark, read(benchmark, DATA), Ground(tmp_path, is_quick=True))
    assert found.outcomes[""].chosen == ("linear",)
    assert [row["met"] for row in found.rows] == [True, True]


@there
def test_all_windows_of_the_machine_are_told_at_less_than_one_false_alarm_a_week(tmp_path: Path) -> None:
    benchmark = BY_NAME["nab_machine_temp"]
    found = measure(benchmark, read(benchmark, DATA), Ground(tmp_path, is_quick=True, processes=1))
    assert [row["met"] for row in found.rows if row["must"] is not None] == [True, True]
    (windows,) = found.outcomes[""].tables
    assert len(windows.rows) == 4
