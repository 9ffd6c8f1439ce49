"""`cellworks doctor` on an installation that is broken in many ways: it says which, and how to mend each."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from models.registry.client import open_home
from models.registry.contents import tags_of
from models.registry.versions import get_version, tag_verdict
from orchestration.cli.serve import HOST, MLFLOW_PORT
from orchestration.doctor import machine, stores, work
from orchestration.doctor.finding import Installation
from orchestration.environment import SITE_VARIABLE, default_site
from orchestration.plant import plant
from orchestration.run_lock import night_lock
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.stores import ENV_VARIABLE
from tests.servers import Servers

pytestmark = pytest.mark.slow

Here = Callable[..., Any]
Doctor = Callable[[], tuple[int, dict[str, list[dict[str, str]]]]]
DEAD = 4_194_304  # beyond the highest pid of Linux


@pytest.fixture
def doctor(here: Here) -> Doctor:
    """An installation of the test's own after `init`; gives the exit code and the findings by look."""
    assert here("init").returncode == 0
    with writer(plant().home, why="rows of a table") as con:
        con.execute("CREATE TABLE lake.ops.note AS SELECT range AS id FROM range(1000)")

    def run() -> tuple[int, dict[str, list[dict[str, str]]]]:
        told = here("doctor", "--json")
        document = json.loads(told.stdout)
        assert (told.returncode == 1) == (document["errors"] > 0)
        found: dict[str, list[dict[str, str]]] = {}
        for each in document["findings"]:
            assert each["level"] == "ok" or each["mend"], each
            found.setdefault(each["check"], []).append(each)
        return told.returncode, found

    return run


def wrong(found: dict[str, list[dict[str, str]]], check: str, level: str = "error") -> str:
    """What a look says is wrong, with how to mend it."""
    return " | ".join(f"{each['what']} -> {each['mend']}" for each in found[check] if each["level"] == level)


def test_a_sound_installation_has_no_error_and_is_left_as_it_was(doctor: Doctor) -> None:
    home = plant().home
    before = {file: file.stat().st_mtime_ns for file in home.lake_dir.rglob("*.parquet")}
    with reader(home) as con:
        snapshot = con.execute("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')").fetchone()
    code, found = doctor()
    errors = {check: wrong(found, check) for check in found if check != "packages" and wrong(found, check)}
    assert errors == {}, "packages are the machine's"
    assert {"python", "packages", "extensions", "lake", "registry", "runs", "clock", "locks", "disk"} <= set(found)
    assert {file: file.stat().st_mtime_ns for file in home.lake_dir.rglob("*.parquet")} == before
    with reader(home) as con:
        assert con.execute("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')").fetchone() == snapshot
    assert code == (1 if wrong(found, "packages") else 0)


