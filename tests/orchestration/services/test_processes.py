"""Servers as processes: started in order, back after a kill, stopped without a trace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from orchestration import progress
from orchestration.cli.services import after_stores
from orchestration.doctor.finding import Installation
from orchestration.doctor.services import services
from orchestration.environment import default_site
from orchestration.plant import plant
from orchestration.services import child, control, layout, probes, supervisor
from orchestration.services.choice import Wanted, choose
from orchestration.services.settings import Place, load
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.servers import at_postgres
from pipelines.lake.stores import ObjectStore, embedded_stores
from tests.listening import Listener
from tests.orchestration.services.conftest import (
    arguments,
    chosen,
    eventually,
    files_that_tell,
    left,
    secrets_of,
    service,
)


def test_stores_start_come_back_after_sigkill_keep_their_data_and_leave_nothing_behind(home: Home) -> None:
    import boto3
    import psycopg2

    wanted = Wanted((default_site(),), stores_only=True)
    handed: dict[str, str] = {}
    _leave_half_a_cluster(Place.of(home).ensure().postgres)
    control.up(home, wanted, lambda sites: handed.update(sites[0]), lambda _: None)
    first = control.status(home)
    assert first["healthy"]
    assert [each["name"] for each in first["services"]] == ["postgres", "s3"]
    assert _told_by_doctor(home) == [("ok", "2 servers of this home run and answer", "")]
    known = secrets_of(home)

    def postgres() -> Any:
        return psycopg2.connect(
            at_postgres(handed["CELLWORKS_POSTGRES_URL"]), passfile=handed["PGPASSFILE"], connect_timeout=5
        )

    def s3() -> Any:
        return boto3.client(
            "s3", endpoint_url=handed["AWS_ENDPOINT_URL"], region_name="us-east-1",
            aws_access_key_id=handed["AWS_ACCESS_KEY_ID"], aws_secret_access_key=handed["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip

    with postgres() as con, con.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS value")
    s3().create_bucket(Bucket="kept")
    s3().put_object(Bucket="kept", Key="a", Body=b"42")

    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(at_postgres(handed["CELLWORKS_POSTGRES_URL"]), password="guessed", connect_timeout=5)
    assert not [each for each in psutil.process_iter() if any(key in " ".join(arguments(each)) for key in known)]

    for name in ("postgres", "s3"):
        os.kill(service(first, name)["pid"], signal.SIGKILL)
    for name in ("postgres", "s3"):
        killed = service(first, name)["pid"]
        eventually(lambda name=name, killed=killed: _came_back(home, name, killed))
    with postgres() as con, con.cursor() as cursor:
        cursor.execute("SELECT value FROM kept")
        assert cursor.fetchone() == (42,)
    assert s3().get_object(Bucket="kept", Key="a")["Body"].read() == b"42"

    assert control.down(home)
    assert left(home) == []
    assert files_that_tell(home) == set()
    assert control.status(home)["running"] is False
    assert _told_by_doctor(home) == [
        ("error", "the servers of this home do not run", "run `cellworks services up`"),
    ]
    assert not control.down(home)

    control.up(home, wanted, lambda _: None, lambda _: None)
    assert secrets_of(home) == known
    assert s3().get_object(Bucket="kept", Key="a")["Body"].read() == b"42"
    with pytest.raises(CellworksError, match="run already"):
        control.up(home, replace(wanted, sites=(default_site().parent / "north",)), lambda _: None, lambda _: None)
    first = control.status(home)
    stopped = load(Place.of(home))
    assert stopped is not None
    supervisor.finish(stopped, "s3")
    with pytest.raises(KeyboardInterrupt):
        control.up(home, wanted, _interrupted, lambda _: None)
    now = control.status(home)
    states = {name: service(now, name)["state"] for name in ("postgres", "s3")}
    assert states["postgres"] in {"starting", "running"}
    assert states["s3"] == "stopped"
    ((level, what, mend),) = _told_by_doctor(home)
    assert (level, what.partition(")")[0]) == ("error", "server s3 (stopped")
    assert mend.endswith("s3.log, then run `cellworks services up`")
    control.up(home, wanted, lambda _: None, lambda _: None)
    control.up(home, wanted, _interrupted, lambda _: None)  # nothing was to be started, so nothing is prepared
    assert service(control.status(home), "postgres")["pid"] == service(first, "postgres")["pid"]
    # A supervisor that dies takes nobody along; the next command cleans up, and shells that are open stay right.
    for clean_up in (lambda: control.up(home, wanted, lambda _: None, lambda _: None), lambda: control.down(home)):
        os.kill(int(Place.of(home).supervisor_pid.read_text()), signal.SIGKILL)
        eventually(lambda: not supervisor.is_running(Place.of(home)))
        assert left(home) != []
        clean_up()
        after = load(Place.of(home))
        assert after is not None
        assert after.ports == stopped.ports
    assert left(home) == []


def _told_by_doctor(home: Home) -> list[tuple[str, str, str]]:
    """What doctor's look at the servers tells a shell that has their variables."""
    store = ObjectStore("s3://bucket/prefix", "http://127.0.0.1:9", "key", "secret", "us-east-1")
    it = Installation(home, None, replace(embedded_stores(home), objects=store))
    return [(each.level, each.what, each.mend) for each in services(it)]


