"""A home that was moved or copied keeps its models: the registry's addresses follow it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.registry.client import open_home
from pipelines.lake.home import Home


@pytest.fixture
def moved(made: Path, tmp_path: Path) -> Home:
    """A copy whose original is out of reach."""
    home = Home(tmp_path / "a place, moved" / "home")
    shutil.copytree(made, home.root)
    return home


def test_what_came_along_is_read_and_written_where_the_home_lies_now(moved: Home, made: Path) -> None:
    client = open_home(moved)
    before = sorted(each for each in made.rglob("*") if each.is_file())
    experiment = client.get_experiment_by_name("stage/slug")
    (run,) = client.search_runs([experiment.experiment_id])
    assert Path(client.download_artifacts(run.info.run_id, "model/rule.txt")).read_text() == "3.5 * mass_g"
    version = client.get_model_version_by_alias("slug", "champion")
    own = (moved.root / "mlflow" / "artifacts").as_uri()
    assert version.source == f"{own}/stage.slug/{run.info.run_id}/artifacts/model"
    later = client.create_run(experiment.experiment_id)
    client.log_text(later.info.run_id, "later", "later.txt")
    assert (moved.root / "mlflow/artifacts/stage.slug" / later.info.run_id / "artifacts/later.txt").is_file()
    assert sorted(each for each in made.rglob("*") if each.is_file()) == before


def test_what_did_not_come_along_keeps_its_address(moved: Home, made: Path) -> None:
    shutil.rmtree(moved.root / "mlflow" / "artifacts")
    client = open_home(moved)
    experiment = client.get_experiment_by_name("stage/slug")
    assert experiment.artifact_location == (made / "mlflow" / "artifacts" / "stage.slug").as_uri()


def test_a_place_of_the_users_own_is_left_alone(moved: Home, tmp_path: Path) -> None:
    own = (tmp_path / "elsewhere").as_uri()
    open_home(moved).create_experiment("mine", own)
    assert open_home(moved).get_experiment_by_name("mine").artifact_location == own
