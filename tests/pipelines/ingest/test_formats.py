"""What becomes of a record does not depend on the format it comes in, nor on the company it comes in."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.control_plan.site import load_site
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

pytestmark = pytest.mark.slow

SITE = load_site(Path(__file__).parents[3] / "infra" / "sites" / "demo")
TELEMETRY = "historian__telemetry"
MACHINES = list(SITE.machines_by_id)[:3]
BEGUN = datetime.fromisoformat("2026-09-01T16:00:00")
TIMES = {"event_at": pa.timestamp("us"), "known_at": pa.timestamp("us")}
HOURS = pa.schema({"machine_id": pa.string(), **TIMES, "vibration_mm_s": pa.float64(), "bearing_temp_c": pa.float64()})
POINTS = pa.schema({"control_point_no": pa.int32(), "value": pa.float32(), **TIMES})
# Around the clocks' limits and the change of the production day; far from them; a clock that was reset; none.
moments = st.one_of(
    st.integers(0, 72 * 60).map(lambda minutes: BEGUN + timedelta(minutes=minutes)),
    st.sampled_from([datetime.fromisoformat("1970-01-01T00:00:00"), datetime.fromisoformat("2031-05-05T05:05:05")]),
    st.none(),
)
readings = st.one_of(st.floats(0.0, 200.0), st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 1e9]), st.none())
records = st.fixed_dictionaries(
    {
        "machine_id": st.sampled_from([*MACHINES, "", None]),
        "event_at": moments,
        "known_at": moments,
        "vibration_mm_s": readings,
        "bearing_temp_c": readings,
    }
)


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _deliver(folder: Path, rows: list[dict[str, Any]]) -> None:
    """The rows in each format, and in Parquet each alone as well."""
    folder.mkdir(parents=True)
    texts = [{name: _text(value) for name, value in row.items()} for row in rows]
    lines = io.StringIO()
    writer = csv.DictWriter(lines, HOURS.names)
    writer.writeheader()
    writer.writerows(texts)
    (folder / "all.csv").write_text(lines.getvalue(), encoding="utf-8")
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows, HOURS), folder / "all.parquet")
    for number, row in enumerate(rows):
        pq.write_table(pa.Table.from_pylist([row], HOURS), folder / f"alone{number}.parquet")


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(records, min_size=1, max_size=5))
def test_a_record_fares_alike_in_every_format_and_company(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).ensure()
        _deliver(home.drop_dir / "historian__machine_hour", rows)
        ingest(home, SITE)
        with reader(home) as con:
            kept: dict[str, list[Any]] = {}
            for source, *row in con.execute(
                "SELECT split_part(split_part(_source, '/', 2), '.', 2), split_part(_source, '/', 2) LIKE 'alone%', "
                "machine_id, event_at, known_at, vibration_mm_s, bearing_temp_c, production_day "
                "FROM raw.historian__machine_hour"
            ).fetchall():
                kept.setdefault("alone" if row[0] else source, []).append(tuple(row[1:]))
            refused: dict[str, list[Any]] = {}
            for name, reason in con.execute("SELECT split_part(source, '/', 2), reason FROM ops.quarantine").fetchall():
                refused.setdefault("alone" if name.startswith("alone") else name.split(".")[1], []).append(reason)
    ways = ("csv", "jsonl", "parquet", "alone")
    assert len({tuple(sorted(kept.get(way, []), key=str)) for way in ways}) == 1, kept
    assert len({tuple(sorted(refused.get(way, []))) for way in ways}) == 1, refused
    assert all(len(kept.get(way, [])) + len(refused.get(way, [])) == len(rows) for way in ways)


RESULTS = {
    "csv": "material_lot_id,material_code,characteristic_code,sample_no,value,unit_code,event_at,known_at\n"
    "L1,lfp,lfp_d50_um,{},1.2,um,2026-09-02 00:00:00,2026-09-02 01:00:00\n",
    "jsonl": '{{"material_lot_id": "L1", "material_code": "lfp", "characteristic_code": "lfp_d50_um", "sample_no": {}, '
    '"value": 1.2, "unit_code": "um", "event_at": "2026-09-02 00:00:00", "known_at": "2026-09-02 01:00:00"}}\n',
}


@pytest.mark.parametrize("form", RESULTS)
@pytest.mark.parametrize(("given_no", "is_whole"), [("2", True), ("2.0", True), ("1.5", False), ("0.6", False)])
def test_a_fraction_is_no_sample_number(tmp_path: Path, form: str, given_no: str, *, is_whole: bool) -> None:
    """Rounded, it would be the key of another sample."""
    home = Home(tmp_path / "home").ensure()
    folder = home.drop_dir / "lims__material_result"
    folder.mkdir()
    (folder / f"a.{form}").write_text(RESULTS[form].format(given_no), encoding="utf-8")
    report = ingest(home, SITE)
    assert (report.rows_in, report.rows_quarantined) == ((1, 0) if is_whole else (0, 1))
    with reader(home) as con:
        reasons = con.execute("SELECT reason FROM ops.quarantine").fetchall()
    assert reasons == ([] if is_whole else [("sample_no is not of type INTEGER",)])


@pytest.mark.parametrize("name", ["file_index", "File_Row_Number"])
def test_a_column_named_as_the_readers_own_sets_its_file_aside(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "home").ensure()
    folder = home.drop_dir / "historian__machine_hour"
    folder.mkdir()
    good = {"machine_id": MACHINES[0], "event_at": BEGUN, "known_at": BEGUN, "vibration_mm_s": 1.0}
    pq.write_table(pa.Table.from_pylist([good | {name: 7}]), folder / "odd.parquet")
    pq.write_table(pa.Table.from_pylist([good]), folder / "good.parquet")
    report = ingest(home, SITE)
    assert (report.rows_in, report.files_quarantined) == (1, 1)
    with reader(home) as con:
        [(source, reason)] = con.execute("SELECT source, reason FROM ops.quarantine").fetchall()
    assert source == "historian__machine_hour/odd.parquet"
    assert name in reason


POINT = next(each for each in SITE.plan.control_points().to_pylist() if each["physical_min"] is not None)
GOOD = {
    "control_point_no": POINT["control_point_no"],
    "value": POINT["physical_min"],
    "event_at": BEGUN,
    "known_at": BEGUN,
}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"control_point_no": None}, "control_point_no is missing"),
        ({"control_point_no": 999_999}, "unknown control_point_no"),
        ({"value": math.nan}, "NaN or infinite"),
        ({"value": math.inf}, "NaN or infinite"),
        ({"value": -math.inf}, "NaN or infinite"),
        ({"value": POINT["physical_min"] - 1.0}, "outside the physical range"),
        ({"value": POINT["physical_max"] + 1.0}, "outside the physical range"),
        ({"event_at": None}, "event_at is missing"),
        ({"event_at": datetime.fromisoformat("1970-01-01T00:00:00")}, "a clock that was reset"),
        ({"event_at": BEGUN + timedelta(hours=1)}, "a clock in the future"),
        ({"known_at": datetime.fromisoformat("2036-01-01T00:00:00")}, "a clock in the future"),
    ],
)
def test_one_bad_reading_among_many_is_found(tmp_path: Path, wrong: dict[str, Any], reason: str) -> None:
    """A faultless file joins the lake whole, so each kind of fault must show on the file."""
    home = Home(tmp_path / "home").ensure()
    folder = home.drop_dir / TELEMETRY
    folder.mkdir()
    rows = [
        GOOD | {"event_at": BEGUN + timedelta(seconds=n), "known_at": BEGUN + timedelta(seconds=n)} for n in range(9)
    ]
    rows[4] = rows[4] | wrong
    pq.write_table(pa.Table.from_pylist(rows, POINTS), folder / "t.parquet")
    report = ingest(home, SITE)
    assert (report.rows_in, report.rows_quarantined) == (8, 1)
    with reader(home) as con:
        [(position, why)] = con.execute("SELECT position, reason FROM ops.quarantine").fetchall()
    assert position == 5
    assert reason in why


STATE = "scada__machine_state"
# Above the length from which a Parquet file joins the lake as a file.
LONG_ROWS = 200_000


def _states(rows: int) -> pa.Table:
    """Machine states after local midnight, which is not that of UTC; one has an empty text where there is no reason."""
    moments = pa.array(
        [BEGUN.replace(hour=22) + timedelta(milliseconds=20 * n) for n in range(rows)], pa.timestamp("us")
    )
    columns = {
        "machine_id": pa.array([MACHINES[0]] * rows),
        "state_code": pa.array(["Execute"] * rows),
        "ended_at": moments,
        "produced_count": pa.array([1.0] * rows),
        "good_count": pa.array([1.0] * rows),
        "reason_code": pa.array(["", *["jam"] * (rows - 1)]),
        "event_at": moments,
        "known_at": moments,
    }
    return pa.table(columns)


@pytest.mark.parametrize(("form", "bad_rows"), [("csv", 0), ("csv", 1), ("parquet", 0)])
def test_a_long_file_is_read_like_a_short_one(tmp_path: Path, form: str, bad_rows: int) -> None:
    home = Home(tmp_path / "home").ensure()
    folder = home.drop_dir / STATE
    folder.mkdir()
    pq.write_table(_states(1), folder / "before.parquet")
    ingest(home, SITE)
    table = _states(LONG_ROWS)
    if bad_rows:
        counts = pa.array([*[1.0] * (LONG_ROWS - 1), -1.0])
        table = table.set_column(table.column_names.index("good_count"), "good_count", counts)
    if form == "csv":
        pa_csv.write_csv(table, folder / "s.csv")
    else:
        pq.write_table(table, folder / "s.parquet")
    report = ingest(home, SITE)
    assert (report.rows_in, report.rows_quarantined) == (LONG_ROWS - bad_rows, bad_rows)
    with reader(home) as con:
        [found] = con.execute(
            "SELECT count(*), count(DISTINCT event_at), count(reason_code), count(*) FILTER (reason_code = ''), "
            f"min(production_day), max(production_day), min(_batch_id) FROM raw.{STATE} WHERE _source = ?",
            [f"{STATE}/s.{form}"],
        ).fetchall()
    good = LONG_ROWS - bad_rows
    assert found == (good, good, good - 1, 0, date(2026, 9, 2), date(2026, 9, 2), 2)
    assert not home.staged_dir.exists()


STATE_HEADER = "machine_id,state_code,ended_at,produced_count,good_count,reason_code,event_at,known_at\n"


def test_every_production_day_of_a_file_is_noted(tmp_path: Path) -> None:
    """Curation rebuilds just those."""
    home = Home(tmp_path / "home").ensure()
    folder = home.drop_dir / STATE
    folder.mkdir()
    lines = [
        f"{MACHINES[0]},Execute,2026-09-0{d} 12:00:00,1,1,,2026-09-0{d} 12:00:00,2026-09-08 00:00:00\n" for d in (2, 6)
    ]
    (folder / "a.csv").write_text(STATE_HEADER + "".join(lines), encoding="utf-8")
    assert ingest(home, SITE).affected_days == {STATE: [date(2026, 9, 2), date(2026, 9, 6)]}


def test_bad_rows_of_two_files_read_together_are_each_found_in_their_own(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").ensure()
    folder = home.drop_dir / STATE
    folder.mkdir()
    line = f"{MACHINES[0]},Execute,2026-09-02 00:0{{}}:00,1,{{}},,2026-09-02 00:0{{}}:00,2026-09-02 00:10:00\n"
    for name, bad in (("a", 1), ("b", 3)):
        lines = [line.format(n, -1 if n == bad else 1, n) for n in range(5)]
        (folder / f"{name}.csv").write_text(STATE_HEADER + "".join(lines), encoding="utf-8")
    (folder / "c.csv").write_text(STATE_HEADER + line.format(5, 1, 5), encoding="utf-8")
    report = ingest(home, SITE)
    assert (report.rows_in, report.rows_quarantined) == (9, 2)
    with reader(home) as con:
        found = con.execute("SELECT source, position, raw_text FROM ops.quarantine ORDER BY ALL").fetchall()
    assert [(source, position) for source, position, _ in found] == [(f"{STATE}/a.csv", 3), (f"{STATE}/b.csv", 5)]
    assert ["00:01:00" in found[0][2], "00:03:00" in found[1][2]] == [True, True]


def test_a_misspelt_field_of_json_lines_is_told(tmp_path: Path) -> None:
    """It would be taken as not measured, without a word."""
    home = Home(tmp_path / "home").ensure()
    folder = home.drop_dir / "historian__machine_hour"
    folder.mkdir()
    row = {"machine_id": MACHINES[0], "event_at": f"{BEGUN}", "known_at": f"{BEGUN}", "vibration": 1.0}
    (folder / "a.jsonl").write_text(f"{json.dumps(row)}\nno json\n[1]\n", encoding="utf-8")
    report = ingest(home, SITE)
    assert (report.rows_in, report.rows_quarantined) == (1, 2)
    told = "columns vibration are not in the control plan and were left out"
    assert report.notes == [f"historian__machine_hour/a.jsonl: {told}"]
    with reader(home) as con:
        assert con.execute("SELECT note FROM ops.ingest_offset").fetchall() == [(told,)]