def test_what_joins_the_stores_goes_by_the_roles_of_today_and_whatever_fails_leaves_the_stores_as_they_were(
    home: Home, tmp_path: Path
) -> None:
    site = Path(shutil.copytree(default_site(), tmp_path / "demo"))
    stores, whole = Wanted((site,), stores_only=True), Wanted((site,))
    control.up(home, stores, lambda _: None, lambda _: None)
    place, began = Place.of(home), control.status(home)
    before = load(place)
    assert before is not None
    watch = supervisor.states(before)[supervisor.WATCH]["pid"]
    roles = "\naccess: {roles: {viewer: {people: [ana]}, admin: {people: [li]}}}\n"
    (site / "site.yaml").write_text((site / "site.yaml").read_text() + roles)
    seen: list[set[str]] = []

    def fail(_: object) -> None:
        settings = load(place)
        assert settings is not None
        seen.append({each.name for each in layout.services_of(home, settings)})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        control.up(home, whole, fail, lambda _: None)
    assert "webserver-view" in seen[0]
    assert "proxy" not in seen[0], "a door without a login"
    assert load(place) == before
    states = supervisor.states(before)
    assert set(states) == {"postgres", "s3", supervisor.WATCH}
    assert states[supervisor.WATCH]["statename"] in {"STARTING", "RUNNING"}
    assert states[supervisor.WATCH]["pid"] != watch, "it was to read other settings meanwhile"
    assert control.status(home)["healthy"]

    Path(before.socket).unlink()
    for wanted in (stores, whole):
        with pytest.raises(CellworksError, match="can't be spoken to") as told:
            control.up(home, wanted, fail, lambda _: None)
        assert "services down" in told.value.mend
    assert load(place) == before
    for name in ("postgres", "s3"):
        assert psutil.Process(service(began, name)["pid"]).is_running()
    assert control.down(home)
    assert left(home) == []


def _interrupted(_: object) -> None:
    raise KeyboardInterrupt


def _leave_half_a_cluster(data: Path) -> None:
    """What a first start leaves that was killed while it brought the cluster up."""
    folders, files = (data, data / "draft", data / "base"), (data / "draft" / "PG_VERSION", data / "base" / "1")
    for folder in folders:
        folder.mkdir()
    for file in files:
        file.write_text("18\n")
    if os.geteuid() == 0:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package complains of a machine without XDG_RUNTIME_DIR
            user = child._other_user()
        for each in (*folders, *files):
            os.chown(each, user.pw_uid, user.pw_gid)


def _came_back(home: Home, name: str, killed: int) -> bool:
    found = control.status(home)
    return bool(service(found, name)["healthy"]) and service(found, name)["pid"] != killed


@pytest.mark.long
def test_the_whole_layout_answers_behind_one_port_survives_kills_and_ends_clean(home: Home) -> None:
    port = choose(Place.of(home).ensure(), Wanted((default_site(),), port=18444)).ports["webserver"]
    tool = [shutil.which("python", path=str(Path(layout.program("dagster")).parent)) or "python", "-c"]
    command = [*tool, "from orchestration.cli.main import main; main()", "services"]
    env = {**os.environ, "CELLWORKS_HOME": str(home.root), "CELLWORKS_SITE": str(default_site())}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], env=env, capture_output=True, text=True, timeout=400, check=False)

    begun = run("up", "--port", str(port), "--json")
    assert begun.returncode == 0, begun.stderr
    first = json.loads(begun.stdout)
    for page in ("/healthz", "/dagster/server_info", "/mlflow/health"):
        probes.http(f"{first['proxy']}{page}")
    made = json.loads(Place.of(home).credentials.read_text())
    for login, status in {
        None: 401,
        ("viewer", "guessed"): 401,
        ("viewer", made["mlflow_viewer_password"]): 200,
        ("admin", made["mlflow_admin_password"]): 200,
    }.items():
        assert httpx.get(f"{first['proxy']}/mlflow/", auth=login, trust_env=False).status_code == status, login
    processes = [
        each for each in psutil.process_iter() if any(key in " ".join(arguments(each)) for key in made.values())
    ]
    assert processes == []
    with pytest.raises(probes.UnhealthyError, match="404"):
        probes.http(f"{first['proxy']}/elsewhere")
    for each in first["services"]:
        os.kill(each["pid"], signal.SIGKILL)
    until = time.monotonic() + 240
    while (again := run("status", "--json")).returncode != 0:
        assert time.monotonic() < until, again.stdout
    found = json.loads(again.stdout)
    assert all(service(found, each["name"])["pid"] != each["pid"] for each in first["services"])
    assert run("down").returncode == 0
    assert left(home) == []
    assert files_that_tell(home) == set()


