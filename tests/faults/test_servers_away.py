"""PostgreSQL goes away in the middle of a batch and comes back; the object store fails. Exactly once, always."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from models.scoring.table import answer_table, append_answers
from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.ingest.own_table import take_in
from pipelines.ingest.run import ingest
from pipelines.lake import connection
from pipelines.lake.clock import wall_now
from pipelines.lake.connection import reader, retrying, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import area_of
from pipelines.lake.schemas import bootstrap
from tests.faults.deliveries import BATCHES, WEATHER, event_of, put, put_batches
from tests.faults.work import solution
from tests.proxy import Proxy
from tests.servers import Servers

pytestmark = [pytest.mark.slow, pytest.mark.faults]
DEMO = Path(__file__).parents[2] / "infra" / "sites" / "demo"
ROWS = 40
ON = "on"
Ingesting = tuple[Callable[[str], None], Callable[[str], None]]

# One batch for each line of input that names a label; there it stops, once, until the next line.
INGESTING = """
import sys
from pathlib import Path
from pipelines.control_plan.site import load_site
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
site, home = load_site(Path(sys.argv[1])), Home(Path(sys.argv[2]))
print("ready", flush=True)
for line in sys.stdin:
    stops = [line.strip()]
    def progress(label, done, total):
        # Within the transaction it is the last feed, when the others are written.
        if stops and label.startswith(stops[0]) and (label.startswith("reading") or done == total - 1):
            stops.clear()
            print("stopped", flush=True)
            sys.stdin.readline()
    ingest(home, site, progress=progress)
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(DEMO)


@pytest.fixture
def own_postgres(on_servers: Servers) -> Servers:
    if on_servers.postgres is None:
        pytest.skip("the PostgreSQL was named by its address; only one of our own is stopped")
    return on_servers


@pytest.fixture
def home(tmp_path: Path, on_servers: Servers, site: Site) -> Home:
    home = Home(tmp_path / "home").ensure()
    bootstrap(home, site)
    return home


def _deliver(home: Home, site: Site, number: int) -> None:
    """A file of each of two feeds: some rows fit, one does not."""
    event = event_of(number)
    weather = dict.fromkeys(raw_schema(site, WEATHER), 1.0) | {"known_at": event.replace("03:", "04:")}
    lines = [json.dumps(weather | {"event_at": f"{event[:-5]}{i:02d}:00"}) for i in range(ROWS)]
    put(home, WEATHER, f"{number}.jsonl", [*lines, "{broken"])
    put_batches(home, number, [f"B{number},L1,lfp,5,{event},{event}"])


def _counts(home: Home) -> dict[str, int]:
    """Rows, distinct places that they came from, and bookkeeping."""
    asked = {
        "weather": f"lake.raw.{WEATHER}",
        "batches": f"lake.raw.{BATCHES}",
        "aside": "lake.ops.quarantine",
        "aside_once": "(SELECT DISTINCT quarantine_id FROM lake.ops.quarantine)",
        "deliveries": "lake.ops.ingest_offset",
        "deliveries_once": "(SELECT DISTINCT source FROM lake.ops.ingest_offset)",
    }
    with reader(home) as con:
        return {name: con.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for name, table in asked.items()}


def _expected(deliveries: int) -> dict[str, int]:
    return {
        "weather": deliveries * ROWS,
        "batches": deliveries,
        "aside": deliveries,
        "aside_once": deliveries,
        "deliveries": 2 * deliveries,
        "deliveries_once": 2 * deliveries,
    }


