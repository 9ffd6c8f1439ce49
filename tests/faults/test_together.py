"""Fifty lots at once, while two processes take them in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.environment import default_site
from pipelines.control_plan.site import Site, load_site
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap

pytestmark = [pytest.mark.slow, pytest.mark.faults]
ROOT = Path(__file__).parents[2]
BATCHES, WEATHER = "mes__batch_material", "ems__weather"
LOTS, ROWS = 50, 20

# Takes in what is there, again and again until its input ends, and tells how many rows it took.
TAKING = """
import select, sys
from pathlib import Path
from pipelines.control_plan.site import load_site
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
site, home, rows = load_site(Path(sys.argv[1])), Home(Path(sys.argv[2])), 0
print("ready", flush=True)
while True:
    is_over = bool(select.select([sys.stdin], [], [], 0)[0])
    rows += ingest(home, site).rows_in
    if is_over:
        break
print(rows, flush=True)
"""


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(default_site())


@pytest.fixture
def home(tmp_path: Path, site: Site) -> Home:
    home = Home(tmp_path / "home").ensure()
    bootstrap(home, site)
    return home


def _put(home: Home, feed: str, name: str, lines: list[str]) -> None:
    folder = home.drop_dir / feed
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.part").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (folder / f"{name}.part").rename(folder / name)


def _lot(home: Home, number: int) -> None:
    event = f"2026-09-{1 + number % 28:02d} 03:00:00"
    header = "slurry_batch_id,material_lot_id,material_code,mass_kg,event_at,known_at"
    _put(
        home,
        BATCHES,
        f"{number}.csv",
        [header, *(f"B{number}_{row},L{number},lfp,5,{event},{event}" for row in range(ROWS))],
    )


def test_fifty_lots_at_once_are_taken_in_once_by_two_that_race(
    home: Home, site: Site, record_property: Callable[[str, Any], None]
) -> None:
    command = [sys.executable, "-c", TAKING, str(default_site()), str(home.root)]
    racing = [
        subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in racing:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for number in range(LOTS):
        _lot(home, number)
    took = [int(process.communicate(timeout=120)[0]) for process in racing]
    assert [process.returncode for process in racing] == [0, 0]
    assert sum(took) == LOTS * ROWS
    assert ingest(home, site).batch_id is None
    with reader(home) as con:
        rows, batches, lots = con.execute(
            f"SELECT count(*), count(DISTINCT slurry_batch_id), count(DISTINCT material_lot_id) FROM raw.{BATCHES}"
        ).fetchall()[0]
        offsets = con.execute("SELECT count(*), count(DISTINCT source) FROM lake.ops.ingest_offset").fetchall()[0]
    assert (rows, batches, lots, offsets) == (LOTS * ROWS, LOTS * ROWS, LOTS, (LOTS, LOTS))
    record_property("figures", {"lots": LOTS, "rows": rows, "by_process": took})
