"""What a prune leaves of MLflow's database on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from models.registry.remains import clear
from pipelines.lake.servers import connect
from tests.servers import Servers

pytestmark = [pytest.mark.slow, pytest.mark.servers]


@pytest.fixture
def database(servers: Servers) -> Iterator[str]:
    """A database of MLflow's."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    def ask(statement: str) -> None:
        with closing(connect(servers.postgres_url.format("postgres"))) as con, con.cursor() as cursor:
            cursor.execute(statement)

    ask("CREATE DATABASE remains_mlflow")
    url = servers.postgres_url.format("remains_mlflow")
    SqlAlchemyStore(url, "s3://nowhere/artifacts")
    yield url
    ask("DROP DATABASE remains_mlflow WITH (FORCE)")


def test_the_room_of_what_went_is_free_at_once(database: str) -> None:
    def vacuumed() -> set[str]:
        with closing(connect(database)) as con, con.cursor() as cursor:
            cursor.execute("SELECT relname FROM pg_stat_user_tables WHERE vacuum_count > 0")
            return {str(name) for (name,) in cursor.fetchall()}

    assert vacuumed() == set()
    assert clear(database) == 0
    assert {"metrics", "latest_metrics", "model_version_tags", "model_versions", "tags"} <= vacuumed()
