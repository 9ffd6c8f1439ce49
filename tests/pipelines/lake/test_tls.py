"""Stores behind TLS whose certificates a plant's own authority signed: spoken to or refused, never in plain text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from models.registry.client import quiet
from models.registry.fetched import folder_of
from orchestration.doctor.finding import Installation
from orchestration.doctor.stores import servers as looked_at
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import attach_statements, reader, writer
from pipelines.lake.home import Home
from pipelines.lake.objects import ensure_bucket, put
from pipelines.lake.servers import connect, ensure_stores
from pipelines.lake.stores import ObjectStore
from tests.servers import Servers, running_s3
from tests.tls import Authority, Terminator

pytestmark = pytest.mark.servers


@dataclass(frozen=True)
class Encrypted:
    """Both stores behind TLS.

    Attributes:
        variables: of the shell of whoever uses them.
        other: certificate of an authority that signed nothing here.
        postgres: what speaks TLS before PostgreSQL.
        objects: folder of what the object store keeps.
    """

    variables: dict[str, str]
    other: Path
    postgres: Terminator
    objects: Path


@pytest.fixture(scope="module")
def encrypted(servers: Servers) -> Iterator[Encrypted]:
    """The tests' PostgreSQL and an S3 endpoint, each with a certificate of `localhost`."""
    folder = servers.folder / "tls"
    folder.mkdir()
    own, other = Authority(folder, "own"), Authority(folder, "other")
    certificate = own.issue()
    instance = servers.instance()
    plain = instance["CELLWORKS_POSTGRES_URL"]
    with running_s3(folder, certificate) as endpoint, Terminator(plain, certificate).serving() as postgres:
        database = plain.partition("?")[0].rpartition("/")[2]
        variables = instance | {
            "CELLWORKS_POSTGRES_URL": f"postgresql://postgres@localhost:{postgres.port}/{database}",
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(own.certificate),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_CA_BUNDLE": str(own.certificate),
        }
        yield Encrypted(variables, other.certificate, postgres, folder / "objects")
    servers.drop(instance)


