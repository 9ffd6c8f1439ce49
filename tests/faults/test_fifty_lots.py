"""Fifty lots at once on their way behind ingestion: through dbt by two that race, and through scoring to actions."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.control_plan.site import Site
from pipelines.curation import instance
from pipelines.curation.run import curate
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from tests.faults.conftest import write_lots
from tests.faults.deliveries import BATCHES
from tests.faults.kills import Worker, copied, restore
from tests.faults.racing import FIFTY, ROWS, raced
from tests.faults.work import LOTS

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.long]
CURATING = """
from pipelines.curation.run import curate
from pipelines.ingest.run import ingest
def work(home, site):
    ingest(home, site)
    assert curate(home, site, layer="staging", domain="process").is_passed
    return 1
"""


def test_fifty_lots_at_once_are_curated_once_by_two_that_race(
    tmp_path: Path, parsed: Callable[[Path], Path], site: Site, record_property: Callable[[str, Any], None]
) -> None:
    home = Home(parsed(tmp_path / "home")).ensure()
    bootstrap(home, site)
    assert min(raced(CURATING, home, patience_s=300)) > 0
    assert curate(home, site, layer="staging", domain="process").status == "unchanged"
    instance.close(home)
    with reader(home) as con:
        rows, once, lots = con.execute(
            "SELECT count(*), count(DISTINCT slurry_batch_id), count(DISTINCT material_lot_id) "
            f"FROM staging.stg_{BATCHES}"
        ).fetchall()[0]
        builds = con.execute("SELECT count(*), count(DISTINCT build_no) FROM ops.model_build").fetchall()[0]
    record_property("figures", {"lots": lots, "rows": rows, "lost": FIFTY * ROWS - once, "doubled": rows - once})
    assert (rows, once, lots) == (FIFTY * ROWS, FIFTY * ROWS, FIFTY)
    assert builds[0] == builds[1]


def test_fifty_lots_at_once_are_answered_and_acted_on_once(
    doing: Worker, trained: Home, record_property: Callable[[str, Any], None]
) -> None:
    kept = trained.root.with_name("before the lots")
    copied(trained.root, kept)
    try:
        doing.run(trained, {"do": "score"})
        write_lots(trained, LOTS + FIFTY)
        doing.run(trained, {"do": "score"})
        once = doing.state(trained, {"do": "score", "lots": LOTS + FIFTY})
        doing.run(trained, {"do": "score"})
        again = doing.state(trained, {"do": "score", "lots": LOTS + FIFTY})
    finally:
        write_lots(trained, LOTS)
        restore(kept, trained)
        shutil.rmtree(kept)
    record_property("figures", {"lots": FIFTY, **again})
    assert again == once
    assert again["lost"] == again["doubled"] == 0
