"""What goes to the object store and comes from it is counted, and nothing is where the stores are files."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.cost import Meter
from pipelines.lake import traffic
from pipelines.lake.connection import current_snapshot, reader, writer
from pipelines.lake.home import Home
from pipelines.lake.objects import put

ROWS = 200_000  # of random numbers, which no file holds in much less than eight bytes each
BYTES = 8 * ROWS


def _write(home: Home) -> None:
    with writer(home, why="numbers") as con:
        con.execute(f"CREATE TABLE lake.main.numbers AS SELECT random() AS x FROM range({ROWS})")


@pytest.mark.servers
@pytest.mark.usefixtures("on_servers")
def test_what_duckdb_and_uploads_move_is_the_cost_of_who_moves_it(tmp_path: Path) -> None:
    home = Home(tmp_path).ensure()
    meter = Meter()
    _write(home)
    written = meter.cost()
    assert 0.9 * BYTES < written.s3_written_bytes < 1.3 * BYTES
    meter = Meter()
    with reader(home) as con:
        con.execute("SELECT sum(x) FROM lake.main.numbers").fetchone()
    read = meter.cost()
    assert 0.9 * BYTES < read.s3_read_bytes < 1.3 * BYTES
    assert read.s3_written_bytes < 0.01 * BYTES
    file = tmp_path / "file"
    file.write_bytes(bytes(12_345))
    meter = Meter()
    put(home.stores, file, "of_ours/file", is_ours=True)
    assert meter.cost().s3_written_bytes == 12_345


@pytest.mark.servers
@pytest.mark.usefixtures("on_servers")
def test_work_that_fails_is_counted_too_and_its_error_is_told(tmp_path: Path) -> None:
    home = Home(tmp_path).ensure()
    _write(home)
    before = traffic.moved()
    with pytest.raises(duckdb.Error, match="no_such"), reader(home) as con:
        con.execute("BEGIN")
        con.execute("SELECT sum(x) FROM lake.main.numbers").fetchone()
        con.execute("SELECT no_such FROM lake.main.numbers")
    assert traffic.moved().read - before.read > 0.9 * BYTES


@pytest.mark.servers
@pytest.mark.usefixtures("on_servers")
def test_who_closes_a_lent_connection_early_is_counted_too(tmp_path: Path) -> None:
    home = Home(tmp_path).ensure()
    before = traffic.moved()
    with writer(home, why="numbers") as con:
        con.execute(f"CREATE TABLE lake.main.numbers AS SELECT random() AS x FROM range({ROWS})")
        con.close()
    assert traffic.moved().written - before.written > 0.9 * BYTES


@pytest.mark.embedded
def test_files_are_no_traffic(tmp_path: Path) -> None:
    home = Home(tmp_path).ensure()
    before = traffic.moved()
    _write(home)
    with reader(home) as con:
        assert current_snapshot(con) > 0
        con.execute("SELECT sum(x) FROM lake.main.numbers").fetchone()
    assert traffic.moved() == before
