"""Old versions of a model go with runs and artifacts; what anything points to stays, and can be rolled back to."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.context import ModelContext
from models.gates.judge import judge
from models.registry.aliases import carry_out, new_move, promote
from models.registry.by_person import rollback
from models.registry.client import open_home
from models.registry.retention import let_training_go, old_training
from models.registry.run import training_run
from models.registry.versions import SHADOW, aliases, all_versions, champion, sign_override
from models.spec import PredictiveSpec
from models.train import train
from orchestration.environment import default_site
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.retention import Retention
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import current_snapshot, reader, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS, writer_lock
from pipelines.lake.maintenance import pin
from pipelines.lake.schemas import bootstrap

pytestmark = pytest.mark.slow

AT_ONCE = 1e-9  # days
ONE = Retention(keep_model_versions=1, keep_deleted_days=AT_ONCE)


@pytest.fixture(scope="module")
def nights(
    tmp_path_factory: pytest.TempPathFactory,
    make_home: Callable[[Path], Any],
    cells: Callable[..., Any],
    solution: Callable[..., PredictiveSpec],
) -> Iterator[tuple[PredictiveSpec, ModelContext]]:
    """Version 1 was champion, 2 is, 3 and 4 were never more than challengers, 5 is the challenger; one run failed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("nights")
    pq.write_table(pa.table(cells(800)), folder / "cells.parquet")
    search = {"trials": 1, "max_rounds": 20, "libraries": ["lightgbm"]}
    spec = solution(str(folder / "cells.parquet"), "regression", search=search)
    ctx = ModelContext(make_home(folder), n_threads=1)
    bootstrap(ctx.home, load_site(default_site()))
    for number in range(5):
        trained = train(spec, ctx)
        if number < 2:
            assert promote(spec, ctx, judge(spec, ctx, trained)).alias == "champion"
    with writer(ctx.home, why="test") as con:
        for each in all_versions(open_home(ctx.home), spec.name):
            pin(con, current_snapshot(con), "training set", str(each.run_id))
    with pytest.raises(ZeroDivisionError), training_run(open_home(ctx.home), spec, ctx):
        raise ZeroDivisionError
    yield spec, ctx


def _now(days: float = 0.0) -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) + timedelta(days=days)


def _numbers(ctx: ModelContext, spec: PredictiveSpec) -> list[str]:
    return [str(each.version) for each in all_versions(open_home(ctx.home), spec.name)]


def _found(ctx: ModelContext, policy: Retention, *held: tuple[str, str], days: float = 0.0) -> tuple[list[str], int]:
    old = old_training(ctx.home, policy, _now(days), lambda: held)
    return [each.number for each in old.versions], len(old.runs)


def _rows(ctx: ModelContext, of: str) -> int:
    """Rows of MLflow's own table, which none of its doors tells of."""
    file = ctx.home.stores.mlflow_uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as con:
        return int(con.execute(f"SELECT count(*) FROM {of}").fetchone()[0])


def test_only_what_nothing_points_to_would_go(nights: tuple[PredictiveSpec, ModelContext]) -> None:
    spec, ctx = nights
    assert _found(ctx, ONE) == (["3"], 1)
    assert _found(ctx, Retention(keep_model_versions=2)) == ([], 0)
    assert _found(ctx, ONE, ("cells", "3")) == ([], 0), "an open action of the slug names it"
    assert _found(ctx, ONE, ("other", "3")) == (["3"], 1)
    assert _found(ctx, ONE, days=91) == (["3"], 2), "the run that failed is old by then"
    assert _numbers(ctx, spec) == ["5", "4", "3", "2", "1"], "asking changes nothing"


def test_a_copied_home_never_deletes_the_files_of_its_original(
    nights: tuple[PredictiveSpec, ModelContext], tmp_path: Path
) -> None:
    spec, ctx = nights
    copy, bare = Home(tmp_path / "copy"), Home(tmp_path / "bare")
    shutil.copytree(ctx.home.root, copy.root)
    shutil.copytree(ctx.home.root, bare.root, ignore=shutil.ignore_patterns("artifacts"))
    before = sorted(ctx.home.root.rglob("*"))
    with pytest.raises(CellworksError, match="outside this instance"):
        let_training_go(bare, ONE, _now())
    assert len(all_versions(open_home(bare), spec.name)) == 5
    assert [each.number for each in let_training_go(copy, ONE, _now()).versions] == ["3"]
    assert sorted(ctx.home.root.rglob("*")) == before


