"""Ingestion through its public door: real files, a real database, a real lake."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.site import Site, load_site
from pipelines.ingest.quarantine import listing, replay
from pipelines.ingest.run import ingest
from pipelines.lake.clock import plant_now
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

DEMO = Path(__file__).parents[3] / "infra" / "sites" / "demo"
LOTS = "erp__material_lot"
BATCHES = "mes__batch_material"
RESULTS = "lims__material_result"
HOURS = "historian__machine_hour"
TELEMETRY = "historian__telemetry"
WEATHER = "ems__weather"


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(DEMO)


@pytest.fixture
def home(tmp_path: Path, stores: str) -> Home:
    return Home(tmp_path / "home").ensure()


def _csv(rows: list[tuple[str, str, str]], known: str = "2026-09-02 01:00:00") -> str:
    head = "slurry_batch_id,material_lot_id,material_code,mass_kg,event_at,known_at\n"
    return head + "".join(f"{b},{lot},lfp,{mass},2026-09-02 00:00:00,{known}\n" for b, lot, mass in rows)


def _drop(home: Home, feed: str, name: str, content: str | bytes) -> Path:
    folder = home.drop_dir / feed
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _all(home: Home, sql: str) -> list[tuple[object, ...]]:
    with reader(home) as con:
        return con.execute(sql).fetchall()


def test_rows_of_every_format_reach_their_raw_tables(home: Home, site: Site) -> None:
    _drop(home, BATCHES, "a.csv", _csv([("B1", "L1", "10.5")]))
    _drop(home, BATCHES, "b.csv.gz", gzip.compress(_csv([("B2", "L1", "11")]).encode()))
    columns = list(raw_schema(site, WEATHER))
    line = dict.fromkeys(columns, 10.0) | {"event_at": "2026-09-02T00:00:00", "known_at": "2026-09-02T00:10:00"}
    _drop(home, WEATHER, "w.jsonl", json.dumps(line) + "\n")
    points = site.plan.control_points().filter(pc.is_valid(site.plan.control_points()["nominal"])).slice(0, 3)
    when = pa.array([datetime(2026, 9, 2)] * 3, pa.timestamp("us"))  # noqa: DTZ001
    table = pa.table({"control_point_no": points["control_point_no"], "value": points["nominal"]})
    table = table.append_column("event_at", when).append_column("known_at", when)
    (home.drop_dir / TELEMETRY).mkdir()
    pq.write_table(table, home.drop_dir / TELEMETRY / "t.parquet")
    report = ingest(home, site)
    assert (report.rows_in, report.rows_quarantined, report.files_quarantined) == (6, 0, 0)
    assert _all(home, f"SELECT slurry_batch_id, mass_kg FROM raw.{BATCHES} ORDER BY 1") == [("B1", 10.5), ("B2", 11.0)]
    assert _all(home, f"SELECT count(*), sum(value) FROM raw.{TELEMETRY}") == [
        (3, pytest.approx(sum(points["nominal"].to_pylist())))
    ]


def test_the_same_files_again_bring_nothing(home: Home, site: Site) -> None:
    path = _drop(home, BATCHES, "a.csv", _csv([("B1", "L1", "10")]))
    first = ingest(home, site)
    path.touch()
    again = ingest(home, site)
    assert (first.rows_in, again.batch_id) == (1, None)


def test_new_content_under_an_old_name_is_a_new_delivery(home: Home, site: Site) -> None:
    _drop(home, BATCHES, "a.csv", _csv([("B1", "L1", "10")]))
    ingest(home, site)
    _drop(home, BATCHES, "a.csv", _csv([("B1", "L1", "12")], known="2026-09-03 00:00:00"))
    assert ingest(home, site).rows_in == 1
    assert _all(home, f"SELECT count(*) FROM raw.{BATCHES}") == [(2,)]


@pytest.mark.parametrize(
    ("mass", "reason"),
    [
        ("heavy", "heavy"),
        ("NaN", "NaN or infinite"),
        ("inf", "NaN or infinite"),
        ("-1", "outside"),
        ("", "missing"),
    ],
)
def test_a_row_that_does_not_fit_is_set_aside_with_reason_text_and_place(
    home: Home, site: Site, mass: str, reason: str
) -> None:
    _drop(home, BATCHES, "a.csv", _csv([("B1", "L1", "10"), ("B2", "L2", mass), ("B3", "L3", "12")]))
    report = ingest(home, site)
    assert (report.rows_in, report.rows_quarantined) == (2, 1)
    [(source, position, why, raw)] = _all(home, "SELECT source, position, reason, raw_text FROM ops.quarantine")
    assert (source, position) == (f"{BATCHES}/a.csv", 3)
    assert reason in str(why)
    assert str(raw).startswith("B2,L2,lfp,")


@pytest.mark.faults
def test_a_clock_in_the_future_is_set_aside(home: Home, site: Site) -> None:
    _drop(home, BATCHES, "a.csv", _csv([("B1", "L1", "10")], known="2026-09-01 00:00:00"))
    assert ingest(home, site).rows_quarantined == 1
    assert "future" in str(_all(home, "SELECT reason FROM ops.quarantine")[0][0])


@pytest.mark.faults
def test_one_clock_that_runs_ahead_does_not_move_the_plants(home: Home, site: Site) -> None:
    """Event and known alike, so that nothing in the record itself shows it."""
    _drop(home, BATCHES, "a.csv", _csv([("B1", "L1", "10")]))
    ingest(home, site)
    ahead = datetime.now(UTC) + timedelta(days=site.clock_lead_d)
    for name, hours, set_aside in (("ahead.csv", 1, 1), ("late.csv", -1, 0)):
        moment = f"{ahead + timedelta(hours=hours):%Y-%m-%d %H:%M:%S}"
        row = _csv([(name, "L1", "10")], known=moment).replace("2026-09-02 00:00:00", moment)
        _drop(home, BATCHES, name, row)
        with reader(home) as con:
            before = plant_now(con)
        assert ingest(home, site).rows_quarantined == set_aside
        with reader(home) as con:
            assert (plant_now(con) > before) == (not set_aside)
    assert "ahead of all clocks" in str(_all(home, "SELECT reason FROM ops.quarantine")[0][0])


def test_a_line_with_too_many_values_is_set_aside_and_the_rest_goes_on(home: Home, site: Site) -> None:
    content = _csv([("B1", "L1", "10")]) + "B2,L2,lfp,1,2026-09-02 00:00:00,2026-09-02 01:00:00,what,is,this\n"
    _drop(home, BATCHES, "a.csv", content)
    report = ingest(home, site)
    assert (report.rows_in, report.rows_quarantined) == (1, 1)


def test_a_file_cut_off_in_a_line_loses_that_line_only(home: Home, site: Site) -> None:
    _drop(home, BATCHES, "a.csv", _csv([("B1", "L1", "10"), ("B2", "L2", "11")])[:-30])
    report = ingest(home, site)
    assert (report.rows_in, report.rows_quarantined) == (1, 1)
    [(position, raw)] = _all(home, "SELECT position, raw_text FROM ops.quarantine")
    assert position == 3
    assert str(raw).startswith("B2,L2,lfp,11,")


def test_a_line_that_is_not_utf8_does_not_stop_the_others(home: Home, site: Site) -> None:
    latin = _csv([("B1", "L1", "10")]).encode() + _csv([("Bü", "L2", "11")]).splitlines()[1].encode("latin-1") + b"\n"
    _drop(home, BATCHES, "a.csv", latin)
    _drop(home, BATCHES, "b.csv", _csv([("B3", "L3", "12")]))
    report = ingest(home, site)
    assert report.rows_in >= 1
    assert report.rows_quarantined + report.files_quarantined == 1
    assert _all(home, f"SELECT count(*) FROM raw.{BATCHES} WHERE slurry_batch_id NOT IN ('B1', 'B3')") == [(0,)]


def _results(home: Home, code: str, results: list[tuple[object, str]]) -> None:
    """A laboratory's file: values of one characteristic in units, a lot each."""
    head = "material_lot_id,material_code,characteristic_code,sample_no,value,unit_code,event_at,known_at\n"
    moments = "2026-09-02 00:00:00,2026-09-02 01:00:00"
    lines = [f"L{n},lfp,{code},1,{value},{unit},{moments}\n" for n, (value, unit) in enumerate(results)]
    _drop(home, RESULTS, "a.csv", head + "".join(lines))


