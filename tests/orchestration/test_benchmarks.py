"""Public data sets through the door of a user's table; the data itself is not part of the product."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from orchestration.benchmarks import page
from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.lives import life_metrics, percent_error
from orchestration.benchmarks.outcome import Measured
from orchestration.benchmarks.run import measure
from orchestration.benchmarks.spec import FOLDER, Benchmark, Measure, benchmarks, kinds
from orchestration.benchmarks.splitting import LEARNT, RowProtocol, Split, judge_splits
from pipelines.control_plan.errors import CellworksError

ROOT = Path(__file__).parents[2]
BY_NAME = {each.data: each for each in benchmarks()}
ANSWER = ("data", "metric", "value", "low", "high", "floor", "published", "must", "met")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def quick(data_set: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives a data set's figures of a quick run, measured once."""
    kept: dict[str, Measured] = {}

    def give(name: str) -> Measured:
        benchmark, table = data_set(name)
        if name not in kept:
            ground = Ground(tmp_path_factory.mktemp(name), is_quick=True, processes=1)
            kept[name] = measure(benchmark, table, ground)
        return kept[name]

    return give


def test_what_is_missing_is_told_with_where_it_is_published(here: Any, tmp_path: Path) -> None:
    done = here("benchmarks", "--data", str(tmp_path), "--json")
    assert json.loads(done.stdout) == {"results": []}
    for benchmark in BY_NAME.values():
        assert f"{benchmark.data}: {benchmark.files[0]}" in done.stderr
        assert benchmark.published_at in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "CELLWORKS_DATA"),
        (("--render", "--docs", "."), page.JSON),
        (("--render",), "--docs"),
        (("--data", ".", "--only", "nothing"), ", ".join(BY_NAME)),
        (("--data", ".", "--docs", "docs"), f"without {', '.join(BY_NAME)}"),
    ],
)
def test_a_wrong_call_is_refused(
    arguments: tuple[str, ...], told: str, here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELLWORKS_DATA", raising=False)
    done = here("benchmarks", *arguments)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_data_set_gives_its_figures_within_ci(name: str, quick: Any) -> None:
    measured = quick(name)
    for row in measured.rows:
        assert list(row)[: len(ANSWER)] == list(ANSWER)
        assert np.isfinite(row["value"]), row["metric"]
    wanted = {each.title for each in BY_NAME[name].measures if each.must is not None}
    assert {row["metric"] for row in measured.rows} >= wanted
    # The answer goes through JSON as it is.
    assert json.loads(json.dumps(measured.rows))


@pytest.mark.parametrize(("name", "rows", "judged"), [("severson_lfp", 123, 42), ("cmapss_fd001", 33_727, 13_096)])
def test_the_published_split_is_taken(name: str, rows: int, judged: int, data_set: Any) -> None:
    benchmark, table = data_set(name)
    (split,) = parted(benchmark, table)
    assert (table.num_rows, int((split.parts == split.judged[0]).sum())) == (rows, judged)


def test_of_an_engine_under_test_only_the_last_cycle_has_an_answer(data_set: Any) -> None:
    table = data_set("cmapss_fd001")[1].to_pandas()
    test = table[table["part"] == "test"]
    answered = test[test["rul"].notna()].set_index("engine")
    assert len(answered) == test["engine"].nunique() == 100
    assert (answered.loc["test-1", "rul"], answered.loc["test-100", "rul"]) == (112, 20)


def test_small_data_gets_a_simple_model_and_the_papers_figure(quick: Any) -> None:
    found = quick("severson_lfp")
    assert found.outcomes[""].chosen == ("linear",)
    assert [row["met"] for row in found.rows if row["must"]] == [True, True]


def test_the_published_variance_model_is_reproduced(data_set: Any) -> None:
    """Severson et al., table 1: log life is linear in log variance of Q100 - Q10; what must be reached is theirs."""
    benchmark, table = data_set("severson_lfp")
    split = np.asarray(table.column("split").to_pylist())
    x, life = np.asarray(table.column("dq_log10_var")), np.asarray(table.column("cycle_life"))
    answered = 10 ** np.polyval(np.polyfit(x[split == "train"], np.log10(life[split == "train"]), 1), x)
    found = {part: float(np.sqrt(np.mean((answered - life)[split == part] ** 2))) for part in ("test1", "test2")}
    assert found == pytest.approx({"test1": 138.4, "test2": 196.0}, abs=0.2)
    floors = {each.title: each.floor for each in benchmark.measures if each.name == "percent_error"}
    for part in found:
        own = split == part
        assert percent_error(life[own], answered[own])[0] == pytest.approx(floors[f"percent_error {part}"], abs=0.05)


def test_late_answers_cost_more_by_nasas_score() -> None:
    y = np.asarray([50.0, 50.0])
    late, early = (life_metrics(y, y + error)["nasa_score"][0] for error in (10.0, -10.0))
    assert late == pytest.approx(2 * (np.e - 1))
    assert early == pytest.approx(2 * (np.exp(10 / 13) - 1))
    assert life_metrics(y, y + 10)["rmse_uncapped"] == (10.0, 10.0, 10.0)


def parted(benchmark: Benchmark, table: pa.Table) -> list[Split]:
    """The splits of a quick run."""
    protocol = benchmark.protocol
    assert isinstance(protocol, RowProtocol)
    return protocol.parted(table, quick=True)


MADE = {
    "stratified": {"column": "half", "test_share": 0.3, "splits": 2},
    "parts": {"column": "part", "learnt": ["a", "b"], "judged": ["c"]},
    "ordered": {"column": "row", "last_share": 0.3, "seeds": 1},
    "grouped": {"column": "group", "folds": 3, "cuts": 8},
}


def made(kind: str) -> tuple[Benchmark, pa.Table]:
    """A data set of 300 rows with a little to learn, under a protocol."""
    rng = np.random.default_rng(1)
    rows = 300
    x = rng.normal(size=(rows, 3))
    y = x[:, 0] + 0.5 * x[:, 1] + rng.normal(size=rows)
    table = pa.table(
        {
            "row": np.arange(rows),
            "part": np.resize(["a", "b", "c"], rows),
            "group": [f"g{number}" for number in np.arange(rows) // 20],
            "half": (y > 0).astype(int),
            **{f"x{place}": x[:, place] for place in range(3)},
            "y": y,
        }
    )
    benchmark = Benchmark.model_validate(
        {
            "data": "made",
            "title": "made",
            "published_at": "nowhere",
            "files": [],
            "sql": "",
            "through": "PredictiveModel",
            "protocol": {"kind": kind, **MADE[kind]},
            "solution": {
                "question": "What is y?",
                "keys": ["row"],
                "target": {"column": "y"},
                "task": "regression",
                "features": {"exclude": ["part", "group", "half"]},
                "search": {"trials": 2, "max_rounds": 30, "libraries": ["linear", "lightgbm"]},
            },
            "measures": [{"name": "rmse", "better": "lower"}],
        }
    )
    return benchmark, table


def rmse(benchmark: Benchmark, table: pa.Table, split: Split, folder: Path) -> float:
    (judged,) = judge_splits(benchmark, table, [split], Ground(folder, is_quick=True))
    return next(value for (_, name), (value, _, _) in judged.metrics.items() if name == "rmse")


def test_every_protocol_that_parts_rows_is_tried_with_the_canary() -> None:
    assert set(MADE) == {each.protocol.kind for each in BY_NAME.values() if isinstance(each.protocol, RowProtocol)} | {
        round_.protocol.kind
        for each in BY_NAME.values()
        for round_ in each.beside
        if isinstance(round_.protocol, RowProtocol)
    }
    assert set(MADE) <= set(kinds())


def canary_of(table: pa.Table, split: Split) -> Any:
    """The answer where it is judged; where it is learnt, noise that has nothing of the answer, not even by chance."""
    x = np.column_stack([np.asarray(table.column(name)) for name in ("x0", "x1", "x2", "y")])
    learnt = split.parts == LEARNT
    known = np.column_stack([np.ones(learnt.sum()), x[learnt]])
    noise = np.random.default_rng(0).normal(size=learnt.sum())
    canary = x[:, 3].copy()
    canary[learnt] = noise - known @ np.linalg.lstsq(known, noise, rcond=None)[0]
    return canary


@pytest.mark.parametrize("kind", list(MADE))
def test_no_answer_of_the_judged_rows_reaches_the_search(kind: str, tmp_path: Path) -> None:
    """A canary that holds the judged answers, and noise where it is learnt, must not help; told everywhere it would."""
    benchmark, table = made(kind)
    y = np.asarray(table.column("y").to_pylist())
    (split,) = parted(benchmark, table)
    canary = table.append_column("canary", pa.array(canary_of(table, split)))
    plain = rmse(benchmark, table, split, tmp_path)
    assert rmse(benchmark, canary, split, tmp_path) > 0.95 * plain
    assert rmse(benchmark, table.append_column("canary", pa.array(y)), split, tmp_path) < 0.5 * plain


def test_no_answer_of_the_judged_cells_reaches_the_search(tmp_path: Path, data_set: Any, quick: Any) -> None:
    benchmark, table = data_set("severson_lfp")
    life = np.asarray(table.column("cycle_life").to_pylist(), dtype=float)
    (split,) = parted(benchmark, table)
    canary = np.where(split.parts == LEARNT, np.random.default_rng(0).permutation(life), life)
    warned = measure(benchmark, table.append_column("canary", pa.array(canary)), Ground(tmp_path, is_quick=True))
    for before, after in zip(quick("severson_lfp").rows, warned.rows, strict=True):
        assert after["value"] > 0.8 * before["value"]


def test_a_judged_group_is_not_learnt_from_and_gives_its_cuts() -> None:
    benchmark, table = made("grouped")
    (split,) = parted(benchmark, table)
    group = np.asarray(table.column("group").to_pylist())
    assert split.has_answer is not None
    assert not set(group[split.parts == LEARNT]) & set(group[split.parts == "judged"])
    answered = split.table(benchmark, table).filter(pa.compute.field("benchmark_part") == "judged")
    assert len(answered) == 100
    assert answered.column("y").null_count == 60


def test_the_last_rows_are_judged() -> None:
    benchmark, table = made("ordered")
    backwards = table.take(pa.array(np.arange(table.num_rows)[::-1]))
    (split,) = parted(benchmark, backwards)
    assert sorted(np.asarray(backwards.column("row"))[split.parts == "judged"].tolist()) == list(range(210, 300))


def test_work_side_by_side_comes_back_in_order_and_its_error_as_it_was(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    ground = Ground(tmp_path, tell=lambda _, done, total: told.append((done, total)))
    assert ground.each(int, ["3", "1", "2"]) == [3, 1, 2]
    assert told == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(ValueError, match="'x'"):
        ground.each(int, ["3", "x", "2"])


def test_a_terminated_run_takes_its_processes_with_it(data_set: Any) -> None:
    data_set("severson_lfp")
    folder = os.environ.get("CELLWORKS_DATA") or str(ROOT.parent / "shared" / "data")
    command = [
        str(Path(sys.executable).with_name("cellworks")),
        "benchmarks",
        "--data",
        folder,
        "--only",
        "severson_lfp",
    ]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_until(lambda: len(_group(process.pid)) >= 4)  # itself, two workers, and what watches over these
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    _wait_until(lambda: not _group(process.pid))


def _wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def _group(leader: int) -> list[str]:
    """Processes of the group that a process leads."""
    done = subprocess.run(["ps", "-o", "pid=", "-g", str(leader)], capture_output=True, text=True, check=False)
    return done.stdout.split()


def test_side_by_side_brings_what_one_after_the_other_brings(tmp_path: Path) -> None:
    benchmark, table = made("stratified")
    one, two = (
        measure(benchmark, table, Ground(tmp_path, processes=processes)).rows[0]["values"] for processes in (1, 2)
    )
    assert one == two
    assert len(set(one)) == 2


@pytest.mark.parametrize(
    ("must", "better", "value", "met"),
    [
        (0.8, "higher", 0.8, True),
        (0.8, "higher", 0.79, False),
        (13.0, "lower", 13.0, True),
        (13.0, "lower", 13.1, False),
        ([0.5, 2.0], "higher", 2.0, True),
        ([0.5, 2.0], "higher", 0.4, False),
        ([0.5, 2.0], "lower", 2.1, False),
        (None, "lower", 1.0, None),
    ],
)
def test_what_must_be_reached_is_a_limit_or_a_band(must: Any, better: str, value: float, met: bool | None) -> None:
    measure_ = Measure.model_validate({"name": "x", "must": must, "better": better})
    assert measure_.is_met(value) is met


_MONITOR = {"question": "?", "keys": ["row"], "time": "row", "reference": {"share": 0.5}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"protocol": {"kind": "parted"}}, "kind is one of"),
        ({"through": "ProcessMonitor", "solution": _MONITOR}, "ProcessMonitor"),
        ({"solution": {"question": "?", "keys": ["row"], "task": "regression"}}, "target"),
        ({"measures": [{"name": "rmse"}, {"name": "rmse"}]}, "each figure is measured once"),
        ({"protocol": {"kind": "ordered", "column": "row", "last_share": 2}}, "last_share"),
    ],
)
def test_a_wrong_benchmark_is_refused(change: dict[str, Any], told: str) -> None:
    benchmark, _ = made("ordered")
    with pytest.raises(ValidationError, match=told):
        Benchmark.model_validate(benchmark.model_dump() | change)


