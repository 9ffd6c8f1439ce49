"""Stores on servers: what their settings refuse, and who may write beside whom."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import psycopg2
import pytest

from orchestration.run_lock import night_lock, under_way
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import reader, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import INGEST, WHOLE, LockLostError, holder, writer_lock
from pipelines.lake.maintenance import maintain
from pipelines.lake.objects import ensure_bucket
from pipelines.lake.schemas import bootstrap
from pipelines.lake.servers import connect, ensure_stores
from tests.servers import SECRET, Servers, free_port

DEMO = Path(__file__).parents[3] / "infra" / "sites" / "demo"
WRITERS, BATCHES, ROWS = 4, 5, 50
COMPLETE = {
    "CELLWORKS_ENV": "servers",
    "CELLWORKS_POSTGRES_URL": "postgresql://cellworks@db.example:5432/plant",
    "CELLWORKS_S3_URL": "s3://bucket/plant",
    "AWS_ENDPOINT_URL": "https://s3.example",
    "AWS_ACCESS_KEY_ID": "KEY",
    "AWS_SECRET_ACCESS_KEY": SECRET,
}

HOLDER = """
import sys
from pathlib import Path
from orchestration.run_lock import night_lock
from pipelines.lake.home import Home
from pipelines.lake.lock import writer_lock
home, what, area = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
with night_lock(home, what) if area == "night" else writer_lock(home, what, area=area):
    print("held", flush=True)
    sys.stdin.read()
"""

# Every writer has an area of its own; they share one table, and make it.
WRITER = """
import sys
from pathlib import Path
from pipelines.lake.connection import create_missing, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import area_of
home, number, batches, rows = Home(Path(sys.argv[1])), *map(int, sys.argv[2:])
print("ready", flush=True)
sys.stdin.readline()
for batch in range(batches):
    with writer(home, why=f"batch {batch} of {number}", area=area_of(str(number))) as con:
        create_missing(
            con,
            "CREATE TABLE IF NOT EXISTS lake.ops.shared (writer INTEGER, batch INTEGER, row_no INTEGER)",
            f"CREATE TABLE IF NOT EXISTS lake.solutions.own_{number} (batch INTEGER, row_no INTEGER)",
        )
        with transaction(con):
            con.execute(f"INSERT INTO lake.ops.shared SELECT {number}, {batch}, i FROM range({rows}) AS t (i)")
            con.execute(f"INSERT INTO lake.solutions.own_{number} SELECT {batch}, i FROM range({rows}) AS t (i)")
