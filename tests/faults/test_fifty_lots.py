"""Fifty lots at once on their way behind ingestion: through dbt by two that race, and through scoring to actions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.environment import default_site
from pipelines.control_plan.site import Site
from pipelines.curation import instance
from pipelines.curation.run import curate
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from tests.faults.conftest import write_lots
from tests.faults.kills import Worker, copied, restore
from tests.faults.work import LOTS

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.soak]
ROOT = Path(__file__).parents[2]
BATCHES = "mes__batch_material"
MORE, ROWS = 50, 20

# Takes in and curates what is there, again and again until its input ends.
CURATING = """
import select, sys
from pathlib import Path
from pipelines.control_plan.site import load_site
from pipelines.curation.run import curate
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
site, home = load_site(Path(sys.argv[1])), Home(Path(sys.argv[2]))
print("ready", flush=True)
while True:
    is_over = bool(select.select([sys.stdin], [], [], 0)[0])
    ingest(home, site)
    assert curate(home, site, layer="staging", domain="process").is_passed
    if is_over:
        break
"""


def _lot(home: Home, number: int) -> None:
    event = f"2026-09-{1 + number % 28:02d} 03:00:00"
    lines = ["slurry_batch_id,material_lot_id,material_code,mass_kg,event_at,known_at"]
    lines += [f"B{number}_{row},L{number},lfp,5,{event},{event}" for row in range(ROWS)]
    folder = home.drop_dir / BATCHES
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{number}.csv.part").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (folder / f"{number}.csv.part").rename(folder / f"{number}.csv")


def test_fifty_lots_at_once_are_curated_once_by_two_that_race(
    tmp_path: Path, parsed: Callable[[Path], Path], site: Site, record_property: Callable[[str, Any], None]
) -> None:
    home = Home(parsed(tmp_path / "home")).ensure()
    bootstrap(home, site)
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", CURATING, str(default_site()), str(home.root)],
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
    for number in range(MORE):
        _lot(home, number)
    for process in racing:
        process.communicate(timeout=300)
    assert [process.returncode for process in racing] == [0, 0]
    assert curate(home, site, layer="staging", domain="process").status == "unchanged"
    instance.close(home)
    with reader(home) as con:
        rows, once, lots = con.execute(
            "SELECT count(*), count(DISTINCT slurry_batch_id), count(DISTINCT material_lot_id) "
            f"FROM staging.stg_{BATCHES}"
        ).fetchall()[0]
        builds = con.execute("SELECT count(*), count(DISTINCT build_no) FROM ops.model_build").fetchall()[0]
    record_property("figures", {"lots": lots, "rows": rows, "lost": MORE * ROWS - once, "doubled": rows - once})
    assert (rows, once, lots) == (MORE * ROWS, MORE * ROWS, MORE)
    assert builds[0] == builds[1]


def test_fifty_lots_at_once_are_answered_and_acted_on_once(
    doing: Worker, trained: Home, record_property: Callable[[str, Any], None]
) -> None:
    kept = trained.root.with_name("before the lots")
    copied(trained.root, kept)
    try:
        doing.run(trained, {"do": "score"})
        write_lots(trained, LOTS + MORE)
        doing.run(trained, {"do": "score"})
        once = doing.state(trained, {"do": "score", "lots": LOTS + MORE})
        doing.run(trained, {"do": "score"})
        assert doing.state(trained, {"do": "score", "lots": LOTS + MORE}) == once
    finally:
        write_lots(trained, LOTS)
        restore(kept, trained)
        shutil.rmtree(kept)
    record_property("figures", {"lots": MORE, "lost": 0, "doubled": 0, **once})
