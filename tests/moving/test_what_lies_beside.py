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
