"""A model that lies in an object store: fetched when it is needed, once, and never left in the temporary folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from models.registry.client import open_home
from models.registry.contents import BUNDLE, UntrustedFilesError, tags_of
from models.registry.fetched import forget_all_but, text_of
from models.registry.versions import Version, get_version
from pipelines.lake.home import Home
from tests.servers import Servers

pytestmark = pytest.mark.servers
NAME = "finishing.cells"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def stored(on_servers: Servers, tmp_path: Path, temporary: Path) -> tuple[Any, Home]:
    """A registry with one version, whose files are in the bucket alone."""
    home, folder = Home(tmp_path / "home"), tmp_path / "model"
    (folder / BUNDLE).mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / BUNDLE / "bundle.json").write_text("{}")
    client = open_home(home)
    experiment = client.create_experiment("cells", artifact_location=f"{home.stores.mlflow_artifacts}/cells")
    run = client.create_run(experiment)
    client.log_artifacts(run.info.run_id, str(folder), "model")
    client.create_registered_model(NAME)
    tags = tags_of(home, NAME, run.info.run_id, folder)
    client.create_model_version(NAME, f"{run.info.artifact_uri}/model", run.info.run_id, tags=tags)
    shutil.rmtree(folder)
    return client, home


def _version(stored: tuple[Any, Home]) -> Version:
    client, home = stored
    return get_version(client, NAME, "1", home)


def _copies(home: Home) -> list[str]:
    return sorted(each.name for each in (home.root / "fetched").glob("*"))


def test_tags_are_read_without_a_file_and_files_are_fetched_once(
    stored: tuple[Any, Home], on_servers: Servers, temporary: Path
) -> None:
    home = stored[1]
    assert _version(stored).tags
    assert _copies(home) == []
    assert (_version(stored).bundle / "bundle.json").read_text() == "{}"
    (copy,) = _copies(home)
    assert copy.endswith("-1")
    for folder in (on_servers.folder / "objects").rglob(copy.removesuffix("-1")):
        shutil.rmtree(folder)
    assert (_version(stored).bundle / "bundle.json").read_text() == "{}"
    assert list(temporary.iterdir()) == []


def test_a_copy_that_was_damaged_here_is_fetched_anew_and_one_in_the_store_counts(
    stored: tuple[Any, Home], on_servers: Servers
) -> None:
    version = _version(stored)
    copy = version.bundle / "bundle.json"
    copy.write_text("hostile")
    assert (_version(stored).bundle / "bundle.json").read_text() == "{}"
    copy.unlink()
    assert (_version(stored).bundle / "bundle.json").read_text() == "{}"
    (original,) = (on_servers.folder / "objects").rglob(f"{version.run_id}/**/artifacts/bundle/bundle.json")
    original.write_text("hostile")
    _version(stored).check()
    copy.write_text("hostile")
    with pytest.raises(UntrustedFilesError, match=r"bundle\.json of version 1"):
        _version(stored).check()


def test_copies_go_with_their_versions_and_what_a_killed_process_left_after_a_day(stored: tuple[Any, Home]) -> None:
    version = _version(stored)
    home = version.home
    root = version.bundle.parents[2]
    for name in ("draft-killed", "draft-at_work", "other-1"):
        (root / name).mkdir()
    os.utime(root / "draft-killed", (0, 0))
    forget_all_but(home, {(version.run_id, "1")})
    assert _copies(home) == sorted([f"{version.run_id}-1", "draft-at_work"])
    forget_all_but(home, ())
    assert _copies(home) == ["draft-at_work"]


def test_an_artifact_that_is_read_leaves_nothing(stored: tuple[Any, Home], temporary: Path) -> None:
    client, _ = stored
    assert text_of(client, _version(stored).run_id, "model/MLmodel") == "flavors: {}\n"
    assert list(temporary.iterdir()) == []
