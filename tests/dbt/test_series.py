"""A series is staged day by day: sorted or not, each key is there once, with the newest record."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PROJECT
from pipelines.curation.run import curate
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
POINTS = SITE.plan.control_points().column("control_point_no").to_pylist()[:3]
START = datetime(2026, 9, 10, 8, 0)  # noqa: DTZ001 - the lake holds UTC without a zone
DAYS = count()
pytestmark = pytest.mark.slow


# A record: which point, which minute, how late it is known.
RECORDS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=12)
SORTED = [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)]
KNOWN_CASES = [
    SORTED,
    [*SORTED, (1, 1, 0)],  # the same record twice, sorted
    [*SORTED, (0, 1, 2)],  # a correction behind them
    SORTED[::-1],
]


# A night costs seconds and a day of it nothing: each example is many days, and each day is staged by itself.
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # to shrink a failure would take a night a step
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(days=st.lists(RECORDS, min_size=12, max_size=12))
def test_each_key_is_staged_once_with_its_newest_record(
    empty_home: Home, days: list[list[tuple[int, int, int]]]
) -> None:
    begun = {START + timedelta(days=next(DAYS)): records for records in (*KNOWN_CASES, *days)}
    for start, records in begun.items():
        _deliver(empty_home, start, records)
    ingest(empty_home, SITE)
    report = curate(empty_home, SITE, layer="staging", domain="equipment")
    assert [each.message for each in (*report.models, *report.tests) if each.message] == []
    for start, records in begun.items():
        newest: dict[tuple[int, datetime], float] = {}
        for point, minute, late in records:
            key = (POINTS[point], start + timedelta(minutes=minute))
            newest[key] = max(newest.get(key, 0.0), float(late))
        assert _staged(empty_home, start) == [(*key, newest[key]) for key in sorted(newest)], records


def _deliver(home: Home, start: datetime, records: list[tuple[int, int, int]]) -> None:
    columns = {
        "control_point_no": pa.array([POINTS[point] for point, _, _ in records], pa.int32()),
        "value": pa.array([float(late) for _, _, late in records], pa.float32()),
        "event_at": pa.array([start + timedelta(minutes=minute) for _, minute, _ in records], pa.timestamp("us")),
        "known_at": pa.array([start + timedelta(hours=late) for _, _, late in records], pa.timestamp("us")),
    }
    folder = home.drop_dir / "historian__telemetry"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{start:%Y%m%d}.parquet")


def _staged(home: Home, start: datetime) -> list[tuple[int, datetime, float]]:
    with reader(home) as con:
        return con.execute(
            "SELECT control_point_no, event_at, value FROM staging.stg_historian__telemetry "
            "WHERE event_at >= ? AND event_at < ?",  # as it lies there: sorted by key, which readers skip files by
            [start, start + timedelta(hours=1)],
        ).fetchall()