def test_a_result_is_taken_in_as_given_if_it_is_possible_in_the_plans_unit(home: Home, site: Site) -> None:
    row = site.plan.by_code["lfp_d50_um"]
    assert (row.unit, row.physical_min, row.physical_max) == ("um", 0.1, 20.0)
    _results(home, row.code, [(1.2, "um"), (0.0012, "mm"), (1200, "nm"), (1.2, "mm"), (1200, "um"), (1.2, "nm")])
    report = ingest(home, site)
    assert (report.rows_in, report.rows_quarantined) == (3, 3)
    assert _all(home, f"SELECT value, unit_code FROM raw.{RESULTS} ORDER BY 1") == [
        (0.0012, "mm"),
        (1.2, "um"),
        (1200.0, "nm"),
    ]
    assert _all(home, "SELECT position, reason FROM ops.quarantine ORDER BY 1") == [
        (position, "lfp_d50_um is outside its physical range 0.1 to 20 um") for position in (5, 6, 7)
    ]


def test_a_value_in_a_unit_that_is_not_converted_is_set_aside(home: Home, site: Site) -> None:
    row = next(row for row in site.plan.rows if row.feed == RESULTS and row.nominal)
    _results(home, row.code, [(row.nominal, row.unit), (row.nominal, "furlong")])
    report = ingest(home, site)
    assert (report.rows_in, report.rows_quarantined) == (1, 1)
    [(position, why)] = _all(home, "SELECT position, reason FROM ops.quarantine")
    assert position == 3
    assert f"not given in {row.unit}" in str(why)


