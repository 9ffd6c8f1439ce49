"""Ingestion survives what machines do: SIGKILL at random moments, a full disk, Ctrl-C. Exactly once, always."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import create_engine, text

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.site import Site
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.hashing import table_hash
from pipelines.lake.home import Home
from pipelines.lake.maintenance import maintain
from pipelines.lake.schemas import bootstrap
from pipelines.lake.sql import quote_literal
from tests.faults.deliveries import WEATHER, event_of, put, put_batches

pytestmark = [pytest.mark.slow, pytest.mark.faults]
DEMO = Path(__file__).parents[2] / "infra" / "sites" / "demo"
TELEMETRY = "historian__telemetry"
LOTS = "erp__material_lot"
KILLS = 20
ROUNDS = 3 * KILLS  # a run may end before its kill; mostly a handful do
SEED = 7

# Imports once, then a fork per line of input: a kill meets the work and not the start of Python.
FORKING = """
import os, sys
from pathlib import Path
import pandas, pyarrow.parquet, sqlalchemy
from pipelines.control_plan.site import load_site
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
site, home = load_site(Path(sys.argv[1])), Home(Path(sys.argv[2]))
print("ready", flush=True)
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        ingest(home, site)
        os._exit(0)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""

ONCE = """
import sys
from pathlib import Path
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
def progress(label, done, total):
    print(label, flush=True)
try:
    report = ingest(Home(Path(sys.argv[2])), load_site(Path(sys.argv[1])), progress=progress)
except CellworksError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
print("rows", report.rows_in)
"""
TELL = "    print(label, flush=True)\n"
# Ctrl-C once the process has worked 50 ms on writing: by its own clock, since on a busy machine one from outside may
# come when all is committed.
INTERRUPTED = (
    "import os, signal\nsignal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), signal.SIGINT))\n"
    + ONCE.replace(TELL, TELL + "    if label.startswith('writing'): signal.setitimer(signal.ITIMER_PROF, 0.05)\n")
)


def _erp(home: Home, site: Site) -> None:
    engine = create_engine(home.erp_url)
    with engine.begin() as connection:
        for feed in (name for name, each in site.feeds.items() if each.delivery.format == "sql"):
            columns = ", ".join(f'"{name}" TEXT' for name in raw_schema(site, feed))
            connection.execute(text(f"CREATE TABLE {feed} (row_no INTEGER PRIMARY KEY AUTOINCREMENT, {columns})"))
    engine.dispose()


def _deliver(home: Home, site: Site, number: int, rng: random.Random) -> None:
    """One round of deliveries: every format, some rows bad, some twice."""
    event = event_of(number)
    lines = [f"B{number}_{i},L{i % 7},lfp,{rng.choice(['5', '6.5', 'bad', '-3'])},{event},{event}" for i in range(60)]
    put_batches(home, number, [*lines, lines[0], "short,line"])
    weather = dict.fromkeys(raw_schema(site, WEATHER), 1.0) | {"event_at": event, "known_at": event}
    put(home, WEATHER, f"{number}.jsonl", [json.dumps(weather), "{broken", json.dumps(weather)])
    engine = create_engine(home.erp_url)
    names = list(raw_schema(site, LOTS))
    values = dict.fromkeys(names, event) | {"material_lot_id": f"L{number}", "material_code": "lfp", "quantity_kg": "5"}
    with engine.begin() as connection:
        insert = f"INSERT INTO {LOTS} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"
        connection.execute(text(insert), values)
    engine.dispose()
    if number % 5 == 0:  # long enough to be adopted whole
        _telemetry(home, site, number, rows=200_000)


def _telemetry(home: Home, site: Site, number: int, rows: int, value: str = "p.low") -> None:
    folder = home.drop_dir / TELEMETRY
    folder.mkdir(parents=True, exist_ok=True)
    point = site.plan.control_points().slice(0, 1).to_pylist()[0]
    select_rows = (
        f"SELECT {point['control_point_no']}::INTEGER AS control_point_no, ({value})::FLOAT AS value, "
        f"TIMESTAMP '2026-09-{1 + number % 28:02d} 00:00:00' + to_milliseconds(i * 10) AS event_at, "
        "event_at AS known_at "
        f"FROM range({rows}) AS t (i), (SELECT {point['physical_min']} AS low, {point['physical_max']} AS high) AS p"
    )
    part = folder / f"{number}.parquet.part"
    duckdb.execute(f"COPY ({select_rows}) TO {quote_literal(part)} (FORMAT parquet)")
    part.rename(folder / f"{number}.parquet")


def _state(home: Home, site: Site) -> dict[str, str]:
    """What the lake holds, bookkeeping numbers and wall clocks aside."""
    with reader(home) as con:
        state = {feed: table_hash(con, f"raw.{feed}", exclude=["_batch_id"]) for feed in site.feeds}
        numbers = ["quarantine_id", "batch_id", "quarantined_at"]
        state["quarantine"] = table_hash(con, "ops.quarantine", exclude=numbers)
        days = con.execute("SELECT DISTINCT feed, production_day FROM ops.affected_day ORDER BY ALL").fetchall()
        return state | {"days": str(days)}


