"""Certificates, inspections and decisions on incoming lots, beside the same worked out row by row from the files."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from models.assistant.spec import AssistantSpec
from orchestration.catalogue import find
from orchestration.evaluation import documents
from orchestration.night import solve
from orchestration.plant import Plant
from orchestration.solving import PREDICTIONS, Outcome
from pipelines.control_plan.derive import characteristics, chart_limits
from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PROJECT
from pipelines.curation.report import CurateReport
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.publish import publish

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
PLAN = {row.code: row for row in characteristics(SITE, "lims__material_result")}
# Of a lot of so many units, by attribute: sample and largest number let pass, normal and tightened (level II).
PLANS = {
    (4400, "damage"): ((200, 3), (200, 2)),
    (4400, "marking"): ((200, 7), (200, 5)),
    (90, "damage"): ((20, 0), (32, 0)),
    (90, "marking"): ((8, 0), (13, 0)),
    (42, "damage"): ((20, 0), (32, 0)),
    (42, "marking"): ((8, 0), (13, 0)),
    (36, "damage"): ((20, 0), (32, 0)),
    (36, "marking"): ((8, 0), (13, 0)),
    (20, "damage"): ((20, 0), (20, 0)),
    (20, "marking"): ((8, 0), (13, 0)),
}
Rows = list[dict[str, Any]]
pytestmark = pytest.mark.slow


@dataclass
class Told:
    """What came as files, what the marts and the solutions made of it."""

    certificates: Rows
    inspections: Rows
    results: Rows
    lots: dict[str, str]
    characteristics: Rows
    outcomes: list[Outcome]
    sampled: Rows
    checked: Rows
    printed: Rows


@pytest.fixture(scope="module")
def told(home: Home, run_all: Callable[[Home], list[CurateReport]]) -> Told:
    run_all(home)
    with writer(home, why="test") as con:
        publish(con, "material_inspection", "test")
    outcomes = [
        solve(
            find(name),
            Plant(SITE, home),
            parts=[PREDICTIONS],
            domain="material_inspection",
            full_search=False,
            actor="test",
        )
        for name in ("incoming/acceptance_sampling", "incoming/certificate_checker", "incoming/certificate_reader")
    ]
    with reader(home) as con:
        tables = [
            con.execute(f"SELECT * FROM {table}").to_arrow_table().to_pylist()
            for table in (
                "raw.erp__material_lot",
                "marts.lot_characteristic",
                "solutions.acceptance_sampling",
                "solutions.certificate_checker",
                "solutions.certificate_reader",
            )
        ]
    lots = {row["material_lot_id"]: row["supplier_code"] for row in tables[0]}
    files = [delivered(home, feed) for feed in ("lims__certificate", "lims__lot_inspection", "lims__material_result")]
    return Told(*files, lots, tables[1], outcomes, *tables[2:])


def delivered(home: Home, feed: str) -> Rows:
    rows: Rows = []
    for file in sorted((home.drop_dir / feed).glob("*.csv")):
        with file.open(encoding="utf-8") as lines:
            rows += csv.DictReader(lines)
    return rows


def test_both_solutions_ran_and_their_checks_passed(told: Told) -> None:
    for outcome in told.outcomes:
        assert outcome.failure == ""
        assert [check.name for check in outcome.checks if not check.passed] == []


def test_a_row_for_every_characteristic_that_the_plan_asks_of_a_lot(told: Told) -> None:
    of_material: dict[str, set[str]] = defaultdict(set)
    for code, row in PLAN.items():
        of_material[row.variant].add(code)
    asked = {(lot, code) for lot in told.lots for code in of_material[lot.rsplit("-", 1)[0]]}
    assert {(row["material_lot_id"], row["characteristic_code"]) for row in told.characteristics} == asked


def test_deviations_are_those_from_the_suppliers_lots_known_before(told: Told) -> None:
    series: dict[tuple[str, str], list[tuple[str, str, float]]] = defaultdict(list)
    for row in told.results:
        lot, code = row["material_lot_id"], row["characteristic_code"]
        series[told.lots[lot], code].append((row["known_at"], lot, float(row["value"])))
    shown = {(row["material_lot_id"], row["characteristic_code"]): row for row in told.characteristics}
    compared = 0
    for (_, code), values in series.items():
        limits = chart_limits(PLAN[code])
        assert limits is not None
        before: list[float] = []
        for _, lot, value in sorted(values):
            found = shown[lot, code]["deviation_sigma"]
            if before:
                count = len(before)
                away = (value - math.fsum(before) / count) / limits.sigma * math.sqrt(count / (count + 1))
                assert found == pytest.approx(away, rel=1e-9, abs=1e-9)
                compared += 1
            else:
                assert found is None
            before.append(value)
    assert compared > 200


def test_every_certificate_is_judged_as_the_files_say(told: Told) -> None:
    stated = {(row["material_lot_id"], row["characteristic_code"]): row for row in told.certificates}
    found = {(row["material_lot_id"], row["characteristic_code"]): float(row["value"]) for row in told.results}
    assert len(told.checked) == len(told.characteristics)
    for row in told.checked:
        key = row["material_lot_id"], row["characteristic_code"]
        plan, value = PLAN[key[1]], float(stated[key]["certified_value"]) if key in stated else None
        if value is None:
            expected: str | None = "missing"
        elif value < (-math.inf if plan.lsl is None else plan.lsl) or value > (
            math.inf if plan.usl is None else plan.usl
        ):
            expected = "out_of_limits"
        elif key not in found:
            expected = None
        else:
            expected = "differs" if abs(value - found[key]) > 4 * math.sqrt(2) * plan.gauge_sd else "conforms"
        assert row["class"] == expected, key
        assert row["is_flagged"] == (expected not in (None, "conforms"))


def test_every_lot_is_judged_by_the_standards_numbers_and_the_lots_before_it(told: Told) -> None:
    lines: dict[tuple[str, str], Rows] = defaultdict(list)
    for row in told.inspections:
        lines[told.lots[row["material_lot_id"]], row["attribute_code"]].append(row)
    expected = {}
    for (_, attribute), rows in lines.items():
        tightened, verdicts, rejected = False, [], 0
        for row in sorted(rows, key=lambda each: (each["event_at"], each["material_lot_id"])):
            key = row["material_lot_id"], attribute
            if rejected >= 5:
                expected[key] = "stopped"
                continue
            size, accept = PLANS[int(row["lot_unit_count"]), attribute][tightened]
            assert int(row["inspected_count"]) >= size
            passes = int(row["nonconforming_count"]) <= accept
            expected[key] = "accepted" if passes else "rejected"
            verdicts.append(passes)
            rejected += tightened and not passes
            if not tightened and verdicts[-5:].count(False) >= 2:
                tightened, verdicts = True, []
            elif tightened and len(verdicts) >= 5 and all(verdicts[-5:]):
                tightened, verdicts, rejected = False, [], 0
    assert {(row["material_lot_id"], row["attribute_code"]): row["class"] for row in told.sampled} == expected
    assert set(expected.values()) >= {"accepted"}
    assert all(json.loads(row["reasons"]) for row in told.sampled)


def test_what_suppliers_print_is_read_as_their_records_say(told: Told, home: Home) -> None:
    records = {
        (row["material_lot_id"], row["characteristic_code"]): float(row["certified_value"]) for row in told.certificates
    }
    read = {(row["material_lot_id"], row["characteristic_code"]): row for row in told.printed}
    assert records.keys() <= read.keys()
    legible = {key: row["value"] for key, row in read.items() if row["class"] == "read"}
    assert legible == pytest.approx({key: records[key] for key in legible}, rel=1e-6, abs=1e-9)
    assert {told.lots[lot].rsplit("_", 1)[1] for lot, _ in legible} == {"1", "2", "3"}  # each layout
    refused = {key: row["class"] for key, row in read.items() if row["class"] != "read"}
    assert {how for key, how in refused.items() if key in records} <= {"not_a_number"}
    assert {how for key, how in refused.items() if key not in records} <= {"missing"}
    assert len(refused) < 0.05 * len(read)
    spec = find("incoming/certificate_reader")
    assert isinstance(spec, AssistantSpec)
    assert spec.documents is not None
    found = documents.evaluate(spec, spec.documents, home, told.printed[0]["model_version"])
    assert found.verdict == "working", found.reason
    assert found.figures["read"] == len(legible)