@pytest.fixture
def home(encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    """A home on these stores."""
    for name, value in encrypted.variables.items():
        monkeypatch.setenv(name, value)
    return Home(tmp_path / "home")


def _objects(home: Home) -> ObjectStore:
    assert home.stores.objects is not None
    return home.stores.objects


def test_lake_artifacts_and_doctor_use_stores_that_an_authority_of_the_plants_own_signed_for(
    encrypted: Encrypted, home: Home, tmp_path: Path
) -> None:
    ensure_stores(home.stores)
    with writer(home, why="numbers") as con:
        con.execute("CREATE TABLE lake.main.numbers AS SELECT i FROM range(1000) AS t (i)")
    with reader(home) as con:
        assert con.execute("SELECT sum(i) FROM lake.main.numbers").fetchone() == (499_500,)
    file = tmp_path / "file"
    file.write_text("kept")
    put(home.stores, file, "of_ours/file", is_ours=False)

    quiet()
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    place = f"{home.stores.mlflow_artifacts}/grading/models/m-1/artifacts"
    notes = tmp_path / "notes.txt"
    notes.write_text("what the model saw")
    get_artifact_repository(place).log_artifact(str(notes))
    assert (folder_of(home, "0" * 32, "1", place) / "notes.txt").read_text() == "what the model saw"

    kept = {each.name for each in encrypted.objects.rglob("*") if each.is_file()}
    assert {"file", "notes.txt"} < kept
    assert any(name.endswith(".parquet") for name in kept)
    assert [each.level for each in looked_at(Installation(home, None, home.stores))] == ["ok"] * 5
    assert encrypted.postgres.encrypted > 0
    assert encrypted.postgres.plain == 0


def test_an_object_store_of_another_authority_is_refused_before_a_byte_of_ours_goes_there(
    encrypted: Encrypted, home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ensure_stores(home.stores)
    with writer(home, why="numbers") as con:
        con.execute("CREATE TABLE lake.main.ours AS SELECT i FROM range(1000) AS t (i)")
    kept = set(encrypted.objects.rglob("*"))
    file = tmp_path / "file"
    file.write_text("kept")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(encrypted.other))
    told = []
    with pytest.raises(CellworksError) as refusal:
        ensure_bucket(_objects(home))
    told.append(refusal.value)
    with pytest.raises(CellworksError) as refusal:
        put(home.stores, file, "of_ours/other", is_ours=False)
    told.append(refusal.value)
    for connection in (reader(home), writer(home, why="more")):
        with pytest.raises(CellworksError) as refusal, connection:
            pytest.fail("it was opened")
        told.append(refusal.value)
    for each in told:
        assert each.where == "AWS_CA_BUNDLE"
        assert str(encrypted.other) in each.expected
        assert "certificate" in each.found
        assert "PEM" in each.mend
    levels = [each.level for each in looked_at(Installation(home, None, home.stores))]
    assert levels == [*["ok"] * 4, "error"], "PostgreSQL is told of as well"
    assert set(encrypted.objects.rglob("*")) == kept


def test_duckdb_itself_refuses_what_another_authority_signed(encrypted: Encrypted, home: Home) -> None:
    ensure_stores(home.stores)
    statements = attach_statements(home)
    with duckdb.connect() as con:
        for statement in statements[: statements.index(next(each for each in statements if "ATTACH" in each))]:
            con.execute(statement)
        con.execute(f"SET ca_cert_file = '{encrypted.other}'")
        con.execute("SET http_retries = 0")
        with pytest.raises(duckdb.Error, match="SSL peer certificate"):
            con.execute(f"COPY (SELECT 1 AS one) TO '{home.stores.data_path}stray.parquet'")
    assert not list(encrypted.objects.rglob("stray.parquet"))


@pytest.mark.parametrize("in_address", [False, True])
def test_a_postgresql_of_another_authority_is_refused_and_nothing_goes_in_plain_text(
    encrypted: Encrypted, home: Home, monkeypatch: pytest.MonkeyPatch, in_address: bool
) -> None:
    if in_address:
        monkeypatch.delenv("PGSSLMODE")
        monkeypatch.delenv("PGSSLROOTCERT")
        address = encrypted.variables["CELLWORKS_POSTGRES_URL"]
        monkeypatch.setenv("CELLWORKS_POSTGRES_URL", f"{address}?sslmode=verify-full&sslrootcert={encrypted.other}")
    else:
        monkeypatch.setenv("PGSSLROOTCERT", str(encrypted.other))
    before = encrypted.postgres.plain
    for attempt in (lambda: connect(home.stores.lake_url or ""), lambda: ensure_stores(home.stores)):
        with pytest.raises(CellworksError) as refusal:
            attempt()
        assert "PGSSLROOTCERT" in str(refusal.value)
        assert "certificate verify failed" in refusal.value.found
    with pytest.raises(CellworksError, match="certificate verify failed"), writer(home, why="more"):
        pytest.fail("it was opened")
    assert encrypted.postgres.plain == before


def test_a_server_named_by_another_name_than_its_certificates_is_refused(
    encrypted: Encrypted, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ENDPOINT_URL", "CELLWORKS_POSTGRES_URL"):
        monkeypatch.setenv(variable, encrypted.variables[variable].replace("localhost", "127.0.0.1"))
    with pytest.raises(CellworksError, match=r"127\.0\.0\.1") as refusal:
        ensure_bucket(_objects(home))
    assert "name" in refusal.value.mend
    with pytest.raises(CellworksError, match="does not match host name") as refusal:
        connect(home.stores.lake_url or "")
    assert "name" in refusal.value.mend


def test_a_file_without_certificates_is_named(
    encrypted: Encrypted, home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "authority.pem"
    file.write_text("no certificate")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    with pytest.raises(CellworksError, match="AWS_CA_BUNDLE names no file of certificates") as refusal:
        ensure_bucket(_objects(home))
    assert str(file) in refusal.value.found
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "no_such.pem"))
    with pytest.raises(CellworksError, match=r"no_such\.pem\" does not exist"):
        connect(home.stores.lake_url or "")
