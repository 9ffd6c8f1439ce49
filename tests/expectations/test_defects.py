"""Defects in what a line delivers: each fails exactly the checks that are about it, or is set aside at the door.

One copy of a small plant takes in three days with all the defects of `DELIVERED` at once; whatever is found must be
exactly what the table says. Defects that no delivery can bring are made in a lake by hand, `IN_THE_LAKE`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from expectations.report import Layer, SuiteReport
from expectations.run import run_suites
from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.feeds import DOMAINS
from pipelines.control_plan.site import Site
from pipelines.curation.run import curate
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from tests.expectations.plants import copied, deliveries, erp, failures, put, tamper, without

pytestmark = pytest.mark.slow
Failure = tuple[str, str]


class Delivered(NamedTuple):
    """A defect in the files of the coming days, and the checks that fail by it."""

    name: str
    bring: Callable[[Home], None]
    fails: set[Failure]


class SetAside(NamedTuple):
    """A defect of single rows, and the reason with which quarantine holds them."""

    name: str
    feed: str
    bring: Callable[[Home], None]
    reason: str


class InTheLake(NamedTuple):
    """A defect of a curated table, the checks of a domain's layer that fail by it."""

    name: str
    sql: str
    layer: Layer
    domain: str
    fails: set[Failure]


def of_file(feed: str, day: int, change: Callable[[pa.Table], pa.Table]) -> Callable[[Home], None]:
    return lambda home: tamper(deliveries(home, feed)[day], change)


def _first(value: object) -> Callable[[int, object], object]:
    return lambda number, old: value if number == 0 else old


def _lose_a_roll(home: Home) -> None:
    """The roll that the second cell of the day was cut from is not told of."""
    used: list[str] = []
    path = deliveries(home, "mes__stacking")[1]
    tamper(path, lambda table: used.append(table.column("cathode_roll_id")[1].as_py()) or table)
    for file in sorted(path.parents[1].joinpath("mes__daughter_roll").iterdir()):
        tamper(file, without(lambda row: row["daughter_roll_id"] != used[0]))


def _cut_twice(table: pa.Table) -> pa.Table:
    """A cell is cut from metres that the cell before it took."""
    starts = table.column("cathode_from_m").to_pylist()
    later = next(number for number, start in enumerate(starts) if start > 100)
    return put("cathode_from_m", lambda number, old: old - 50.0 if number == later else old)(table)


def _silence(home: Home) -> None:
    for path in deliveries(home, "ems__weather"):
        path.unlink()


def _grade(code: str) -> Callable[[Home], None]:
    def bring(home: Home) -> None:
        from pipelines.control_plan.site import load_site

        site = load_site(Path(__file__).parents[2] / "infra" / "sites" / "demo")
        row = dict.fromkeys(raw_schema(site, "tester__grading"), "")
        row |= {"cell_id": "C000000001", "test_no": "1", "machine_id": "grading_cabinet_1", "grade_code": code}
        row |= dict.fromkeys(("event_at", "known_at"), "2026-09-04 10:00:00")
        folder = home.drop_dir / "tester__grading"
        folder.mkdir(exist_ok=True)
        path = folder / "grading.csv"
        path.write_text(f"{','.join(row)}\n{','.join(row.values())}\n")

    return bring


def _export_with_semicolons(home: Home) -> None:
    (home.drop_dir / "mes__batch_material" / "export.csv").write_text("slurry_batch_id;mass_kg\nB1;2\n")


