"""A small instance with rows, a pinned snapshot, a registered version and a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from pipelines.lake.connection import writer
from pipelines.lake.home import Home


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded instance, to be copied before it is used."""
    home = Home(tmp_path_factory.mktemp("made") / "home")
    with writer(home, why="test") as con:
        con.execute("CREATE SCHEMA lake.marts")
        con.execute("CREATE TABLE lake.marts.cell AS SELECT i AS id, i * 0.5 AS mass_g FROM range(1000) t(i)")
        con.execute("CREATE VIEW lake.marts.heavy AS SELECT id FROM lake.marts.cell WHERE mass_g > 400")
        con.execute("DELETE FROM lake.marts.cell WHERE id < 10")
        con.execute("INSERT INTO lake.marts.cell SELECT i, 1.25 FROM range(5000, 5500) t(i)")
    _register(home)
    _run(home)
    (home.twin_dir / "state.json").write_text('{"day": 6}', encoding="utf-8")
    key = home.root / "registry.key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    return home.root


@pytest.fixture
def instance(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of the instance at another place."""
    from models.registry.client import open_home

    home = Home(tmp_path / "home")
    shutil.copytree(made, home.root)
    open_home(home)  # its artifacts' addresses follow it
    monkeypatch.setenv("CELLWORKS_HOME", str(home.root))
    monkeypatch.delenv("CELLWORKS_ENV", raising=False)
    return home


def _register(home: Home) -> None:
    from models.registry.client import open_home

    client = open_home(home)
    experiment = client.create_experiment("stage/slug", (home.root / "mlflow/artifacts/stage.slug").as_uri())
    run = client.create_run(experiment)
    client.log_metric(run.info.run_id, "auc", 0.8125)
    client.log_text(run.info.run_id, "3.5 * mass_g", "model/rule.txt")
    client.set_terminated(run.info.run_id)
    client.create_registered_model("slug")
    version = client.create_model_version("slug", f"{run.info.artifact_uri}/model", run.info.run_id)
    client.set_registered_model_alias("slug", "champion", version.version)


def _run(home: Home) -> None:
    @dg.asset
    def cell() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"rows_in": 1490})

    @dg.asset_check(asset=cell)
    def has_rows() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    with dg.DagsterInstance.local_temp(str(home.dagster_dir)) as instance:
        assert dg.materialize([cell, has_rows], instance=instance).success
