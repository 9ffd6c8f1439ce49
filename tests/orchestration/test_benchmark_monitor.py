"""The Tennessee Eastman runs through the monitor's door: what must be reached, and that no judged run sets anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from orchestration.benchmarks.families.monitor import watch
from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.run import measure, read
from orchestration.benchmarks.spec import benchmarks

DATA = Path(__file__).parents[3] / "shared" / "data"
TEP = next(each for each in benchmarks() if each.data == "tep")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "tep").is_dir(), reason="the public data sets are not on this machine"),
]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return read(TEP, DATA)


def test_the_run_that_lies_on_its_side_stands(table: pa.Table) -> None:
    counts = {run.as_py(): count.as_py() for run, count in zip(*pc.value_counts(table["run"]).flatten(), strict=True)}
    assert counts == {"d00": 500} | dict.fromkeys(("d00_te", *TEP.protocol.faults), 960)
    first = table.filter((pc.field("run") == "d00") & (pc.field("sample") == 1))
    # Reactor pressure in kPa and the reactor's temperature in C: a swapped axis would show.
    assert 2600 < first["xmeas_07"][0].as_py() < 2800
    assert 119 < first["xmeas_09"][0].as_py() < 122


def test_what_must_be_reached_is_reached(table: pa.Table, tmp_path: Path) -> None:
    found = measure(TEP, table, Ground(tmp_path, is_quick=True))
    rows = {row["metric"]: row for row in found.rows}
    assert rows["false_alarm_rate dynamic"]["met"]
    assert rows["detection_rate dynamic"]["met"]
    faults = {row[0]: row for row in found.outcomes[""].tables[1].rows}
    # No linear method tells these from noise; a figure above would be a leak.
    assert all(faults[run][3] < 0.05 for run in ("d03_te", "d09_te", "d15_te"))
    # A cooling water fault is named by the cooling water's valve.
    assert "xmv_10" in str(faults["d04_te"][6])


def test_nothing_of_a_judged_run_sets_the_monitor(table: pa.Table, tmp_path: Path) -> None:
    judged = pc.not_equal(table["run"], "d00")
    spoilt = table
    for name in ("xmeas_01", "xmeas_09", "xmv_10"):
        column = pc.if_else(judged, pc.multiply(table[name], 3.0), table[name])
        spoilt = spoilt.set_column(table.column_names.index(name), name, column)
    ground = Ground(tmp_path, is_quick=True)
    ours, theirs = (watch(TEP, each, ground).fitted.scorer.references[""] for each in (table, spoilt))
    assert ours.limits == theirs.limits
    np.testing.assert_array_equal(ours.loadings, theirs.loadings)