"""


def _set(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in (COMPLETE | values).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("CELLWORKS_ENV", "server", "embedded or servers"),
        ("CELLWORKS_POSTGRES_URL", "", "is not set"),
        ("CELLWORKS_POSTGRES_URL", "mysql://db.example/plant", "postgresql://user@host"),
        ("CELLWORKS_POSTGRES_URL", "postgresql://db.example", "postgresql://user@host"),
        ("CELLWORKS_POSTGRES_URL", f"postgresql://u:{SECRET}@db.example/plant", "PGPASSFILE"),
        ("CELLWORKS_POSTGRES_URL", f"postgresql://u@db.example/plant?password={SECRET}", "PGPASSFILE"),
        ("CELLWORKS_POSTGRES_URL", f"postgres://u:{SECRET}@db.example/plant", "postgresql://user@host"),
        ("CELLWORKS_S3_URL", "", "is not set"),
        ("CELLWORKS_S3_URL", "https://bucket/prefix", "s3://bucket/prefix"),
        ("CELLWORKS_S3_URL", "s3:///prefix", "s3://bucket/prefix"),
        ("CELLWORKS_S3_URL", f"s3://KEY:{SECRET}@bucket/prefix", "s3://bucket/prefix"),
        ("AWS_ENDPOINT_URL", "", "is not set"),
        ("AWS_ENDPOINT_URL", "s3.example", "https://s3.example.org"),
        ("AWS_ENDPOINT_URL", f"https://KEY:{SECRET}@s3.example", "https://s3.example.org"),
        ("AWS_ACCESS_KEY_ID", "", "is not set"),
        ("AWS_SECRET_ACCESS_KEY", " ", "is not set"),
        ("AWS_CA_BUNDLE", "/no/such/authority.pem", "/no/such/authority.pem: there is no such file"),
        ("AWS_CA_BUNDLE", "/", "/: it is a folder"),
    ],
)
def test_wrong_settings_name_their_variable_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, told: str
) -> None:
    _set(monkeypatch, **{variable: value})
    with pytest.raises(CellworksError) as refusal:
        _ = Home(tmp_path).stores
    assert refusal.value.where == variable
    assert told in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_complete_settings_give_stores_that_show_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _set(monkeypatch)
    stores = Home(tmp_path).stores
    assert stores.lake_url == "postgresql://cellworks@db.example:5432/plant_lake"
    assert stores.data_path == "s3://bucket/plant/lake/"
    assert SECRET not in repr(stores)


def test_servers_that_do_not_answer_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    port = free_port()
    _set(
        monkeypatch,
        CELLWORKS_POSTGRES_URL=f"postgresql://cellworks@127.0.0.1:{port}/plant",
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
    )
    stores = Home(tmp_path).stores
    with pytest.raises(CellworksError, match="PostgreSQL does not answer") as refusal:
        connect(stores.lake_url or "")
    assert f"127.0.0.1:{port}" in str(refusal.value)
    assert stores.objects is not None
    with pytest.raises(OSError, match=f"127.0.0.1:{port}") as unheard:
        ensure_bucket(stores.objects, attempts=1)
    assert SECRET not in str(unheard.value)


def test_a_role_that_may_not_create_databases_is_told_what_to_ask_for(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in servers.instance().items():
        monkeypatch.setenv(name, value)
    admin = psycopg2.connect(servers.postgres_url.format("postgres"))
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN")
    admin.close()
    url = servers.postgres_url.format("plant").replace("postgres@", "poor@")
    monkeypatch.setenv("CELLWORKS_POSTGRES_URL", url)
    with pytest.raises(CellworksError, match="may not create it") as refusal:
        ensure_stores(Home(tmp_path).stores)
    assert 'CREATE DATABASE "plant_lake"' in str(refusal.value)


def _other(home: Home, what: str, area: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(home.root), what, area]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert _read(process.stdout) == "held\n"
    return process


def _read(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_areas_go_side_by_side_and_the_whole_goes_alone(on_servers: Servers, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    process = _other(Home(tmp_path / "another machine's"), "the other's batch", INGEST)
    try:
        with writer_lock(home, "mine", timeout_s=0, area="solutions.a/b"):
            pass
        for area in (INGEST, WHOLE):
            with pytest.raises(CellworksError) as refusal, writer_lock(home, "mine", timeout_s=0, area=area):
                pass
            assert f"process {process.pid}" in str(refusal.value)
            assert "the other s batch" in str(refusal.value)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with writer_lock(home, "maintenance", timeout_s=5), writer_lock(home, "nested", area=INGEST):
            assert holder(home)["why"] == "maintenance"
    finally:
        process.communicate()
    assert holder(home) == {}


def test_the_whole_keeps_areas_out(on_servers: Servers, tmp_path: Path) -> None:
    process = _other(Home(tmp_path / "other"), "maintenance", WHOLE)
    try:
        with (
            pytest.raises(CellworksError, match="maintenance"),
            writer_lock(Home(tmp_path / "home"), "mine", timeout_s=0, area=INGEST),
        ):
            pass
    finally:
        process.communicate("")


def test_a_writer_of_an_area_takes_no_other_inside(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for area in (WHOLE, "solutions.b"):
        with (
            writer_lock(home, "outer", area="solutions.a"),
            pytest.raises(ValueError, match=r"within a writer of solutions\.a"),
            writer_lock(home, "inner", area=area),
        ):
            pass
    with writer_lock(home, "next", timeout_s=0):
        pass


def test_one_night_at_a_time_on_all_machines(on_servers: Servers, tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    process = _other(Home(tmp_path / "another machine's").ensure(), "nightly", "night")
    try:
        assert f"process {process.pid}" in under_way(home)
        with pytest.raises(CellworksError, match="another run is under way") as refusal, night_lock(home, "mine"):
            pass
        assert "(nightly), at it since 2" in str(refusal.value)
    finally:
        process.communicate("")
    with night_lock(home, "mine"):
        assert "(mine)" in under_way(home)
    assert under_way(home) == ""


def test_writers_side_by_side_write_each_row_once_and_maintenance_excludes_them(
    on_servers: Servers, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    bootstrap(home, load_site(DEMO))
    started = []
    for number in range(WRITERS):
        own = tmp_path / f"machine {number}"
        command = [sys.executable, "-c", WRITER, *map(str, (own, number, BATCHES, ROWS))]
        started.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    for process in started:
        assert _read(process.stdout) == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    maintained = maintain(home)
    assert maintained.orphans == 0, "nobody was writing beside it"
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-2000:]
    with reader(home) as con:
        found = con.execute(
            "SELECT count(*), count(DISTINCT (writer, batch, row_no)), count(DISTINCT writer) FROM lake.ops.shared"
        ).fetchone()
        own_rows = [
            con.execute(f"SELECT count(*), count(DISTINCT (batch, row_no)) FROM lake.solutions.own_{n}").fetchone()
            for n in range(WRITERS)
        ]
    assert found == (WRITERS * BATCHES * ROWS, WRITERS * BATCHES * ROWS, WRITERS)
    assert own_rows == [(BATCHES * ROWS, BATCHES * ROWS)] * WRITERS


def test_a_batch_whose_lock_was_lost_is_taken_back(on_servers: Servers, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    bootstrap(home, load_site(DEMO))
    insert = "INSERT INTO lake.ops.affected_day VALUES ('f', DATE '2026-09-01', 1)"
    with pytest.raises(LockLostError), writer(home, why="mine", area=INGEST) as con, transaction(con):
        con.execute(insert)
        admin = connect(home.stores.lake_url or "")
        with admin.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cellworks mine'"
            )
        admin.close()
    with reader(home) as con:
        assert con.execute("SELECT count(*) FROM lake.ops.affected_day").fetchone() == (0,)
