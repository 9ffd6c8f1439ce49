"""PostgreSQL ends the connection that holds a lock, and another writer does the same work meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestration.environment import default_site
from pipelines.control_plan.site import Site
from pipelines.curation import instance
from pipelines.curation.run import curate
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import PUBLISHED, LockLostError
from pipelines.lake.publish import publish, published_snapshot
from pipelines.lake.schemas import bootstrap
from pipelines.lake.servers import connect
from tests.faults.deliveries import BATCHES, put_lot
from tests.servers import Servers

pytestmark = [pytest.mark.slow, pytest.mark.faults]
ROOT = Path(__file__).parents[2]
STAGED = f"stg_{BATCHES}"
ROWS = 30

# Stops once within the transaction of a model, when its rows are written; where that is, only dbt's own manager knows.
CURATING = """
import sys
from pathlib import Path
from dbt.adapters.duckdb.connections import DuckDBConnectionManager as Manager
from pipelines.control_plan.site import load_site
from pipelines.curation.run import curate
from pipelines.lake.home import Home
commit, stops = Manager.commit, [sys.argv[3]]
def stopping(self):
    if stops and self.get_thread_connection().name == stops[0]:
        stops.clear()
        print("stopped", flush=True)
        sys.stdin.readline()
    return commit(self)
Manager.commit = stopping
report = curate(Home(Path(sys.argv[2])), load_site(Path(sys.argv[1])), layer="staging", domain="process")
print(report.status, flush=True)
"""


@pytest.fixture
def home(tmp_path: Path, on_servers: Servers, site: Site) -> Home:
    home = Home(tmp_path / "home").ensure()
    bootstrap(home, site)
    return home


@pytest.fixture
def curated(home: Home, parsed: Callable[[Path], Path]) -> Home:
    """The home with what dbt saves of the project."""
    parsed(home.root)
    return home


def _end_lock_of(home: Home, why: str) -> None:
    with closing(connect(home.stores.lake_url or "")) as admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [f"cellworks {why}"]
        )
        assert cursor.fetchall() == [(True,)]


@contextmanager
def _curating(home: Home) -> Iterator[subprocess.Popen[str]]:
    """A process that curates, stopped before the commit of a model.

    The last word it prints is what became of it; on a slow machine DuckDB's bar may come before.
    """
    command = [sys.executable, "-c", CURATING, str(default_site()), str(home.root), f"model.cellworks.{STAGED}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stopped\n"
        yield process


def _staged(home: Home) -> tuple[int, int]:
    """Rows of the staged table, and how many there should be."""
    with reader(home) as con:
        rows, once = con.execute(f"SELECT count(*), count(DISTINCT slurry_batch_id) FROM staging.{STAGED}").fetchall()[
            0
        ]
    return int(rows), int(once)


def test_nothing_is_published_once_the_lock_is_lost(home: Home) -> None:
    with writer(home, why="publish process", area=PUBLISHED) as con:
        kept = publish(con, "process", "first")
    with pytest.raises(LockLostError), writer(home, why="publish process", area=PUBLISHED) as con:
        _end_lock_of(home, "publish process")
        publish(con, "process", "second")
    assert published_snapshot(home, "process") == kept


@pytest.mark.long
def test_dbt_whose_lock_was_lost_commits_nothing_beside_the_next_holder(
    curated: Home, site: Site, record_property: Callable[[str, Any], None]
) -> None:
    home = curated
    put_lot(home, 1, ROWS)
    ingest(home, site)
    assert curate(home, site, layer="staging", domain="process").is_passed
    instance.close(home)
    put_lot(home, 2, ROWS)
    ingest(home, site)
    with _curating(home) as first:
        _end_lock_of(home, "curate staging process")
        assert curate(home, site, layer="staging", domain="process").is_passed, "the next holder"
        instance.close(home)
        told, _ = first.communicate("on\n", timeout=300)
    assert told.split()[-1:] == ["unchanged"], "it takes the lock again, and finds that all is done"
    rows = _staged(home)
    with reader(home) as con:
        builds = con.execute("SELECT count(*), count(DISTINCT build_no) FROM ops.model_build").fetchall()[0]
    lost, doubled = 2 * ROWS - rows[1], rows[0] - rows[1]
    record_property("figures", {"kills": 1, "rows": rows[0], "lost": lost, "doubled": doubled})
    assert (lost, doubled) == (0, 0)
    assert builds[0] == builds[1]


@pytest.mark.long
def test_dbt_waits_for_a_postgres_that_restarts_while_it_builds(
    on_servers: Servers, curated: Home, site: Site, record_property: Callable[[str, Any], None]
) -> None:
    home = curated
    if on_servers.postgres is None:
        pytest.skip("the PostgreSQL was named by its address; only one of our own is stopped")
    put_lot(home, 1, ROWS)
    ingest(home, site)
    with _curating(home) as first:
        on_servers.stop_postgres()
        on_servers.start_postgres()
        told, _ = first.communicate("on\n", timeout=300)
    assert told.split()[-1:] == ["built"]
    rows, once = _staged(home)
    record_property("figures", {"kills": 1, "rows": rows, "lost": ROWS - once, "doubled": rows - once})
    assert (rows, once) == (ROWS, ROWS)
