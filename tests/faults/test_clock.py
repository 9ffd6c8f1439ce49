"""The machine's clock is set back, or was ahead for a while: what was written last is still what counts.

That the clock went back an hour is, for what comes after, that all stamps so far are an hour ahead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from models.registry.alarms import newest_alarms, raise_alarm
from models.scoring.table import answer_table, append_answers, news, scored_keys
from orchestration.night_store import last_night, store_night
from orchestration.solving import Outcome
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.ingest.own_table import take_in
from pipelines.lake.clock import next_stamp, wall_now
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.maintenance import expire, snapshots
from pipelines.lake.publish import publish, published_snapshot
from pipelines.lake.schemas import bootstrap
from tests.faults.conftest import write_lots
from tests.faults.kills import Worker, copied, restore
from tests.faults.work import LOTS, solution

pytestmark = [pytest.mark.slow, pytest.mark.faults]
HOUR, YEAR = timedelta(hours=1), timedelta(days=365)
# Of the wall clock; the rest are the plant's moments, or hashed into a chain that goes by its numbers.
STAMPS = {"published_at", "scored_at", "run_at", "copied_at", "written_at", "raised_at", "ingested_at", "pinned_at"}
OF_OWN_TABLES = {"predicted_at", "known_at", "proposed_at"}  # which no plant stands behind


@pytest.fixture
def home(tmp_path: Path, site: Site) -> Home:
    home = Home(tmp_path / "home").ensure()
    bootstrap(home, site)
    return home


def set_back(home: Home, by: timedelta, *further: str) -> None:
    """Make the clock one that was set back (or, by less than nothing, put forward) since all that was written."""
    with writer(home, why="another clock") as con:
        found = con.execute(
            "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE database_name = 'lake' "
            "AND schema_name IN ('ops', 'solutions') AND table_name <> 'act' AND list_contains(?, column_name)",
            [[*STAMPS, *further]],
        ).fetchall()
        assert found
        for schema, table, column in found:
            con.execute(f"UPDATE lake.{schema}.{table} SET {column} = {column} + ?", [by])


def _answers(version: int, value: float, *keys: str) -> pa.Table:
    told = {"value": [value] * len(keys), "is_flagged": [False] * len(keys)}
    return answer_table({"lot_id": pa.chunked_array([list(keys)])}, None, told, wall_now(), (version, 1))


@pytest.mark.parametrize("by", [HOUR, YEAR, -HOUR], ids=["back an hour", "back a year", "forward an hour"])
def test_what_was_written_last_counts_whatever_the_clock_does(home: Home, by: timedelta, tmp_path: Path) -> None:
    spec, file = solution(home), tmp_path / "table.csv"
    file.write_text("x\n1\n")
    take_in(home, "mine", file)
    append_answers(home, spec, _answers(1, 0.1, "A", "B"), wall_now())
    store_night(home, {"rows_scored": 2}, Outcome(spec), datetime.fromisoformat("2026-09-01"))
    with writer(home, why="publish") as con:
        publish(con, "process", "first")

    set_back(home, by)
    with writer(home, why="publish") as con:
        newest = publish(con, "process", "second")
        expire(con, keep=-YEAR - YEAR)
        assert newest in snapshots(con)
    assert published_snapshot(home, "process") == newest
    append_answers(home, spec, _answers(2, 0.2, "A", "B"), wall_now())
    done = scored_keys(home, spec, 2)
    assert done is not None
    assert sorted(done["lot_id"].to_pylist()) == ["A", "B"], "the next night would answer them anew"
    assert news(home, spec, _answers(2, 0.2, "A", "B"))[0].num_rows == 0
    store_night(home, {"rows_scored": 4}, Outcome(spec), datetime.fromisoformat("2026-09-02"))
    assert last_night(home, spec.solution)["rows_scored"] == 4
    file.write_text("x\n2\n")
    assert take_in(home, "mine", file).copied
    assert not take_in(home, "mine", file).copied
    file.write_text("x\n1\n")
    assert take_in(home, "mine", file).copied, "what it holds was taken for what it held first"


def test_a_stamp_is_the_clocks_where_that_is_later(home: Home) -> None:
    with reader(home) as con:
        before = wall_now()
        stamp = next_stamp(con, "(SELECT TIMESTAMP '2020-01-01' AS at)", "at")
        assert before <= stamp <= wall_now()
        ahead = next_stamp(con, "(SELECT TIMESTAMP '2999-01-01' AS at)", "at")
        assert ahead == datetime.fromisoformat("2999-01-01") + timedelta(microseconds=1)
        assert next_stamp(con, "(SELECT NULL::TIMESTAMP AS at)", "at") >= before


def test_answers_worked_out_beside_another_run_are_refused(home: Home) -> None:
    spec, since = solution(home), wall_now()
    append_answers(home, spec, _answers(1, 0.1, "A"), since)
    with pytest.raises(CellworksError, match="another run has answered"):
        append_answers(home, spec, _answers(1, 0.1, "A"), since)
    set_back(home, HOUR)
    append_answers(home, spec, _answers(1, 0.1, "B"), wall_now())
    with reader(home) as con:
        assert con.execute("SELECT list(lot_id ORDER BY scored_at) FROM solutions.kept").fetchone() == (["A", "B"],)


def test_an_alarm_of_a_clock_far_ahead_keeps_nothing_quiet(home: Home) -> None:
    raise_alarm(home, "mine/kept", "it fails")
    raise_alarm(home, "mine/kept", "it fails")
    assert len(newest_alarms(home)) == 1
    set_back(home, HOUR)
    raise_alarm(home, "mine/kept", "it fails")
    assert len(newest_alarms(home)) == 1
    set_back(home, YEAR)
    raise_alarm(home, "mine/kept", "it fails")
    assert len(newest_alarms(home)) == 2


@pytest.mark.long
@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["back an hour", "forward an hour"])
def test_nights_around_a_set_clock_answer_and_act_once(
    doing: Worker, trained: Home, by: timedelta, record_property: Callable[[str, Any], None]
) -> None:
    pristine = trained.root.with_name("before the clock")
    copied(trained.root, pristine)
    try:
        doing.run(trained, {"do": "night"})
        before = doing.state(trained, {"do": "score"})
        set_back(trained, by, *OF_OWN_TABLES)
        write_lots(trained, LOTS + 50)
        doing.run(trained, {"do": "night"})
        after = doing.state(trained, {"do": "score", "lots": LOTS + 50})
        doing.run(trained, {"do": "score"})
        doing.run(trained, {"do": "score"})
        again = doing.state(trained, {"do": "score", "lots": LOTS + 50})
    finally:
        write_lots(trained, LOTS)
        restore(pristine, trained)
        shutil.rmtree(pristine)
    record_property("figures", {"nights": 4, "before": before, **again})
    assert again == after
    assert after["actions"] >= before["actions"] > 0
    assert again["lost"] == again["doubled"] == 0


@pytest.mark.long
@pytest.mark.skipif(shutil.which("faketime") is None, reason="libfaketime is not installed (Debian: faketime)")
def test_whole_nights_of_a_process_whose_clock_is_an_hour_behind(
    tmp_path: Path, parsed: Callable[[Path], Path], record_property: Callable[[str, Any], None]
) -> None:
    from tests.orchestration.conftest import own_rows, write_solution

    home = Home(parsed(tmp_path / "home"))
    write_solution(tmp_path, "one", own_rows(400))
    night = [sys.executable, "-c", "from orchestration.cli.main import main; main()", "nightly", "--only", "mine/one"]
    env = {**os.environ, "CELLWORKS_HOME": str(home.root), "PYTHONPATH": str(Path(__file__).parents[2])}
    seen = []
    for faked in ([], ["faketime", "-f", "-1h"], ["faketime", "-f", "+1h"], ["faketime", "-f", "-1h"]):
        run = subprocess.run([*faked, *night], env=env, capture_output=True, text=True, timeout=600, check=False)
        assert run.returncode == 0, run.stderr + run.stdout
        with reader(home) as con:
            rows, once = con.execute(
                "SELECT count(*), count(DISTINCT (id, model_version)) FROM solutions.one"
            ).fetchall()[0]
            nights = con.execute("SELECT count(*), count(DISTINCT run_at) FROM ops.solution_night").fetchall()[0]
        seen.append((rows, once, *nights))
    rows, once, nights, stamps = zip(*seen, strict=True)
    record_property("figures", {"nights": len(seen), "answers": rows, "doubled": rows[-1] - once[-1]})
    assert rows == once
    assert nights == stamps == (1, 2, 3, 4)