def test_a_pid_file_that_names_another_program_counts_for_nothing(home: Home) -> None:
    chosen(home)
    place = Place.of(home)
    for number in (str(os.getpid()), "4194305", "-1", "no number"):
        place.supervisor_pid.write_text(number)
        assert not supervisor.is_running(place)
        assert control.status(home)["running"] is False
        assert not control.down(home)


def test_a_supervisor_whose_socket_is_gone_is_ended_all_the_same(home: Home) -> None:
    settings, place = chosen(home), Place.of(home)
    supervisor.write(home, settings, ())
    supervisor.start(place, settings)
    assert supervisor.is_running(place)
    Path(settings.socket).unlink()
    assert control.down(home)
    assert not supervisor.is_running(place)
    assert left(home) == []


def test_servers_whose_settings_are_damaged_are_stopped_as_the_message_says(home: Home) -> None:
    settings, place = chosen(home), Place.of(home)
    supervisor.write(home, settings, ())
    supervisor.start(place, settings)
    place.settings.write_text("{")
    with pytest.raises(CellworksError, match="services down"):
        control.status(home)
    assert control.down(home)
    assert not supervisor.is_running(place)
    assert left(home) == []
    assert not control.down(home)


def test_a_further_site_that_is_wrong_is_told_before_anything_is_started(
    here: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "north").mkdir()
    (tmp_path / "north" / "site.yaml").write_text("inherits: ../nowhere\n")
    told = here("services", "up", "--more-site", str(tmp_path / "north"))
    assert told.returncode == 2
    assert "nowhere" in told.stderr
    assert not Place.of(plant().home).root.exists()


def test_a_server_that_cannot_start_is_told_and_nothing_is_left(home: Home) -> None:
    Place.of(home).ensure()
    (Place.of(home).root / "postgres").write_text("in the way")
    with pytest.raises(CellworksError, match="postgres does not become healthy") as told:
        control.up(home, Wanted((default_site(),), stores_only=True), lambda _: None, lambda _: None)
    assert "postgres.log" in str(told.value)
    assert left(home) == []


def test_a_server_that_runs_on_is_waited_for_longer_and_one_that_comes_and_goes_is_not(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[float] = []

    def late() -> None:
        began.append(time.monotonic())
        if began[-1] - began[0] < 6.0:
            raise probes.UnhealthyError("HTTP 503")

    def comes_and_goes() -> None:
        if pid := supervisor.states(settings)["s3"]["pid"]:  # 0 would be everybody here
            os.kill(pid, signal.SIGKILL)
        raise probes.UnhealthyError("it went")

    def serve(probe: Callable[[], None]) -> None:
        s3 = next(each for each in layout.services_of(home, settings) if each.name == "s3")
        monkeypatch.setattr(control, "services_of", lambda *_: (replace(s3, probe=probe),))
        control.up(home, wanted, lambda _: None, heard.append)

    wanted, heard = Wanted((default_site(),), stores_only=True), list[str]()
    settings = choose(Place.of(home).ensure(), wanted)
    monkeypatch.setattr(control, "_STAGE_PATIENCE_S", 5.0)
    listener = Listener()
    with progress.listening(listener):
        serve(late)
    assert heard == ["s3"]
    assert ("s waited, HTTP 503", 600) in {(what, total) for what, _, total in listener.heard["server s3"]}
    assert control.down(home)
    with pytest.raises(CellworksError, match="s3 does not become healthy") as told:
        serve(comes_and_goes)
    assert "within 5 s" in str(told.value)


def test_the_stores_alone_are_told_with_what_comes_next() -> None:
    assert after_stores(is_embedded=True).startswith("Next: `cellworks migrate` in such a shell")
    assert "`cellworks restore FOLDER`" in after_stores(is_embedded=False)
