"""Numbers that PostgreSQL gives go on after those that were brought, whatever those are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.lake.home import Home
from pipelines.lake.servers import connect
from pipelines.moving.tables import fill, mover
from tests.servers import Servers


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize(("brought", "next_id"), [("[0]", 1), ("[0, 4]", 5), ("[]", 1)])
def test_the_next_number_follows_the_highest(brought: str, next_id: int, on_servers: Servers, tmp_path: Path) -> None:
    url = Home(tmp_path / "home").stores.mlflow_uri
    con = connect(url)
    try:
        with con.cursor() as cursor:
            cursor.execute("CREATE TABLE experiments (experiment_id serial, name text)")
        with mover(url) as moving:
            query = f"(SELECT unnest({brought}::INTEGER[]) AS experiment_id, 'one' AS name)"
            fill(moving, "public", {"experiments": query})
        with con.cursor() as cursor:
            cursor.execute("INSERT INTO experiments (name) VALUES ('mine') RETURNING experiment_id")
            assert cursor.fetchone() == (next_id,)
    finally:
        con.close()
