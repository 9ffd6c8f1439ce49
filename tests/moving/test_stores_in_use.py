"""A home's instance is in files or on servers, and no command uses the other ones in passing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestration.cli import services
from orchestration.plant import claim, plant, plant_of_any_stores, stores_in_use
from orchestration.services import credentials
from orchestration.services.choice import Wanted, choose
from orchestration.services.settings import Place, Settings, save
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from tests.servers import NOBODYS


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in NOBODYS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_an_instance_in_files_is_not_passed_by(instance: Home, chosen: pytest.MonkeyPatch) -> None:
    assert stores_in_use(instance) == "embedded"  # as an earlier release left it: no word of stores in site.json
    with pytest.raises(CellworksError, match="other stores") as told:
        plant()
    assert "cellworks migrate" in told.value.mend
    assert plant_of_any_stores().home == instance
    chosen.setenv("CELLWORKS_ENV", "embedded")
    claim(plant())
    chosen.setenv("CELLWORKS_ENV", "servers")
    with pytest.raises(CellworksError, match="other stores"):
        plant()


def test_an_instance_on_servers_gets_no_second_lake_in_files(tmp_path: Path, chosen: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    chosen.setenv("CELLWORKS_HOME", str(home.root))
    assert stores_in_use(home) is None
    claim(plant())
    assert stores_in_use(home) == "servers"
    chosen.delenv("CELLWORKS_ENV")
    with pytest.raises(CellworksError, match="other stores") as told:
        plant()
    assert "run-on-servers" in told.value.mend
    shell = Place.of(home).ensure().environment
    shell.touch()
    with pytest.raises(CellworksError) as told:
        plant()
    assert f". {shell}" in told.value.mend


@pytest.mark.parametrize(
    ("variable", "other"),
    [
        ("CELLWORKS_POSTGRES_URL", "postgresql://cellworks@127.0.0.1:2/plant"),
        ("CELLWORKS_POSTGRES_URL", "postgresql://cellworks@127.0.0.1:1/other"),
        ("CELLWORKS_S3_URL", "s3://plant/b"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:2"),
    ],
)
def test_an_instance_on_servers_gets_no_second_lake_on_others(
    variable: str, other: str, tmp_path: Path, chosen: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    chosen.setenv("CELLWORKS_HOME", str(home.root))
    claim(plant())
    assert plant().home == home
    chosen.setenv(variable, other)
    with pytest.raises(CellworksError, match="on other servers") as told:
        plant()
    assert other in told.value.found and NOBODYS[variable] in told.value.expected
    assert "secret" not in str(told.value)
    claim(plant_of_any_stores())  # as `services up` does, whose ports may be others than before
    assert plant().home == home


def test_a_note_of_an_earlier_release_names_no_servers_and_refuses_none(
    instance: Home, chosen: pytest.MonkeyPatch
) -> None:
    note = {"name": "demo", "folder": str(plant_of_any_stores().site.folder), "environment": "servers"}
    (instance.root / "site.json").write_text(json.dumps(note), encoding="utf-8")
    assert plant().home == instance


def test_an_instance_that_was_moved_is_on_servers(instance: Home, chosen: pytest.MonkeyPatch) -> None:
    instance.moved_file.write_text("{}", encoding="utf-8")
    assert stores_in_use(instance) == "servers"
    claim(plant())
    assert json.loads((instance.root / "site.json").read_text())["environment"] == "servers"
    chosen.delenv("CELLWORKS_ENV")
    with pytest.raises(CellworksError, match="other stores"):
        plant()


@pytest.mark.parametrize("note", ["", "[1]", '{"environment": 7}', '{"name": "demo"}'])
def test_a_damaged_note_says_nothing(note: str, instance: Home) -> None:
    (instance.root / "site.json").write_text(note, encoding="utf-8")
    assert plant().home == instance
    assert stores_in_use(instance) == "embedded"


def test_servers_do_not_begin_beside_an_instance_in_files(instance: Home) -> None:
    with pytest.raises(CellworksError, match="is in files") as told:
        services.up([], 8080, stores_only=False, as_json=True)
    assert "--stores" in told.value.mend and "cellworks migrate" in told.value.mend
    assert not Place.of(instance).root.exists()


def test_what_our_own_shell_file_says_is_no_given_server(instance: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    here, place = plant_of_any_stores(), Place.of(instance).ensure()

    def choice() -> Settings:
        return choose(place, Wanted((here.site.folder,), stores_only=True))

    first = choice()
    credentials.write_files(place, first, instance.root)
    save(place, first)
    for name, value in credentials.environment(place, first, instance.root).items():
        monkeypatch.setenv(name, value)
    assert choice() == first
    monkeypatch.setenv("CELLWORKS_POSTGRES_URL", "postgresql://me@db.example:5432/plant")
    given = choice()
    assert (given.owns_postgres, given.owns_s3) == (False, True)
