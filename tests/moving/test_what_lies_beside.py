"""What lies in a home beside its instance comes into no backup and is in no restore's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.environment import default_site
from orchestration.moving.backup import backup
from orchestration.moving.home_files import keys
from orchestration.moving.restore import restore
from orchestration.plant import Plant
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

BESIDE = (
    "services/credentials.json",
    "services/postgres/base/1/112",
    "services/s3/cellworks/site/lake/a.parquet",
    "sites/north/lake/catalogue.sqlite",
    "gateway/httpd.conf",
    "fetched/4f1/3/model.json",
)


def lay(home: Home) -> None:
    for name in BESIDE:
        file = home.root / name
        file.parent.mkdir(parents=True)
        file.write_text("in use", encoding="utf-8")  # as a SQLite file it would be a damaged one


def test_servers_and_homes_of_other_sites_are_none_of_a_backup(instance: Home, tmp_path: Path) -> None:
    lay(instance)
    site = load_site(default_site())
    backup(Plant(site=site, home=instance), tmp_path / "backup")
    there = {each.relative_to(tmp_path / "backup" / "home").parts[0] for each in (tmp_path / "backup/home").rglob("*")}
    assert there >= {"lake", "twin", "registry.key"}
    assert there & {"services", "sites", "gateway", "fetched"} == set()
    again = Home(tmp_path / "again")
    lay(again)  # as where `services up --stores` started the servers to restore into
    restore(Plant(site=site, home=again), tmp_path / "backup")
    assert again.catalogue.is_file()
    assert (again.root / BESIDE[0]).read_text(encoding="utf-8") == "in use"


def test_what_points_to_something_is_copied_before_it(instance: Home) -> None:
    names = ("dagster/schedules/schedules.db", "dagster/history/runs/index.db", "dagster/history/runs.db")
    for name in names:
        (instance.root / name).parent.mkdir(parents=True, exist_ok=True)
        (instance.root / name).touch()
    ordered = keys(instance, is_embedded=True)
    assert [name for name in ordered if name in names] == list(names)
    assert len(set(ordered)) == len(ordered)


@pytest.mark.parametrize("linked", ["drop", "lake", "lake/data", "mlflow", "twin"])
def test_a_folder_that_lies_on_another_disk_is_in_the_backup(linked: str, instance: Home, tmp_path: Path) -> None:
    (instance.drop_dir / "line").mkdir(parents=True)
    (instance.drop_dir / "line" / "a.csv").write_text("cell,mass_g", encoding="utf-8")
    elsewhere = tmp_path / "disk" / "folder"
    elsewhere.parent.mkdir()
    (instance.root / linked).rename(elsewhere)
    (instance.root / linked).symlink_to(elsewhere)
    site = load_site(default_site())
    backup(Plant(site=site, home=instance), tmp_path / "backup")
    again = Home(tmp_path / "again")
    restore(Plant(site=site, home=again), tmp_path / "backup")
    assert (again.drop_dir / "line" / "a.csv").is_file()
    assert (again.twin_dir / "state.json").is_file()
    with reader(again) as con:
        assert con.execute("SELECT count(*) FROM lake.marts.cell").fetchone() == (1490,)


@pytest.mark.parametrize(
    ("link", "to", "said"),
    [
        ("drop/old", "unmounted", "link in this home leads nowhere"),
        ("drop/again", "home", "link in this home leads in a circle"),
        ("mlflow/artifacts/more", "", "link lies among the files of a store"),
        ("lake/data/more", "", "link lies among the files of a store"),
    ],
)
def test_a_link_that_a_backup_cannot_follow_is_named(
    link: str, to: str, said: str, instance: Home, tmp_path: Path
) -> None:
    place = instance.root / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(tmp_path / to)
    with pytest.raises(CellworksError, match=said) as refused:
        backup(Plant(site=load_site(default_site()), home=instance), tmp_path / "backup")
    assert link.rpartition("/")[2] in str(refused.value)


def test_a_link_to_what_is_left_out_brings_no_secret_into_a_backup(instance: Home, tmp_path: Path) -> None:
    lay(instance)
    (instance.root / "mine").symlink_to(instance.root / "services")
    backup(Plant(site=load_site(default_site()), home=instance), tmp_path / "backup")
    assert not [each for each in (tmp_path / "backup").rglob("*") if each.name == "credentials.json"]


@pytest.mark.parametrize("own", ["registry.key", "twin/state.json", "lake/data/a.parquet"])
def test_an_instance_or_a_part_of_one_is_in_the_way(own: str, instance: Home, tmp_path: Path) -> None:
    site = load_site(default_site())
    backup(Plant(site=site, home=instance), tmp_path / "backup")
    again = Home(tmp_path / "again")
    file = again.root / own
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(CellworksError, match="holds an instance already"):
        restore(Plant(site=site, home=again), tmp_path / "backup")