DELIVERED = [
    Delivered(
        "wrong unit: vacuum in mTorr",
        of_file("mes__filling", 1, put("bake_vacuum_pa", lambda _, old: old and old * 7.5)),
        {("staging.stg_mes__filling", "bake_vacuum_pa is given in Pa")},
    ),
    Delivered(
        "stuck gauge of an oven",
        of_file("mes__filling", 1, put("bake_temp_c", lambda _, old: old and 90.0)),
        {("staging.stg_mes__filling", "the gauge of bake_temp_c is not stuck")},
    ),
    Delivered(
        "stuck sensor in the telemetry",
        of_file("historian__telemetry", -1, lambda table: _stuck(table)),
        {("staging.stg_historian__telemetry", "gauges are not stuck")},
    ),
    Delivered(
        "missing roll",
        _lose_a_roll,
        {("staging.stg_mes__stacking", "cathode_roll_id is found in mes__daughter_roll.daughter_roll_id")},
    ),
    Delivered(
        "cell without a roll",
        of_file("mes__stacking", 0, put("anode_roll_id", _first("nowhere"))),
        {("staging.stg_mes__stacking", "anode_roll_id is found in mes__daughter_roll.daughter_roll_id")},
    ),
    Delivered(
        "metres cut twice",
        of_file("mes__stacking", 1, _cut_twice),
        {("staging.stg_mes__stacking", "stretches of one cathode roll don't overlap")},
    ),
    Delivered(
        "duplicated lot",
        lambda home: erp(
            home,
            "INSERT INTO erp__material_lot SELECT max(row_no) + 1, material_lot_id || '-again', material_code, "
            "supplier_code, production_lot_code, received_at, quantity_kg, event_at, known_at FROM erp__material_lot",
        ),
        {("staging.stg_erp__material_lot", "a supplier's production lot is booked in once")},
    ),
    Delivered(
        "unknown machine",
        of_file("scada__machine_state", 0, put("machine_id", _first("coater_99"))),
        {("staging.stg_scada__machine_state", "machine_id is a machine of the site")},
    ),
    Delivered(
        "more good parts than parts",
        of_file("scada__machine_state", 1, put("good_count", _first("7000"))),
        {("staging.stg_scada__machine_state", "no more is good than was produced")},
    ),
    Delivered(
        "stale feed",
        _silence,
        {("raw.ems__weather", "the newest record is at most 48 h old")},
    ),
    Delivered(
        "rows of a day collapse",
        of_file("ems__meter_interval", 0, lambda table: table.slice(0, table.num_rows // 5)),
        {("raw.ems__meter_interval", "every day has at least 50% of the rows of a usual day")},
    ),
    Delivered(
        "file with another separator",
        _export_with_semicolons,
        {("raw.mes__batch_material", "no file of the newest batch is in quarantine")},
    ),
]  # fmt: skip

SET_ASIDE = [
    SetAside("nothing in a required column", "mes__assembly",
             of_file("mes__assembly", 0, put("tab_welder_id", _first(None))), "tab_welder_id is missing"),
    SetAside("out of range", "mes__calendering",
             of_file("mes__calendering", 0, lambda table: _beyond(table)), "outside its physical range"),
    SetAside("NaN", "historian__machine_hour",
             of_file("historian__machine_hour", 0, lambda table: _unreal(table, float("nan"))), "NaN or infinite"),
    SetAside("infinity", "tester__formation",
             of_file("tester__formation", -1, lambda table: _unreal(table, float("inf"))), "NaN or infinite"),
    SetAside("clock in the future", "lims__roll_result",
             of_file("lims__roll_result", 0, put("event_at", _first("2026-09-09 10:00:00"))), "a clock in the future"),
    SetAside("grade that the site does not have", "tester__grading", _grade("Z"), "grade_code is none of A, B, C"),
    SetAside("text where a number belongs", "scada__machine_state",
             of_file("scada__machine_state", -1, put("produced_count", _first("many"))), 'string "many" to'),
]  # fmt: skip

IN_THE_LAKE = [
    InTheLake(
        "duplicate cell code",
        "INSERT INTO lake.staging.stg_mes__stacking SELECT * FROM lake.staging.stg_mes__stacking LIMIT 1",
        "staging", "process",
        {("staging.stg_mes__stacking", "cell_id is unique"),
         ("staging.stg_mes__stacking", "stretches of one cathode roll don't overlap"),
         ("staging.stg_mes__stacking", "stretches of one anode roll don't overlap")},
    ),
    InTheLake(
        "NaN in a curated column",
        "INSERT INTO lake.staging.stg_ems__weather SELECT * REPLACE ('nan'::DOUBLE AS outdoor_temp_c, "
        "event_at - INTERVAL 1 MINUTE AS event_at) FROM lake.staging.stg_ems__weather LIMIT 1",
        "staging", "energy",
        {("staging.stg_ems__weather", "outdoor_temp_c is within -50 to 60")},
    ),
    InTheLake(
        "a cell lost on the way to its mart",
        "DELETE FROM lake.marts.cell WHERE cell_id = (SELECT max(cell_id) FROM lake.marts.cell)",
        "marts", "test",
        {("marts.cell", "has one row for each row of staging.stg_mes__stacking")},
    ),
    InTheLake(
        "grade that the site does not have",
        "UPDATE lake.marts.cell SET grade_code = 'Z' WHERE cell_id = (SELECT min(cell_id) FROM lake.marts.cell)",
        "marts", "test",
        {("marts.cell", "grade_code is one of A, B, C"), ("marts.cell_label", "grade_code is one of A, B, C")},
    ),
    InTheLake(
        "column of another type",
        "ALTER TABLE lake.raw.historian__telemetry ALTER COLUMN control_point_no TYPE BIGINT",
        "raw", "equipment",
        {("raw.historian__telemetry", "control_point_no is INTEGER")},
    ),
    InTheLake(
        "column gone",
        "ALTER TABLE lake.raw.erp__material_lot DROP COLUMN quantity_kg",
        "raw", "material_inspection",
        {("raw.erp__material_lot", "has its 9 columns")},
    ),
]  # fmt: skip


def _stuck(table: pa.Table) -> pa.Table:
    """The pressure sensor of a dry room shows one value all day."""
    points = table.column("control_point_no").to_pylist()
    return put("value", lambda number, old: 18.0 if points[number] == 29352020 else old)(table)


def _beyond(table: pa.Table) -> pa.Table:
    last = table.column_names[-1]
    return put(last, _first("99999999"))(table)


def _unreal(table: pa.Table, value: float) -> pa.Table:
    column = next(each.name for each in table.schema if pa.types.is_floating(each.type))
    return put(column, _first(value))(table)


@pytest.fixture(scope="module")
def taken_in(small_plant: Home, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The plant after three more days with every defect of both tables."""
    home = copied(small_plant, tmp_path_factory.mktemp("defects") / "home")
    for defect in (*DELIVERED, *SET_ASIDE):
        defect.bring(home)
    ingest(home, site)
    return home


@pytest.fixture(scope="module")
def found(taken_in: Home, site: Site) -> list[SuiteReport]:
    """What the checks of raw and staging say of it."""
    reports = [run_suites(taken_in, site, layer="raw", domain=domain) for domain in DOMAINS]
    for domain in DOMAINS:
        assert curate(taken_in, site, layer="staging", domain=domain).is_passed
    return [*reports, *(run_suites(taken_in, site, layer="staging", domain=domain) for domain in DOMAINS)]


@pytest.mark.parametrize("defect", DELIVERED, ids=[each.name for each in DELIVERED])
def test_a_delivered_defect_fails_its_checks(defect: Delivered, found: list[SuiteReport]) -> None:
    assert defect.fails <= failures(found)


def test_nothing_else_fails_by_them(found: list[SuiteReport]) -> None:
    assert failures(found) == set().union(*(defect.fails for defect in DELIVERED))


def test_failures_come_with_their_count_and_at_most_ten_rows(found: list[SuiteReport]) -> None:
    told = {(f"{each.layer}.{each.table}", each.title): each for report in found for each in report.failed}
    machine = told["staging.stg_scada__machine_state", "machine_id is a machine of the site"]
    assert (machine.count, [row["machine_id"] for row in machine.samples]) == (1, ["coater_99"])
    lot = told["staging.stg_erp__material_lot", "a supplier's production lot is booked in once"]
    assert (lot.count, len(lot.samples)) == (2, 2)


@pytest.mark.parametrize("defect", SET_ASIDE, ids=[each.name for each in SET_ASIDE])
def test_a_row_that_does_not_fit_is_set_aside(defect: SetAside, taken_in: Home) -> None:
    with reader(taken_in) as con:
        reasons = con.execute("SELECT reason FROM lake.ops.quarantine WHERE feed = ?", [defect.feed]).fetchall()
    assert len(reasons) == 1
    assert defect.reason in reasons[0][0]


@pytest.fixture(scope="module")
def spoiled(small_plant: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A checked plant whose lake was changed by hand: nothing notes which days that touched."""
    home = copied(small_plant, tmp_path_factory.mktemp("spoiled") / "home")
    with writer(home, why="spoil it") as con:
        for defect in IN_THE_LAKE:
            con.execute(defect.sql)
    return home


@pytest.mark.parametrize("defect", IN_THE_LAKE, ids=[each.name for each in IN_THE_LAKE])
def test_a_defect_made_in_the_lake_fails_its_checks(defect: InTheLake, spoiled: Home, site: Site) -> None:
    report = run_suites(spoiled, site, layer=defect.layer, domain=defect.domain)
    others = [each.fails for each in IN_THE_LAKE if (each.layer, each.domain) == (defect.layer, defect.domain)]
    assert failures([report]) == set().union(*others)
    assert defect.fails <= failures([report])
