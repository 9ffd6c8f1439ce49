"""Fifty lots at once, while two processes take them in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.control_plan.site import Site
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from tests.faults.deliveries import BATCHES
from tests.faults.racing import FIFTY, ROWS, raced

pytestmark = [pytest.mark.slow, pytest.mark.faults]
TAKING = """
from pipelines.ingest.run import ingest
def work(home, site):
    return ingest(home, site).rows_in
"""


def test_fifty_lots_at_once_are_taken_in_once_by_two_that_race(
    tmp_path: Path, site: Site, record_property: Callable[[str, Any], None]
) -> None:
    home = Home(tmp_path / "home").ensure()
    bootstrap(home, site)
    took = raced(TAKING, home, patience_s=120)
    assert sum(took) == FIFTY * ROWS
    assert ingest(home, site).batch_id is None
    with reader(home) as con:
        rows, batches, lots = con.execute(
            f"SELECT count(*), count(DISTINCT slurry_batch_id), count(DISTINCT material_lot_id) FROM raw.{BATCHES}"
        ).fetchall()[0]
        offsets = con.execute("SELECT count(*), count(DISTINCT source) FROM lake.ops.ingest_offset").fetchall()[0]
    assert (rows, batches, lots, offsets) == (FIFTY * ROWS, FIFTY * ROWS, FIFTY, (FIFTY, FIFTY))
    record_property("figures", {"lots": FIFTY, "rows": rows, "by_process": took})