def test_a_value_of_a_parquet_file_that_is_no_number_is_kept_as_it_came(home: Home, site: Site) -> None:
    """Cast it is NULL: a replay of that would take the row in as not measured."""
    when = pa.array([datetime(2026, 9, 2)] * 3, pa.timestamp("us"))  # noqa: DTZ001
    values = {"vibration_mm_s": ["1.2", "<0.1", None], "bearing_temp_c": [50.0, 51.5, 52.0]}
    table = pa.table({"machine_id": list(site.machines_by_id)[:3], **values, "event_at": when, "known_at": when})
    (home.drop_dir / HOURS).mkdir()
    pq.write_table(table, home.drop_dir / HOURS / "h.parquet")
    report = ingest(home, site)
    assert (report.rows_in, report.rows_quarantined) == (2, 1)
    [record] = listing(home)
    assert (record.position, record.reason) == (2, "vibration_mm_s is not of type DOUBLE")
    told = json.loads(record.raw_text or "")
    assert (told["vibration_mm_s"], told["bearing_temp_c"]) == ("<0.1", 51.5)
    assert replay(home, site).rows_in == 0
    assert [(each.quarantine_id, each.raw_text) for each in listing(home)] == [(record.quarantine_id, record.raw_text)]
    measured = _all(home, f"SELECT vibration_mm_s FROM raw.{HOURS} ORDER BY 1 NULLS LAST")
    assert measured == [(1.2,), (None,)]


def test_a_lot_that_nobody_knows_and_a_key_that_comes_twice_are_kept_for_the_checks(home: Home, site: Site) -> None:
    """The lot may come later, and of a key's records curation takes the newest: neither is an error of ingestion."""
    _drop(home, BATCHES, "a.csv", _csv([("B1", "nobody knows", "10"), ("B1", "nobody knows", "10")]))
    report = ingest(home, site)
    assert (report.rows_in, report.rows_quarantined) == (2, 0)


BROKEN_FILES = {
    "empty.csv": (b"", "empty"),
    "semicolon.csv": (_csv([("B1", "L1", "1")]).replace(",", ";").encode(), "separated by ';'"),
    "utf16.csv": (_csv([("B1", "L1", "1")]).encode("utf-16"), "UTF-8"),
    "truncated.csv.gz": (gzip.compress(_csv([("B1", "L1", "1")] * 500).encode())[:-20], "gzip"),
    "no_column.csv": (b"slurry_batch_id\nB1\n", "missing"),
    "broken.parquet": (b"PAR1 this is none", "Parquet"),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_file_that_can_not_be_read_is_set_aside_whole_and_the_rest_goes_on(home: Home, site: Site, name: str) -> None:
    content, reason = BROKEN_FILES[name]
    _drop(home, BATCHES, name, content)
    _drop(home, BATCHES, "zz_good.csv", _csv([("B9", "L9", "9")]))
    report = ingest(home, site)
    assert (report.rows_in, report.files_quarantined) == (1, 1)
    assert reason in str(_all(home, "SELECT reason FROM ops.quarantine WHERE raw_format = 'file'")[0][0])


@pytest.mark.parametrize(("rows", "aside"), [(1_000_000, 0), (70_000_000, 1)])
def test_a_small_parquet_file_of_very_many_rows_is_set_aside(home: Home, site: Site, rows: int, aside: int) -> None:
    folder = home.drop_dir / BATCHES
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"x": pa.nulls(rows, pa.int8())}), folder / "many.parquet", row_group_size=rows)
    assert (folder / "many.parquet").stat().st_size < 200_000
    _drop(home, BATCHES, "zz_good.csv", _csv([("B9", "L9", "9")]))
    report = ingest(home, site)
    assert (report.rows_in, report.files_quarantined) == (1, 1)
    (reason,) = _all(home, "SELECT reason FROM ops.quarantine WHERE raw_format = 'file'")[0]
    assert ("unpacks to more than 200 times its size: 70,000,000 rows" in reason) == bool(aside)


