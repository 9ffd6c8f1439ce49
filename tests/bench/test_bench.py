"""The benchmark's mechanics: schema, honesty of the bare scripts, and what it says of a missing part."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.bench import homes
from orchestration.bench.ground import SMALL, STAGES, Ground, Night
from orchestration.bench.nights import second_night
from orchestration.bench.process import Ran, bare, run
from orchestration.bench.report import page
from orchestration.bench.rows import Row, Target, samples
from orchestration.bench.run import measure
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BARE = sorted((ROOT / "tests" / "bench" / "bare").glob("*.py"))
OURS = {"orchestration", "models", "expectations", "pipelines"}
COLUMNS = {"name", "ours", "bare", "unit", "ratio", "target", "met"}


def bench(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("cellworks")), "bench", *arguments]
    return subprocess.run(command, env={"CELLWORKS_HOME": str(home)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", BARE, ids=lambda path: path.stem)
def test_bare_scripts_are_short_and_know_nothing_of_ours(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in imports if isinstance(node, ast.ImportFrom)]
    assert len(text.splitlines()) <= 60
    assert not OURS & {name.split(".")[0] for name in names}


@pytest.mark.parametrize(("task", "classes"), [("regression", {}), ("binary", {}), ("multiclass", {"num_class": 3})])
def test_the_bare_loops_fit_every_task_with_every_library(task: str, classes: dict[str, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    target = rng.normal(size=90) if task == "regression" else np.arange(90) % classes.get("num_class", 2)
    fold = np.where(np.arange(90) < 60, 1, 2)
    columns = {"x": rng.normal(size=90), "__target": target, "fold_0": fold, "all": np.ones(90, dtype=int)}
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    tried: list[tuple[str, dict[str, float]]] = [("lightgbm", {}), ("xgboost", {})]
    tried.append(("linear", {"alpha": 1.0} if task == "regression" else {"C": 1.0}))
    trials = [{"library": name, "params": given, "rounds": {"fold_0": 2, "all": 2}} for name, given in tried]
    about: dict[str, object] = {
        "task": task,
        "classes": classes,
        "target": "__target",
        "features": ["x"],
        "categories": [],
    }
    about |= {"threads": 1, "seed": 7, "max_bin": 63, "trials": trials}
    (tmp_path / "work.json").write_text(json.dumps(about), encoding="utf-8")
    told = bare("bare_training.py", tmp_path, tmp_path / "table.parquet", tmp_path / "work.json").told
    assert told["seconds"] > 0


def test_a_row_tells_the_ratio_of_the_medians_and_whether_the_target_is_met() -> None:
    row = Row("x", samples([3.0, 1.0, 2.0]), "s", samples([1.0, 1.5]), Target("ratio", "<=", 1.5))
    told = row.as_json()
    assert told["ratio"] == pytest.approx(1.6)
    assert told["met"] is False
    assert told["ours_min_max"] == [1.0, 3.0]


def test_a_target_on_the_ratio_is_open_without_a_bare_figure() -> None:
    assert Row("x", samples(1.0), "s", None, Target("ratio", "<=", 4.0)).as_json()["met"] is None
    assert Row("x", samples(7.0), "s", None, Target("ours", "<=", 6.0)).as_json()["met"] is False


def test_an_unknown_part_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "nonsense")
    assert done.returncode == 2
    assert "ingestion" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_part_that_fails_is_told_and_loses_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_ground: Ground) -> list[Row]:
        raise CellworksError("the night failed")

    monkeypatch.setattr("orchestration.bench.run.GROUPS", {"a": broken, "b": lambda _: [Row("b", samples(1.0), "s")]})
    result = measure(Home(tmp_path), SMALL, None, lambda _: None)
    assert "the night failed" in result["failed"]["a"]
    assert [row["name"] for row in result["rows"]] == ["b"]
    assert "the night failed" in page(result | {"command": "cellworks bench"})


def test_what_is_being_done_says_which_part_of_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def part(ground: Ground) -> list[Row]:
        ground.tell("at work")
        return []

    monkeypatch.setattr("orchestration.bench.run.GROUPS", {"a": part, "b": part})
    told: list[str] = []
    measure(Home(tmp_path), SMALL, None, told.append)
    measure(Home(tmp_path), SMALL, "b", told.append)
    assert told == ["1/2 at work", "2/2 at work", "1/1 at work"]


def night(seconds: float, trials: dict[str, dict[str, int]]) -> Night:
    return Night(Ran(seconds, 10**9, "", seconds), dict.fromkeys(STAGES, seconds), trials)


@pytest.mark.parametrize(
    ("trials_of_version_2", "is_met"), [(2, True), (0, False), (None, False)], ids=["learnt", "no trial", "no version"]
)
def test_a_second_night_has_learnt_only_with_trials_in_a_new_versions_table(
    tmp_path: Path, trials_of_version_2: int | None, is_met: bool
) -> None:
    ground = Ground(tmp_path, SMALL, lambda _: None)
    later = {"1": 8} if trials_of_version_2 is None else {"1": 8, "2": trials_of_version_2}
    ground.__dict__["first_night"] = night(100.0, {"finishing/yield": {"1": 8}})
    ground.__dict__["second_night"] = night(19.0, {"finishing/yield": later})
    rows = {row.name: row for row in second_night(ground)}
    assert rows["second_night_retrained"].is_met is is_met
    assert rows["second_night_curation"].ratio == pytest.approx(0.19)
    assert rows["second_night_curation"].is_met is True
    whole = rows["second_night_of_all"]
    assert whole.ours.median == pytest.approx(19 / 60)
    assert whole.ratio is None
    assert whole.is_met is True


def test_a_terminated_benchmark_takes_its_processes_and_its_folder_with_it(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("cellworks")), "bench", "--small", "--only", "ingestion"]
    process = subprocess.Popen(command, env={"CELLWORKS_HOME": str(tmp_path)}, stderr=subprocess.DEVNULL)
    drop = f"bench/{process.pid}/plant/drop/*/*"
    until = time.monotonic() + 120
    while not list(tmp_path.glob(drop)) and time.monotonic() < until:
        time.sleep(0.05)
    assert list(tmp_path.glob(drop)), "the twin delivered nothing"
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not list((tmp_path / "bench").iterdir())
    assert str(tmp_path) not in _commands()


def _commands() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_the_small_benchmark_measures_ingestion_beside_duckdb_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = bench(tmp_path, "--small", "--only", "ingestion", "--json", "--docs", str(tmp_path / "docs"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [row["name"] for row in result["rows"]] == ["ingestion_parquet", "ingestion_csv", "ingestion_csv_long"]
    for row in result["rows"]:
        assert set(row) >= COLUMNS
        assert row["ours"] > 0
        assert row["ratio"] == pytest.approx(row["ours"] / row["bare"])
        assert row["met"] == (row["ratio"] >= 0.5)
    assert result["machine"]["cores"] >= 1
    assert not list((tmp_path / "bench").iterdir())
    written = json.loads((tmp_path / "docs" / "bench.json").read_text(encoding="utf-8"))
    assert written == result
    assert page(result) == (tmp_path / "docs" / "bench.md").read_text(encoding="utf-8")


def test_a_process_that_fails_is_told_with_its_own_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('the disk is full')"]
    with pytest.raises(CellworksError, match="the disk is full"):
        run(command, tmp_path)


def test_peak_memory_is_that_of_the_child_and_not_of_whoever_starts_it(tmp_path: Path) -> None:
    ours = b"x" * 300_000_000  # what a process inherits from its starter would hide the child's own peak
    small = run([sys.executable, "-c", "print('{}')"], tmp_path)
    large = run([sys.executable, "-c", "x = b'x' * 200_000_000; print('{\"held\": %d}' % len(x))"], tmp_path)
    assert large.told == {"held": 200_000_000}
    assert small.peak_bytes < 50_000_000 < 200_000_000 < large.peak_bytes < len(ours)


def test_only_files_of_the_wanted_kind_are_delivered(tmp_path: Path) -> None:
    drop = tmp_path / "drop" / "mes__stacking"
    drop.mkdir(parents=True)
    for name in ("a.csv", "a.csv.gz", "a.parquet"):
        (drop / name).write_text("x", encoding="utf-8")
    home = homes.fresh(tmp_path / "home")
    homes.deliver(home, tmp_path / "drop", (".csv", ".parquet"))
    assert sorted(file.name for file in home.drop_dir.glob("*/*")) == ["a.csv", "a.parquet"]


def test_a_copy_of_a_lake_shares_its_data_but_not_its_catalogue(tmp_path: Path) -> None:
    source = homes.fresh(tmp_path / "source")
    data = source.data_dir / "raw" / "x.parquet"
    data.parent.mkdir()
    data.write_text("rows", encoding="utf-8")
    source.catalogue.write_text("catalogue", encoding="utf-8")
    copy = homes.with_lake(tmp_path / "copy", source)
    copy.catalogue.write_text("changed", encoding="utf-8")
    assert (copy.data_dir / "raw" / "x.parquet").samefile(data)
    assert source.catalogue.read_text(encoding="utf-8") == "catalogue"