def test_a_prune_that_is_killed_while_it_deletes_runs_leaves_no_pin_behind(
    nights: tuple[PredictiveSpec, ModelContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    spec, ctx = nights
    home = Home(tmp_path / "copy")
    shutil.copytree(ctx.home.root, home.root)
    delete = MlflowClient.delete_run

    def die_after(client: MlflowClient, run_id: str) -> None:
        delete(client, run_id)
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(MlflowClient, "delete_run", die_after)
        with pytest.raises(KeyboardInterrupt):
            let_training_go(home, ONE, _now())
    let_training_go(home, ONE, _now())
    with reader(home) as con:
        holders = {str(holder) for (holder,) in con.execute("SELECT holder FROM lake.ops.pin").fetchall()}
    assert holders == {str(each.run_id) for each in all_versions(open_home(home), spec.name)}


def test_a_night_in_the_shadow_holds_no_version_for_ever(
    nights: tuple[PredictiveSpec, ModelContext], tmp_path: Path
) -> None:
    spec, ctx = nights
    home = Home(tmp_path / "copy")
    shutil.copytree(ctx.home.root, home.root)
    client, name = open_home(home), spec.name

    def move(number: str | None) -> None:
        with writer_lock(home, "test", area=ACTS):
            carry_out(client, home, new_move("shadow", name, aliases(client, name), {SHADOW: number}, "Ana", "test"))

    move("3")
    assert old_training(home, ONE, _now()).versions[:1] == (), "while it is there it stays"
    move(None)
    assert [each.number for each in old_training(home, ONE, _now()).versions] == ["3"]


def test_what_goes_goes_with_its_files_and_the_champion_and_its_predecessor_still_act(
    nights: tuple[PredictiveSpec, ModelContext],
) -> None:
    from mlflow.entities import Dataset, DatasetInput

    spec, ctx = nights
    client = open_home(ctx.home)
    root = ctx.home.root / "mlflow" / "artifacts"
    going = client.get_model_version(spec.name, "3")
    marks = (str(going.run_id), str(going.source).rsplit("/", 1)[-1])

    def files() -> list[Path]:
        return [each for each in root.rglob("*") if each.is_file() and any(mark in each.parts for mark in marks)]

    assert len(files()) > 10
    once = Dataset(name="rows of version 3 alone", digest="3", source_type="file", source="{}")
    client.log_inputs(going.run_id, [DatasetInput(once)])
    assert _rows(ctx, "datasets") == 2
    gone = let_training_go(ctx.home, ONE, _now())
    assert [(each.model, each.number) for each in gone.versions] == [(spec.name, "3")]
    assert _numbers(ctx, spec) == ["5", "4", "2", "1"]
    assert files() == []
    assert [each for each in root.rglob("*") if each.is_dir() and not any(each.iterdir())] == []
    with reader(ctx.home) as con:
        holders = con.execute("SELECT holder FROM lake.ops.pin").fetchall()
    left = all_versions(client, spec.name)
    assert sorted(holders) == sorted((str(each.run_id),) for each in left), "a version's snapshot is let go with it"
    assert let_training_go(ctx.home, ONE, _now()).versions == ()
    assert _rows(ctx, "datasets") == 1, "all versions were trained on the same rows"
    assert _rows(ctx, "inputs WHERE destination_type = 'RUN'") == len(left)
    assert _rows(ctx, "inputs WHERE source_type = 'RUN_OUTPUT'") == _rows(ctx, "logged_models") == len(left)
    assert _rows(ctx, "input_tags") == len(left)
    assert _rows(ctx, "model_versions") == len(left), "a deleted version leaves no row"
    assert _rows(ctx, "model_version_tags WHERE version = 3") == 0 < _rows(ctx, "model_version_tags WHERE version = 4")

    reigning = champion(ctx.home, "cells")
    assert reigning is not None
    assert reigning.version is not None
    assert reigning.version.number == "2"
    reigning.version.scorer()
    assert rollback(ctx.home, "cells", "Ana", "scrap rose").version == "1"
    assert rollback(ctx.home, "cells", "Ana", "it was the gauge").version == "2"


def test_a_signed_version_and_the_files_of_another_one_stay(nights: tuple[PredictiveSpec, ModelContext]) -> None:
    spec, ctx = nights
    client = open_home(ctx.home)
    train(spec, ctx)  # the newest takes the alias `challenger` from the one before
    shared = client.create_model_version(spec.name, client.get_model_version(spec.name, "4").source)
    assert {"5", "4"} <= {each.number for each in old_training(ctx.home, ONE, _now()).versions}
    sign_override(ctx.home, spec.name, "5", "Ana", "trial run")
    old = old_training(ctx.home, ONE, _now())
    assert {"5", "4"} & {each.number for each in old.versions} == {"4"}
    needed = client.get_model_version(spec.name, "4").run_id
    assert needed not in old.runs, f"version {shared.version} answers from the files of version 4"


def test_no_number_of_a_version_is_given_twice(nights: tuple[PredictiveSpec, ModelContext]) -> None:
    spec, ctx = nights
    client = open_home(ctx.home)
    newest = max(int(each.version) for each in all_versions(client, spec.name))
    client.delete_model_version(spec.name, str(newest))
    let_training_go(ctx.home, ONE, _now())
    assert _rows(ctx, f"model_versions WHERE version = {newest}") == 1
    source = client.get_model_version(spec.name, "4").source
    assert int(client.create_model_version(spec.name, source).version) == newest + 1