def test_many_things_that_are_wrong_at_once_are_each_told(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = plant().home
    (home.root / "registry.key").write_bytes(b"")
    (home.root / "registry.key").chmod(0o644)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "nowhere"))
    monkeypatch.setattr(machine, "LEAST_FREE_BYTES", shutil.disk_usage(home.root).total * 2)
    monkeypatch.setattr(machine, "version", lambda name: "0.0.1" if name == "agate" else version(name))
    (home.root / "nightly.json").write_text(json.dumps({"pid": DEAD, "what": "nightly", "since": "2026-01-01"}))
    (home.dagster_dir / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    shutil.rmtree(home.gx_dir)
    home.gx_dir.write_text("a file, no folder")
    feed = home.drop_dir / next(iter(plant().site.feeds))
    feed.mkdir(parents=True, exist_ok=True)
    (feed / "tomorrow.csv").write_text("x\n")
    os.utime(feed / "tomorrow.csv", (time.time() + 86_400,) * 2)
    data = next(home.data_dir.rglob("*.parquet"))
    data.write_bytes(data.read_bytes()[:100])
    code, found = doctor()
    assert code == 1
    assert "registry.key holds a secret and is open to others" in wrong(found, "private files")
    assert f"-> chmod 600 {home.root / 'registry.key'}" in wrong(found, "private files")
    assert "registry.key holds no key: 0 bytes, not 32 -> put it back from a back-up" in wrong(found, "private files")
    assert "PGPASSFILE names" in wrong(found, "private files")
    assert "less than a night needs -> make room" in wrong(found, "disk")
    assert "agate 0.0.1, not " in wrong(found, "packages")
    assert "-> run `make setup`" in wrong(found, "packages")
    assert f"process {DEAD}) died without a word" in wrong(found, "locks", "warning")
    assert "dagster.yaml is not as embedded.yaml of this release" in wrong(found, "runs", "warning")
    assert f"{home.gx_dir} is no folder" in wrong(found, "folders")
    assert "1 delivered files are from the future, such as tomorrow.csv" in wrong(found, "clock")
    assert "1 data files of the lake are damaged: ops.note" in wrong(found, "lake")
    assert "is cut -> put them back from a back-up" in wrong(found, "lake")


def test_only_what_the_platform_needs_must_be_installed(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image leaves developers' packages out, and extras that it does without."""
    gone = {"pytest", "sqlfluff", "supervisor", "agate", "dagster"}

    def found_in_the_image(name: str) -> str:
        if name in gone:
            raise PackageNotFoundError(name)
        return "0.0.1" if name == "ruff" else version(name)

    monkeypatch.setattr(machine, "version", found_in_the_image)
    code, found = doctor()
    told = wrong(found, "packages")
    assert code == 1
    assert {"agate", "dagster"} == {name for name in gone if f"{name} none, not " in told}
    assert "ruff 0.0.1, not " in told, "what is there must be as the lock names it, whoever needs it"


def test_a_lake_that_lost_a_column_a_file_or_its_catalogue_is_told(doctor: Doctor, here: Here) -> None:
    home = plant().home
    with writer(home, why="a lake of an earlier release") as con:
        con.execute("ALTER TABLE lake.ops.published DROP COLUMN run_id")
    next(home.data_dir.rglob("*.parquet")).unlink()
    _, found = doctor()
    assert "is gone" in wrong(found, "lake")
    assert "the lake lacks what the plan asks for: 1 statements" in wrong(found, "upgrades", "warning")
    home.catalogue.write_bytes(b"no catalogue at all" * 1000)
    code, found = doctor()
    assert code == 1
    assert "the lake can't be opened" in wrong(found, "lake")
    assert "cellworks restore" in wrong(found, "lake")
    for look in ("rules", "upgrades"):
        assert wrong(found, look) == "", "it is told once"
        told = wrong(found, look, "warning")
        assert told == f"{look} could not be looked at, because of what lake tells -> mend what lake tells first"


def test_a_wrong_site_a_wrong_environment_and_a_taken_port_are_told(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(default_site(), tmp_path / "site")
    text = (tmp_path / "site" / "site.yaml").read_text()
    (tmp_path / "site" / "site.yaml").write_text(text.replace("operators_per_shift: 12", "operators_per_shift: many"))
    monkeypatch.setenv(SITE_VARIABLE, str(tmp_path / "site"))
    monkeypatch.setenv(ENV_VARIABLE, "servers")
    monkeypatch.setenv("CELLWORKS_S3_URL", "s3://bucket/here")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # of somebody who serves there already, which is what is wanted
            taken.bind((HOST, MLFLOW_PORT))
            taken.listen()
        code, found = doctor()
    assert code == 1
    assert "site.yaml" in wrong(found, "site")
    assert "operators_per_shift" in wrong(found, "site")
    assert "CELLWORKS_POSTGRES_URL, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID" in wrong(found, "settings")
    assert "CELLWORKS_S3_URL" not in wrong(found, "settings")
    assert f"something listens on {HOST}:{MLFLOW_PORT}" in wrong(found, "ports", "warning")


def test_servers_that_do_not_answer_are_told_with_their_place(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        free = probe.getsockname()[1]
    for name, value in {
        ENV_VARIABLE: "servers",
        "CELLWORKS_POSTGRES_URL": f"postgresql://me@{HOST}:{free}/cellworks",
        "CELLWORKS_S3_URL": "s3://bucket/here",
        "AWS_ENDPOINT_URL": f"http://127.0.0.2:{free}",  # not the address by which this machine knows itself
        "AWS_ACCESS_KEY_ID": "A" * 20,
        "AWS_SECRET_ACCESS_KEY": "planted-secret",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    _, found = doctor()
    assert time.monotonic() - began < 60, "nobody waits for a server that was found to be away"
    told = wrong(found, "servers")
    assert told.count("PostgreSQL does not answer") == 4
    assert f"a server at {HOST}:{free}" in told
    assert "the object store, s3://bucket/here does not answer" in told
    told = wrong(found, "servers", "warning")
    assert "the object store is on another machine and is spoken to in plain text" in told
    assert "PostgreSQL is on another machine" not in told
    assert "planted-secret" not in json.dumps(found)


def test_a_home_that_was_copied_is_told_and_its_registry_left_as_it_is(doctor: Doctor) -> None:
    home = plant().home
    own = home.root / "mlflow" / "artifacts" / "finishing.cells"
    open_home(home).create_experiment("finishing/cells", "file:///elsewhere/mlflow/artifacts/finishing.cells")
    own.mkdir(parents=True)
    file = home.root / "mlflow" / "mlflow.sqlite"
    before = file.read_bytes()
    _, found = doctor()
    assert "addresses of its registry are below /elsewhere/mlflow/artifacts" in wrong(found, "registry", "warning")
    assert file.read_bytes() == before


@pytest.mark.servers
def test_a_night_on_servers_is_told_with_its_machine_and_since_when(
    on_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home").ensure()
    it = Installation(home, None, home.stores)
    assert [each.what for each in work.locks(it)] == ["no night is under way"]
    with night_lock(home):
        (told,) = work.locks(it)
        assert told.level == "ok"
        assert f"a night is under way: process {os.getpid()} on {socket.gethostname()}, since 2" in told.what
        monkeypatch.setattr(work, "LONGEST", timedelta(0))
        (told,) = work.locks(it)
        assert told.level == "warning"
        assert f"(process {os.getpid()} on {socket.gethostname()}) has been at work since 2" in told.what
    monkeypatch.setattr(stores, "_SLOW_S", 0.0)  # servers of this machine can't be brought nearer
    slow = [each.mend for each in stores.servers(it)]
    assert len(slow) == 5
    assert all(mend.startswith("see what keeps this machine busy") for mend in slow)


def test_a_champion_with_a_damaged_file_and_a_key_that_is_gone_are_told(doctor: Doctor) -> None:
    home, name = plant().home, "finishing.cells"
    client = open_home(home)
    run = client.create_run(client.create_experiment("finishing/cells", (home.root / "mlflow/artifacts").as_uri())).info
    client.log_text(run.run_id, "tree", "model/artifacts/bundle/booster_0.txt")
    folder = Path(urlsplit(run.artifact_uri).path) / "model"
    client.create_registered_model(name)
    tags = tags_of(home, name, run.run_id, folder)
    client.create_model_version(name, f"{run.artifact_uri}/model", run.run_id, tags=tags)
    tag_verdict(client, home, get_version(client, name, "1", home), "passed", "")
    client.set_registered_model_alias(name, "champion", "1")
    _, found = doctor()
    assert "the files of every champion (1) are as they were registered" in [each["what"] for each in found["registry"]]
    (folder / "artifacts" / "bundle" / "booster_0.txt").write_text("treE")
    _, found = doctor()
    told = wrong(found, "registry")
    assert "artifacts/bundle/booster_0.txt of version 1 of finishing.cells is not the file that was registered" in told
    assert "-> `cellworks rollback`" in told
    (home.root / "registry.key").unlink()
    _, found = doctor()
    assert "registry.key is gone" in wrong(found, "registry")
    assert not (home.root / "registry.key").exists(), "a look makes none"
