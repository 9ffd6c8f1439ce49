"""A state counts into the day in which it began: one that is not cut where the next day starts is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from expectations.run import run_suites
from pipelines.control_plan.site import Site
from pipelines.curation.report import Layer
from pipelines.curation.run import curate
from pipelines.ingest.run import ingest
from pipelines.lake.home import Home
from tests.expectations.plants import copied, deliveries, failures, tamper

pytestmark = pytest.mark.long

LAYERS: tuple[Layer, ...] = ("staging", "marts")
CUT = ("marts.machine_state_day", "no day is longer than 25 h: deliver states cut at the start of the production day")


def _stand_for_30_h(home: Home) -> None:
    """A machine's first state of a day goes on into the next one, with nothing beside it."""
    first, second, _ = deliveries(home, "scada__machine_state")
    ends: list[tuple[str, datetime]] = []

    def begin(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        machine_id = rows[0]["machine_id"]
        [state, *_] = sorted((row for row in rows if row["machine_id"] == machine_id), key=lambda row: row["event_at"])
        ended_at = datetime.fromisoformat(state["event_at"]) + timedelta(hours=30)
        ends.append((machine_id, ended_at))
        long = state | {"ended_at": str(ended_at), "known_at": str(ended_at)}
        return pa.Table.from_pylist([long, *(row for row in rows if row["machine_id"] != machine_id)], table.schema)

    def go_on(table: pa.Table) -> pa.Table:
        machine_id, ended_at = ends[0]
        keep = [
            row["machine_id"] != machine_id or datetime.fromisoformat(row["event_at"]) >= ended_at
            for row in table.to_pylist()
        ]
        return table.filter(pa.array(keep))

    tamper(first, begin)
    tamper(second, go_on)


def test_a_state_of_30_h_fails_the_check_of_the_days_length_alone(
    small_plant: Home, site: Site, tmp_path: Path
) -> None:
    home = copied(small_plant, tmp_path / "home")
    _stand_for_30_h(home)
    ingest(home, site)
    for layer in LAYERS:
        assert curate(home, site, layer=layer, domain="equipment").is_passed
    assert failures([run_suites(home, site, layer=layer, domain="equipment") for layer in LAYERS]) == {CUT}
