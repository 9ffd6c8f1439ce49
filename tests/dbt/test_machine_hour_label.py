"""marts.machine_hour_label follows a breakdown from its work order's opening until it is closed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.site import load_site
from pipelines.curation import instance
from pipelines.curation.contracts import PROJECT
from pipelines.curation.run import LAYER_DOMAINS, curate
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
MACHINE = next(iter(SITE.machines_by_id))
START, DAY = datetime(2026, 9, 1), timedelta(days=1)  # noqa: DTZ001 - the lake holds UTC without a zone
END = START + 10 * DAY
pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, parsed: Callable[[Path], Path]) -> Iterator[Home]:
    """Ten days of one machine, and a CMMS that has nothing to tell of it."""
    home = Home(parsed(tmp_path_factory.mktemp("plant"))).ensure()
    bootstrap(home, SITE)
    hours = pa.array([START + timedelta(hours=hour) for hour in range(240)], pa.timestamp("us"))
    table = pa.table({"machine_id": [MACHINE] * 240, "event_at": hours, "known_at": hours})
    folder = home.drop_dir / "historian__machine_hour"
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "hours.parquet")
    home.erp_file.parent.mkdir(parents=True, exist_ok=True)
    con = sqlite3.connect(home.erp_file)
    for feed in (name for name, each in SITE.feeds.items() if each.delivery.format == "sql"):
        columns = ", ".join(f"{name} TEXT" for name in raw_schema(SITE, feed))
        con.execute(f"CREATE TABLE {feed} (row_no INTEGER PRIMARY KEY AUTOINCREMENT, {columns})")
    con.close()
    yield home
    instance.close(home)


def _record(home: Home, opened_at: datetime, closed_at: datetime | None) -> None:
    """A record of the CMMS about one breakdown: that it began, or that it is over."""
    columns = "work_order_id, machine_id, type_code, opened_at, closed_at, event_at, known_at"
    moments = [opened_at, closed_at, opened_at, closed_at or opened_at]
    values = ["WO-1", MACHINE, "breakdown", *(None if each is None else str(each) for each in moments)]
    con = sqlite3.connect(home.erp_file)
    with con:
        con.execute(f"INSERT INTO cmms__work_order ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    con.close()


def _labels(home: Home) -> dict[datetime, bool | None]:
    """Labels by hour after a night of the machines' tables."""
    ingest(home, SITE)
    for layer in LAYER_DOMAINS:
        assert curate(home, SITE, layer=layer, domain="equipment").is_passed
    with reader(home) as con:
        return dict(con.execute("SELECT hour_at, fails_within_24h FROM marts.machine_hour_label").fetchall())


def _between(labels: dict[datetime, bool | None], begin: datetime, end: datetime) -> set[bool | None]:
    return {label for hour, label in labels.items() if begin <= hour < end}


def test_hours_of_a_breakdown_carry_no_label_until_its_work_order_is_closed(home: Home) -> None:
    opened_at = START + 3 * DAY + timedelta(minutes=30)
    closed_at = opened_at + timedelta(hours=3)
    assert _between(_labels(home), START, END - 2 * DAY) == {False}
    _record(home, opened_at, None)
    labels = _labels(home)
    assert _between(labels, START, opened_at - DAY) == {False}
    assert _between(labels, opened_at - DAY, opened_at) == {True}
    assert _between(labels, opened_at, END) == {None}
    _record(home, opened_at, closed_at)
    labels = _labels(home)
    assert _between(labels, opened_at, closed_at) == {None}
    assert _between(labels, closed_at, END - 2 * DAY) == {False}