@pytest.fixture
def ingesting(home: Home) -> Iterator[Ingesting]:
    """A process that takes in what is pending: to a place where it stops, and when told `on` to the end."""
    command = [sys.executable, "-c", INGESTING, str(DEMO), str(home.root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def say(word: str) -> None:
        assert process.stdin is not None
        process.stdin.write(f"{word}\n")
        process.stdin.flush()
        if word != ON:
            hear("stopped")

    def hear(word: str) -> None:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{word}\n"

    yield say, hear
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("label", ["reading", "writing"])
def test_postgres_that_crashes_within_a_batch_loses_nothing_and_doubles_nothing(
    own_postgres: Servers, home: Home, site: Site, ingesting: Ingesting, label: str
) -> None:
    _deliver(home, site, 0)
    assert ingest(home, site).rows_in == ROWS + 1
    assert _counts(home) == _expected(1)
    _deliver(home, site, 1)
    say, hear = ingesting
    say(label)
    own_postgres.stop_postgres()
    own_postgres.start_postgres()
    say(ON)
    hear("done")
    assert _counts(home) == _expected(2)
    assert ingest(home, site).batch_id is None


@pytest.mark.servers
def test_postgres_that_is_away_for_half_a_minute_is_waited_for(
    own_postgres: Servers, home: Home, site: Site, ingesting: Ingesting
) -> None:
    say, hear = ingesting
    for number, label in enumerate(("reading", "writing")):
        _deliver(home, site, number)
        say(label)
        own_postgres.stop_postgres()
        say(ON)
        # How long it is away is what is being tested.
        threading.Event().wait(30)
        own_postgres.start_postgres()
        hear("done")
    assert _counts(home) == _expected(2)
    assert ingest(home, site).batch_id is None


@pytest.fixture
def proxy(on_servers: Servers, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(on_servers.endpoint).serving() as serving:
        monkeypatch.setenv("AWS_ENDPOINT_URL", serving.endpoint)
        yield serving


@pytest.mark.parametrize(("fail", "hang"), [(3, 0), (0, 2)], ids=["answers 500", "does not answer"])
def test_an_object_store_that_fails_for_a_moment_costs_time_and_nothing_else(
    home: Home, site: Site, proxy: Proxy, fail: int, hang: int
) -> None:
    _deliver(home, site, 0)
    proxy.fail, proxy.hang = fail, hang
    ingest(home, site)
    assert proxy.spoilt == fail + hang
    assert _counts(home) == _expected(1)


def test_a_persons_table_is_not_blamed_for_a_store_that_fails_for_a_moment(
    home: Home, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HTTP_RETRIES", 1)
    file = tmp_path / "mine.csv"
    file.write_text("id,mass_g\n" + "".join(f"{i},{i / 2}\n" for i in range(20_000)))
    proxy.fail = 3  # more than DuckDB itself asks again
    assert take_in(home, "mine", file).rows == 20_000
    assert proxy.spoilt == 3


def test_answers_are_written_once_through_a_store_that_fails_for_a_moment(
    home: Home, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HTTP_RETRIES", 1)
    lots = [f"lot {number}" for number in range(20_000)]
    told = {"value": [0.1] * len(lots), "is_flagged": [False] * len(lots)}
    rows = answer_table({"lot_id": pa.chunked_array([lots])}, None, told, wall_now(), (1, 1))
    proxy.fail = 3
    append_answers(home, solution(home), rows, wall_now())
    assert proxy.spoilt == 3
    with reader(home) as con:
        counted = con.execute("SELECT count(*), count(DISTINCT lot_id) FROM solutions.kept").fetchone()
    assert counted == (len(lots), len(lots))


@pytest.mark.servers
def test_an_object_store_that_goes_on_failing_leaves_the_lake_as_it_was(home: Home, site: Site, proxy: Proxy) -> None:
    _deliver(home, site, 0)
    proxy.fail = 1_000_000
    begun = time.monotonic()
    with pytest.raises(CellworksError, match="the lake is as before"):
        ingest(home, site)
    assert time.monotonic() - begun < 300
    proxy.fail = 0
    assert _counts(home) == _expected(0)
    ingest(home, site)
    assert _counts(home) == _expected(1)


def test_another_writer_waits_for_a_server_that_restarts(own_postgres: Servers, home: Home) -> None:
    def append() -> None:
        with writer(home, why="a row", area=area_of("a/b")) as con, transaction(con):
            con.execute("INSERT INTO lake.ops.affected_day VALUES ('f', DATE '2026-09-01', 1)")

    append()
    own_postgres.stop_postgres()
    back = threading.Timer(2.0, own_postgres.start_postgres)
    back.start()
    retrying(append)
    back.join()
    with reader(home) as con:
        assert con.execute("SELECT count(*) FROM lake.ops.affected_day").fetchone() == (2,)
