"""MLflow's two users: their passwords follow the file of secrets, and what is wrong says how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from orchestration.services.mlflow_login import ensure_users, ensure_users_told, users
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.servers import connect
from tests.servers import Servers

pytestmark = [pytest.mark.slow, pytest.mark.servers]
FIRST, SECOND = "theFirstPassword00017", "theSecondPassword0017"


@pytest.fixture
def database(servers: Servers) -> Iterator[str]:
    """An empty database of MLflow's."""

    def ask(statement: str) -> None:
        with closing(connect(servers.postgres_url.format("postgres"))) as con, con.cursor() as cursor:
            cursor.execute(statement)

    ask("CREATE DATABASE login_mlflow")
    yield servers.postgres_url.format("login_mlflow")
    ask("DROP DATABASE login_mlflow WITH (FORCE)")


@pytest.fixture
def signs_in(database: str) -> Iterator[Callable[[str, str], bool]]:
    with closing(connect(database)) as con, con.cursor() as cursor:
        cursor.execute("CREATE SCHEMA logins")
    with users(database) as store:
        yield store.authenticate_user


def test_both_users_get_the_passwords_that_are_told_and_lose_those_before(
    database: str, signs_in: Callable[[str, str], bool]
) -> None:
    ensure_users(database, FIRST, SECOND)
    assert signs_in("admin", FIRST)
    assert signs_in("viewer", SECOND)
    assert not signs_in("viewer", FIRST)
    ensure_users(database, SECOND, FIRST)
    assert signs_in("admin", SECOND)
    assert signs_in("viewer", FIRST)
    assert not signs_in("admin", FIRST)
    # What moves and backs up MLflow's database takes this schema; password hashes are not in it.
    with closing(connect(database)) as con, con.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert cursor.fetchone() == (0,)


def test_containers_tell_both_passwords_or_none(
    database: str, signs_in: Callable[[str, str], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_AUTH_ADMIN_PASSWORD", "CELLWORKS_MLFLOW_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    assert not ensure_users_told(database)
    monkeypatch.setenv("CELLWORKS_MLFLOW_PASSWORD", FIRST)
    with pytest.raises(CellworksError, match="set MLFLOW_AUTH_ADMIN_PASSWORD"):
        ensure_users_told(database)
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", "short")
    with pytest.raises(CellworksError, match="make longer ones") as told:
        ensure_users_told(database)
    assert "CELLWORKS_MLFLOW_PASSWORD" in str(told.value)
    monkeypatch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", SECOND)
    assert ensure_users_told(database)
    assert signs_in("admin", SECOND)
    assert signs_in("viewer", FIRST)
