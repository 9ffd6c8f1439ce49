"""An instance that was moved or restored is the same instance."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestration import progress
from orchestration.environment import default_site
from orchestration.moving.backup import backup
from orchestration.moving.migrate import migrate
from orchestration.moving.restore import restore
from orchestration.plant import Plant
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import reader, writer
from pipelines.lake.hashing import table_hash
from pipelines.lake.home import Home
from pipelines.lake.lock import LockLostError
from tests.listening import Listener
from tests.servers import Servers


@dataclass(frozen=True)
class Seen:
    """What an instance shows to whoever uses it."""

    snapshots: list[Any]
    newest: str
    first: str
    heavy: int
    rule: str
    metric: float
    events: dict[str, int]
    rows_in: Any
    twin: str


@pytest.fixture(scope="module")
def site() -> Any:
    return load_site(default_site())


def look(home: Home) -> Seen:
    from models.registry.client import open_home

    with reader(home) as con:
        snapshots = con.execute(
            "SELECT snapshot_id, schema_version FROM ducklake_snapshots('lake') ORDER BY 1"
        ).fetchall()
        newest = table_hash(con, "lake.marts.cell")
        heavy = con.execute("SELECT count(*) FROM lake.marts.heavy").fetchone()
        first = con.execute("SELECT count(*), sum(mass_g) FROM lake.marts.cell AT (VERSION => 2)").fetchone()
    client = open_home(home)
    version = client.get_model_version_by_alias("slug", "champion")
    import mlflow

    text = mlflow.artifacts.load_text(f"{client.get_model_version_download_uri('slug', version.version)}/rule.txt")
    metric = client.get_run(version.run_id).data.metrics["auc"]
    events, rows_in = _runs(home)
    assert heavy is not None
    return Seen(
        snapshots, newest, repr(first), heavy[0], text, metric, events, rows_in,
        (home.twin_dir / "state.json").read_text(encoding="utf-8"),
    )  # fmt: skip


def _runs(home: Home) -> tuple[dict[str, int], Any]:
    import dagster as dg

    from orchestration.cli.plant_commands import prepare_instance

    prepare_instance(Plant(site=load_site(default_site()), home=home))
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        logs = instance.all_logs(run.run_id)
        kinds = [log.dagster_event_type.value if log.dagster_event_type else "log" for log in logs]
        event = instance.get_latest_materialization_event(dg.AssetKey("cell"))
        checks = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey("cell"), "has_rows"), limit=5
        )
        assert [check.status.value for check in checks] == ["SUCCEEDED"]
    assert event is not None and event.asset_materialization is not None
    return {kind: kinds.count(kind) for kind in kinds}, event.asset_materialization.metadata["rows_in"].value


def go_to(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def own_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "CELLWORKS_DAGSTER_URL"):
        monkeypatch.setenv(name, "")


@pytest.mark.slow
def test_moved_instance_is_the_same(instance: Home, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.moving import catalogue

    go_to(monkeypatch, servers.instance())

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as once:  # killed with everything copied but nothing in its place
        once.setattr(catalogue, "publish_draft", die)
        with pytest.raises(KeyboardInterrupt):
            migrate(instance)
    with pytest.raises(CellworksError, match="on its way"), writer(instance, why="test"):
        pass
    monkeypatch.setenv("CELLWORKS_ENV", "embedded")
    with writer(instance, why="test") as con:  # the embedded instance is still the one that counts
        con.execute("INSERT INTO lake.marts.cell VALUES (9998, 1.0)")
    before = look(instance)
    monkeypatch.setenv("CELLWORKS_ENV", "servers")
    found = migrate(instance)
    assert found["moved"]
    lake = {each["table"]: each["rows"] for each in found["stores"]["lake"]}
    assert lake["ducklake_snapshot"] == len(before.snapshots)
    assert found["files"]["lake"] >= 4  # three of rows, one of deletions
    assert look(instance) == before
    with writer(instance, why="test") as con:  # and goes on: numbers continue, nothing is created anew
        con.execute("INSERT INTO lake.marts.cell VALUES (9999, 1.0)")
    assert migrate(instance)["moved"] is False
    with reader(instance) as con:
        assert con.execute("SELECT count(*) FROM lake.marts.cell").fetchone() == (1492,)
    monkeypatch.setenv("CELLWORKS_ENV", "embedded")
    with pytest.raises(CellworksError, match="was moved to servers"), writer(instance, why="test"):
        pass
    instance.moved_file.unlink()  # as the guide says, to go back to the files
    monkeypatch.setenv("CELLWORKS_ENV", "servers")
    assert migrate(instance)["moved"] is False, "the files are as they were moved"
    instance.moved_file.unlink()
    monkeypatch.setenv("CELLWORKS_ENV", "embedded")
    with writer(instance, why="test") as con:
        con.execute("INSERT INTO lake.marts.cell VALUES (9997, 1.0)")
    monkeypatch.setenv("CELLWORKS_ENV", "servers")
    with pytest.raises(CellworksError, match="its files have gone on since"):
        migrate(instance)
    assert not instance.moved_file.exists()


@pytest.mark.slow
def test_servers_of_another_instance_are_left_alone(
    instance: Home, servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go_to(monkeypatch, servers.instance())
    other = Home(tmp_path / "other")
    from pipelines.lake.servers import ensure_stores

    ensure_stores(other.stores)
    with writer(other, why="test") as con:
        con.execute("CREATE SCHEMA lake.mine")
    with pytest.raises(CellworksError, match="hold an instance already"):
        migrate(instance)
    assert not instance.moved_file.exists()
    with reader(other) as con:
        assert con.execute("SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'mine'").fetchone() == (1,)


@pytest.mark.parametrize("environment", ["embedded", pytest.param("servers", marks=pytest.mark.slow)])
def test_restored_instance_is_the_same(
    environment: str,
    instance: Home,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    site: Any,
) -> None:
    servers: Servers | None = request.getfixturevalue("servers") if environment == "servers" else None
    if servers is not None:
        go_to(monkeypatch, servers.instance())
        migrate(instance)
    before = look(instance)
    taken = backup(Plant(site=site, home=instance), tmp_path / "backup")
    if servers is not None:
        go_to(monkeypatch, servers.instance())
    again = Home(tmp_path / "again")
    done = restore(Plant(site=site, home=again), tmp_path / "backup")
    assert done == taken | {"home_only": False}
    for file in (instance.root / "mlflow" / "artifacts").rglob("*"):
        file.unlink() if file.is_file() else None  # the restored one must not lean on it
    assert look(again) == before
    assert stat.S_IMODE((again.root / "registry.key").stat().st_mode) == 0o600
    with pytest.raises(CellworksError, match="holds an instance already"):
        restore(Plant(site=site, home=again), tmp_path / "backup")
    if servers is not None:  # a second machine: the servers have it, its home does not
        second = Home(tmp_path / "second")
        assert restore(Plant(site=site, home=second), tmp_path / "backup")["home_only"] is True
        assert (second.root / "registry.key").read_bytes() == b"k" * 32
        assert not second.restoring_file.exists()
        assert look(second) == before


@pytest.mark.faults
@pytest.mark.parametrize("harm", ["bit", "truncated", "lost", "manifest", "no_end", "outside"])
def test_damaged_backup_is_refused(harm: str, instance: Home, tmp_path: Path, site: Any) -> None:
    folder = tmp_path / "backup"
    backup(Plant(site=site, home=instance), folder)
    file = next((folder / "lake_data").rglob("*.parquet"))
    manifest = folder / "manifest.json"
    if harm == "bit":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif harm == "truncated":
        os.truncate(folder / "home" / "lake" / "catalogue.sqlite", 4096)
    elif harm == "lost":
        file.unlink()
    elif harm == "no_end":
        manifest.unlink()
    else:
        told = json.loads(manifest.read_text(encoding="utf-8"))
        told["backup"]["files"]["../outside"] = "0" * 64
        if harm == "outside":
            from pipelines.moving.manifest import Manifest

            told["sha256"] = Manifest.model_validate(told["backup"]).digest
        manifest.write_text(json.dumps(told), encoding="utf-8")
    again = Home(tmp_path / "again")
    with pytest.raises(CellworksError, match="damaged or not whole"):
        restore(Plant(site=site, home=again), folder)
    assert not again.root.exists()


@pytest.mark.faults
def test_damaged_instance_is_not_backed_up(instance: Home, tmp_path: Path, site: Any) -> None:
    next(instance.data_dir.rglob("*.parquet")).unlink()
    with pytest.raises(CellworksError, match="damaged or lost"):
        backup(Plant(site=site, home=instance), tmp_path / "backup")
    assert not (tmp_path / "backup").exists(), "a timer would fill the disk with halves"
    (tmp_path / "mine").mkdir()
    with pytest.raises(CellworksError, match="damaged or lost"):
        backup(Plant(site=site, home=instance), tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.slow
@pytest.mark.faults
def test_a_backup_that_lost_its_locks_is_none(
    instance: Home, servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, site: Any
) -> None:
    import psycopg2

    variables = servers.instance()
    go_to(monkeypatch, variables)
    migrate(instance)

    class Ending(Listener):
        def begin(self, title: str) -> None:
            super().begin(title)
            if title == "files of the models":
                con = psycopg2.connect(instance.stores.lake_url)
                with con.cursor() as cursor:
                    cursor.execute(
                        "SELECT count(pg_terminate_backend(pid)) FROM (SELECT DISTINCT pid FROM pg_locks "
                        "WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()) AS held"
                    )
                    assert cursor.fetchone()[0] > 0
                con.close()

    with progress.listening(Ending()), pytest.raises(LockLostError):
        backup(Plant(site=site, home=instance), tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
    backup(Plant(site=site, home=instance), tmp_path / "backup")


@pytest.mark.faults
@pytest.mark.parametrize("length", [0, 3, 200])
def test_damaged_data_file_is_named(instance: Home, length: int) -> None:
    files = [each for each in instance.data_dir.rglob("*.parquet") if "delete" not in each.name]
    for file in files:
        os.truncate(file, min(length, file.stat().st_size))
    with pytest.raises(CellworksError) as told, reader(instance) as con:
        con.execute("SELECT sum(mass_g) FROM lake.marts.cell").fetchall()
    assert "data file" in told.value.what
    assert told.value.where in {str(each) for each in files}
    assert "backup" in told.value.mend


@pytest.mark.faults
@pytest.mark.parametrize("length", [0, 50, 4096, 20000])
def test_truncated_catalogue_is_refused(instance: Home, length: int) -> None:
    for left in ("-wal", "-shm"):
        instance.catalogue.with_name(instance.catalogue.name + left).unlink(missing_ok=True)
    os.truncate(instance.catalogue, length)
    for _ in range(2):  # the first attempt must not make an empty catalogue for the second
        with pytest.raises(CellworksError, match=r"catalogue|opened") as told, writer(instance, why="test") as con:
            con.execute("SELECT * FROM lake.marts.cell").fetchall()
        assert "cellworks restore" in told.value.mend


@pytest.mark.faults
def test_lost_catalogue_is_not_made_anew(instance: Home) -> None:
    instance.catalogue.unlink()
    with pytest.raises(CellworksError, match="is gone"), writer(instance, why="test"):
        pass
    assert not instance.catalogue.exists()