@contextlib.contextmanager
def _forking(home: Home) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", FORKING, str(DEMO), str(home.root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert _line(process) == "ready"
        yield process
    finally:
        process.communicate(timeout=60)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0], "the other process said nothing for a minute"
    return process.stdout.readline().strip()


def _start(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return int(_line(process))


def _kill_within(process: subprocess.Popen[str], after_s: float) -> tuple[bool, float]:
    """Start a run and kill it after a while; whether it died of that, and how long it ran."""
    pid = _start(process)
    begun = time.monotonic()
    # The moment of the kill is what is being tested: the clock ends this wait, or the run that says it ended.
    select.select([process.stdout], [], [], after_s)
    lasted_s = time.monotonic() - begun
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    status = int(_line(process))
    assert status in {0, signal.SIGKILL}
    return status != 0, lasted_s


def test_killed_at_twenty_random_moments_ingestion_ends_with_the_rows_of_an_undisturbed_one(
    tmp_path: Path, site: Site, record_property: Callable[[str, Any], None]
) -> None:
    disturbed, calm = Home(tmp_path / "disturbed").ensure(), Home(tmp_path / "calm").ensure()
    _erp(disturbed, site)
    bootstrap(disturbed, site)
    rng = random.Random(SEED)
    # A kill in each twentieth of a run, at a random moment of it, in random order: reading, writing and commit are met.
    shares = [(part + rng.random()) / KILLS for part in range(KILLS)]
    rng.shuffle(shares)
    with _forking(disturbed) as process:
        _deliver(disturbed, site, 0, rng)
        died, lasts_s = _kill_within(process, after_s=60)
        assert not died
        for number in range(1, ROUNDS + 1):
            _deliver(disturbed, site, number, rng)
            died, ran_s = _kill_within(process, shares[-1] * lasts_s)
            if died:
                shares.pop()
            else:  # it ended before its moment came: the moment stays, the measure is mended
                lasts_s = ran_s
            if not shares:
                break
    assert not shares, f"only {KILLS - len(shares)} runs of {ROUNDS} were killed"
    shutil.copytree(disturbed.drop_dir, calm.drop_dir, dirs_exist_ok=True)
    shutil.copytree(disturbed.erp_file.parent, calm.erp_file.parent, dirs_exist_ok=True)
    ingest(calm, site)
    ingest(disturbed, site)
    undisturbed = _state(calm, site)
    assert _state(disturbed, site) == undisturbed
    record_property("figures", {"kills": KILLS, "recovered": KILLS})
    assert ingest(disturbed, site).batch_id is None
    maintain(disturbed)
    assert _state(disturbed, site) == undisturbed


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))


@pytest.mark.parametrize("rows", [150_000, 3_000_000], ids=["inserted", "adopted"])
def test_a_full_disk_leaves_the_lake_as_it_was_and_the_next_run_recovers(tmp_path: Path, site: Site, rows: int) -> None:
    home = Home(tmp_path / "home").ensure()
    bootstrap(home, site)
    put(home, WEATHER, "broken.jsonl", ["{broken"])
    before = _state(home, site)
    if rows >= 1_000_000:
        _telemetry(home, site, 1, rows=rows, value="p.low + random() * (p.high - p.low)")
    else:
        _wide(home, site, rows)
    command = [sys.executable, "-c", ONCE, str(DEMO), str(home.root)]
    limited = subprocess.run(command, preexec_fn=_limited, capture_output=True, text=True, timeout=120, check=False)
    assert limited.returncode == 2, limited.stderr
    assert "the lake is as before" in limited.stderr
    assert "Traceback" not in limited.stderr
    assert _state(home, site) == before
    report = ingest(home, site)
    assert (report.rows_in, report.rows_quarantined) == (rows, 1)


def _wide(home: Home, site: Site, rows: int) -> None:
    """A Parquet file of many random numbers that takes the way through INSERT."""
    feed = "historian__machine_hour"
    columns = []
    for name, kind in raw_schema(site, feed).items():
        row = site.plan.by_code.get(name)
        if row is not None:
            expression = f"{row.physical_min} + random() * ({row.physical_max} - {row.physical_min})"
        else:
            expression = "TIMESTAMP '2026-09-02' + to_seconds(i)" if kind == "TIMESTAMP" else "'coater_c1'"
        columns.append(f"{expression} AS {name}")
    folder = home.drop_dir / feed
    folder.mkdir(parents=True)
    query = f"SELECT {', '.join(columns)} FROM range({rows}) AS t (i)"
    duckdb.execute(f"COPY ({query}) TO {quote_literal(folder / 'a.parquet')} (FORMAT parquet)")


def test_ctrl_c_leaves_the_lake_as_it_was_and_no_lock(tmp_path: Path, site: Site) -> None:
    home = Home(tmp_path / "home").ensure()
    bootstrap(home, site)
    before = _state(home, site)
    _wide(home, site, 150_000)
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(DEMO), str(home.root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        # As from a terminal: whoever runs the tests in the background ignores Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.returncode != 0
    assert process.stdout.splitlines()[-1].startswith("writing")
    assert "KeyboardInterrupt" in process.stderr
    assert _state(home, site) == before
    assert ingest(home, site).rows_in == 150_000