def test_a_figure_that_the_protocol_does_not_bring_is_told(tmp_path: Path) -> None:
    benchmark, table = made("ordered")
    other = benchmark.model_copy(update={"measures": [Measure(name="rmsee")], "beside": []})
    with pytest.raises(CellworksError, match="no figure 'rmsee'"):
        measure(other, table, Ground(tmp_path))


def test_no_benchmark_has_code_of_its_own() -> None:
    """Names of data sets stand in their YAML, not in the code."""
    code = [*(ROOT / "orchestration" / "benchmarks").rglob("*.py"), *(ROOT / "models").rglob("*.py")]
    named = {
        (file.name, name)
        for file in code
        for name in BY_NAME
        if re.search(rf"\b{name}\b", file.read_text(encoding="utf-8"))
    }
    assert named == set()
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(BY_NAME)


def test_rows_that_take_no_part_are_not_there(tmp_path: Path) -> None:
    benchmark, table = made("parts")
    protocol = {"kind": "parts", "column": "part", "learnt": ["a"], "judged": ["c"]}
    (split,) = parted(Benchmark.model_validate(benchmark.model_dump() | {"protocol": protocol}), table)
    pq.write_table(split.table(benchmark, table), tmp_path / "t.parquet")
    assert set(pq.read_table(tmp_path / "t.parquet").column("part").to_pylist()) == {"a", "c"}


def test_all_windows_of_the_machine_are_told_at_less_than_one_false_alarm_a_week(quick: Any) -> None:
    found = quick("nab_machine_temp")
    assert [row["met"] for row in found.rows if row["must"] is not None] == [True, True]
    (windows,) = found.outcomes[""].tables
    assert len(windows.rows) == 4
