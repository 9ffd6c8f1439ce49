"""A registry in which others than the platform write too: what it says of a version is not believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.registry.client import open_home
from models.registry.contents import UntrustedFilesError
from models.registry.fetched import forget_all_but
from models.registry.versions import Version, champion, get_version
from pipelines.lake.home import Home

NAME = "finishing.cells"


def test_a_run_that_leads_out_of_the_home_is_an_alarm_and_nothing_is_touched(home: Home, tmp_path: Path) -> None:
    client = open_home(home)
    client.create_registered_model(NAME)
    for made, run_id in enumerate(("../../victim", str(tmp_path / "victim"), "A" * 32, ""), 1):
        number = str(made)
        victim = tmp_path / f"victim-{number}"
        victim.mkdir()
        (victim / "kept.txt").write_text("kept")
        client.create_model_version(NAME, "s3://elsewhere/model", run_id)
        client.set_registered_model_alias(NAME, "champion", number)
        found = champion(home, NAME)
        assert found is not None
        assert found.version is None
        assert "was not made by a training run" in str(found.alarm)
        with pytest.raises(UntrustedFilesError, match="was not made by a training run"):
            get_version(client, NAME, number, home).check()
        forget_all_but(home, {(run_id, number)})
        assert [each.name for each in victim.iterdir()] == ["kept.txt"]
    assert not (home.root / "fetched").exists()


@pytest.mark.parametrize("location", ["s3://elsewhere/model", "{root}x/model", "{root}/../model", "{root}"])
def test_files_outside_the_instances_store_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    told = {
        "CELLWORKS_ENV": "servers",
        "CELLWORKS_POSTGRES_URL": "postgresql://nobody@127.0.0.1:9/plant",
        "CELLWORKS_S3_URL": "s3://plant/one",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    home = Home(tmp_path / "home")
    address = location.format(root=home.stores.mlflow_artifacts)
    with pytest.raises(UntrustedFilesError, match="outside this instance's store"):
        Version(NAME, "1", "a" * 32, {}, address, home).check()
    assert not (home.root / "fetched").exists()