@pytest.mark.slow
def test_a_line_of_64_mb_does_not_stop_the_others(home: Home, site: Site) -> None:
    content = _csv([("B1", "L1", "10")]) + "x" * (64 << 20) + "\n"
    _drop(home, BATCHES, "a.csv", content)
    _drop(home, BATCHES, "b.csv", _csv([("B2", "L2", "10")]))
    report = ingest(home, site)
    assert report.rows_in >= 1
    assert report.rows_quarantined + report.files_quarantined == 1


def test_a_file_still_being_written_is_left_alone(home: Home, site: Site) -> None:
    _drop(home, BATCHES, "a.csv.part", _csv([("B1", "L1", "10")]))
    assert ingest(home, site).batch_id is None


def test_an_ending_in_capitals_is_read_and_what_is_left_alone_is_told(home: Home, site: Site) -> None:
    _drop(home, BATCHES, "A.CSV", _csv([("B1", "L1", "10")]))
    _drop(home, BATCHES, "b.CSV.GZ", gzip.compress(_csv([("B2", "L1", "11")]).encode()))
    _drop(home, BATCHES, "c.txt", _csv([("B3", "L1", "12")]))
    _drop(home, BATCHES, "d.csv.part", _csv([("B4", "L1", "13")]))
    (home.drop_dir / BATCHES / "e.csv").symlink_to(home.drop_dir / BATCHES / "A.CSV")
    report = ingest(home, site)
    assert report.rows_in == 2
    assert [note.split(":")[0] for note in report.notes] == [f"{BATCHES}/c.txt", f"{BATCHES}/e.csv"]


@pytest.mark.slow
def test_a_database_is_read_behind_its_cursor(home: Home, site: Site) -> None:
    columns = list(raw_schema(site, LOTS))
    engine = create_engine(home.erp_url)
    values = dict.fromkeys(columns, "x") | {
        "material_code": "lfp",
        "quantity_kg": "5",
        "received_at": "2026-09-01 00:00:00",
        "event_at": "2026-09-01 00:00:00",
        "known_at": "2026-09-01 01:00:00",
    }
    marks = ", ".join(f":{name}" for name in columns)
    with engine.begin() as connection:
        declared = ", ".join(f'"{name}" TEXT' for name in columns)
        connection.execute(text(f"CREATE TABLE {LOTS} (row_no INTEGER PRIMARY KEY AUTOINCREMENT, {declared})"))
        for feed in {name for name, each in site.feeds.items() if each.delivery.format == "sql"} - {LOTS}:
            other = ", ".join(f'"{name}" TEXT' for name in raw_schema(site, feed))
            connection.execute(text(f"CREATE TABLE {feed} (row_no INTEGER PRIMARY KEY, {other})"))
        insert = text(f"INSERT INTO {LOTS} ({', '.join(columns)}) VALUES ({marks})")
        connection.execute(insert, values | {"material_lot_id": "L1"})
    assert ingest(home, site).rows_in == 1
    with engine.begin() as connection:
        connection.execute(insert, values | {"material_lot_id": "L2"})
    engine.dispose()
    assert ingest(home, site).rows_in == 1
    assert ingest(home, site).batch_id is None
    assert _all(home, f"SELECT material_lot_id FROM raw.{LOTS} ORDER BY 1") == [("L1",), ("L2",)]


def test_affected_days_are_those_of_the_plants_calendar(home: Home, site: Site) -> None:
    # 2026-09-02 00:00 UTC is 08:00 in Shanghai: the production day that began at 06:00 on the 2nd.
    _drop(home, BATCHES, "a.csv", _csv([("B1", "L1", "10")]))
    report = ingest(home, site)
    assert [str(day) for day in report.affected_days[BATCHES]] == ["2026-09-02"]
