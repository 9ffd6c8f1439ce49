"""Values from printed documents: each layout, what is refused, and that whatever is printed so is read back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.assistant.documents import unexplained, values
from models.assistant.documents_spec import Documents
from models.assistant.spec import AssistantSpec
from models.families import ASSISTANT
from models.features.source import Tables
from orchestration.catalogue import build_spec, find
from orchestration.evaluation.documents import judged
from pipelines.control_plan.errors import CellworksError

SHIPPED = find("incoming/certificate_reader")
assert isinstance(SHIPPED, AssistantSpec)
assert SHIPPED.documents is not None
DOCUMENTS: Documents = SHIPPED.documents
SPEC = SHIPPED.model_copy(
    update={
        "table": "printed",
        "documents": DOCUMENTS.model_copy(
            update={"planned": DOCUMENTS.planned.model_copy(update={"table": "planned"})}
        ),
    }
)
PLANNED = [("d50_um", "um"), ("moisture_ppm", "ppm"), ("carbon_pct", "%"), ("flatness_mm", "mm"), ("bet_m2_g", "m2/g")]
AT = datetime(2026, 9, 1)  # noqa: DTZ001 - the lake's times are UTC without a zone


@contextmanager
def printed(documents: dict[str, tuple[int, str]]) -> Iterator[Tables]:
    """Documents by name with their supplier's number and text, each of a lot of lfp."""
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute(
            "CREATE TABLE printed "
            "(material_lot_id VARCHAR, supplier_code VARCHAR, document VARCHAR, event_at TIMESTAMP)"
        )
        con.execute(
            "CREATE TABLE planned (material_lot_id VARCHAR, characteristic_code VARCHAR, material_code VARCHAR, "
            "unit_code VARCHAR)"
        )
        for name, (supplier, text) in documents.items():
            con.execute("INSERT INTO printed VALUES (?, ?, ?, ?)", [name, f"lfp_supplier_{supplier}", text, AT])
            con.executemany(
                "INSERT INTO planned VALUES (?, ?, 'lfp', ?)", [(name, f"lfp_{code}", unit) for code, unit in PLANNED]
            )
        yield Tables(con, None)


def read(supplier: int, *lines: str) -> dict[str, tuple[str, float | None, int | None]]:
    """Class, value and line of each characteristic of one document."""
    assert SPEC.documents is not None
    with printed(
        {"lfp-1": (supplier, "\n".join(["CERTIFICATE lfp-1", "Lot lfp-00012", *lines, "Released."]))}
    ) as tables:
        rows = values(tables, SPEC, SPEC.documents).to_pylist()
    return {
        each["characteristic_code"].removeprefix("lfp_"): (each["class"], each["value"], each["line_no"])
        for each in rows
    }


def test_each_layout_is_read_with_its_decimal_mark_and_units() -> None:
    first = read(1, "d50: 1.25 um", "moisture: 350 ppm", "carbon pct: 1.4 %", "flatness: 0.08 mm")
    assert first["d50_um"] == ("read", 1.25, 3)
    assert first["moisture_ppm"] == ("read", 350.0, 4)
    assert first["flatness_mm"] == ("read", 0.08, 6)
    assert first["bet_m2_g"] == ("missing", None, None)
    second = read(2, "CHARACTERISTIC | RESULT | UNIT", "D50     |     1,25 | um", "CARBON PCT |  1,4 | %")
    assert second["d50_um"] == ("read", 1.25, 4)
    assert second["carbon_pct"] == ("read", 1.4, 5)
    third = read(
        3, "1) d50 [mm] = 0.00125", "2) moisture [%] = 0.035", "3) carbon pct [%] = 1.4", "4) flatness [mm] = 0.08"
    )
    assert third["d50_um"][1] == pytest.approx(1.25)
    assert third["moisture_ppm"][1] == pytest.approx(350)
    assert third["carbon_pct"] == ("read", 1.4, 5)
    assert third["flatness_mm"] == ("read", 0.08, 6)


@pytest.mark.parametrize(
    ("supplier", "lines", "told"),
    [
        (1, ["d50: 1.2O um"], "not_a_number"),
        (1, ["d50: 1,25 um"], "not_a_number"),
        (1, ["d50: 1.25? um"], "not_a_number"),
        (1, ["d50: 1.25 nm"], "unknown_unit"),
        (1, ["d50: 1.25 um", "d50: 1.31 um"], "twice"),
        (1, ["d5: 1.25 um"], "missing"),
        (1, ["D50     |     1,25 | um"], "missing"),
        (2, ["D50     |     O,25 | um"], "not_a_number"),
        (2, ["D50     |     l,2S5 | um"], "not_a_number"),
        (2, ["D50     |     1.25 | um"], "not_a_number"),
        (3, ["1) d50 [mm] = 0.00l25"], "not_a_number"),
        (4, ["d50: 1.25 um"], "missing"),
    ],
)
def test_what_cannot_be_read_is_told_and_not_guessed(supplier: int, lines: list[str], told: str) -> None:
    how, value, _ = read(supplier, *lines)["d50_um"]
    assert (how, value) == (told, None)


PRINT: dict[int, Callable[[str, str, str], str]] = {
    1: lambda name, text, unit: f"{name}: {text} {unit}",
    2: lambda name, text, unit: f"{name.upper():<28} | {text.replace('.', ','):>14} | {unit}",
    3: lambda name, text, unit: f"2) {name} [{unit}] = {text}",
}


@settings(max_examples=40, deadline=None)
@given(
    supplier=st.sampled_from([1, 2, 3]),
    numbers=st.lists(st.decimals(-99, 9_999, places=6, allow_nan=False), min_size=len(PLANNED), max_size=len(PLANNED)),
)
def test_whatever_is_printed_so_is_read_back_with_its_line(supplier: int, numbers: list[Any]) -> None:
    names = [code.removesuffix("_um").removesuffix("_ppm").replace("_", " ") for code, _ in PLANNED]
    lines = [
        PRINT[supplier](name, f"{number:f}", unit)
        for name, number, (_, unit) in zip(names, numbers, PLANNED, strict=True)
    ]
    found = read(supplier, *lines)
    for place, ((code, unit), number) in enumerate(zip(PLANNED, numbers, strict=True)):
        assert found[code] == ("read", float(number), place + 3), unit


def told_of(unread: list[int], of: int, supplier: str = "lfp_supplier_1") -> list[dict[str, Any]]:
    """Values of documents, one a day, the first so many of each unread."""
    return [
        {"material_lot_id": f"lfp-{day:03d}", "supplier": supplier, "event_at": AT + timedelta(days=day),
         "class": "not_a_number" if place < bad else "read"}
        for day, bad in enumerate(unread) for place in range(of)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("unread", "of", "stopped"),
    [
        ([0] * 30 + [1], 1, False),  # one certificate of one number, misprinted: for a person
        ([0] * 30 + [1, 0, 0, 1, 0, 0], 5, False),
        ([0] * 30 + [5], 5, True),  # a whole certificate in another layout
        ([0] * 30 + [1, 1, 1], 1, True),  # the same where a certificate has one number
        ([0] * 30 + [0, 2, 1, 1, 2, 1, 1], 5, True),  # some lines are no longer read
        ([5, 5, 5] + [0] * 300, 5, False),  # read again since long
        ([], 5, False),
    ],
)
def test_a_reader_that_stops_is_told_from_a_misprint(unread: list[int], of: int, stopped: bool) -> None:
    other = told_of([0] * 40, 5, "lfp_supplier_2")
    told = unexplained(pa.Table.from_pylist(told_of(unread, of) + other), "material_lot_id", DOCUMENTS.unread_ratio)
    assert [each.split(":")[0] for each in told] == (["lfp_supplier_1"] if stopped else [])


def test_documents_in_another_layout_stop_the_reader() -> None:
    assert SPEC.documents is not None
    names = ("d50", "moisture", "carbon pct", "flatness", "bet")
    right = "\n".join(PRINT[1](name, "1.25", unit) for name, (_, unit) in zip(names, PLANNED, strict=True))
    wrong = right.replace(": ", " = ")
    for newest, stopped in ((right, False), (wrong, True)):
        texts = {f"lfp-{number:02d}": (1, right) for number in range(20)} | {"lfp-20": (1, newest)}
        with printed(texts) as tables:
            found = values(tables, SPEC, SPEC.documents)
        # The last in name comes last: all of them arrive at one moment.
        assert bool(unexplained(found, "material_lot_id", SPEC.documents.unread_ratio)) is stopped


def test_misprints_at_the_wonted_rate_seldom_stop_the_reader() -> None:
    draw = np.random.default_rng(5)
    failed = 0
    for _ in range(200):
        unread = draw.binomial(5, DOCUMENTS.unread_ratio, 60).tolist()
        found = pa.Table.from_pylist(told_of(unread, 5))
        failed += bool(unexplained(found, "material_lot_id", DOCUMENTS.unread_ratio))
    assert failed <= 4


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    attributes = copy.deepcopy(SHIPPED.model_dump(exclude={"stage", "slug"}, exclude_unset=True))
    change(attributes)
    return attributes


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda each: each["documents"]["layouts"][0].update(line="(?P<name>.*): (?P<value>.*)"), "has the groups"),
        (lambda each: each["documents"]["layouts"][0].update(line="(?P<name>.*"), "can't be read"),
        (lambda each: each["documents"]["layouts"][0].update(decimal=";"), "decimal"),
        (lambda each: each["documents"]["layouts"][2]["units"]["mm"].update(factor=0), "factor"),
        (lambda each: each["documents"]["planned"].update(table="raw.x"), "raw.x"),
        (lambda each: each.update(keys=["material_lot_id"]), "keys are that of a document"),
        (lambda each: each.pop("documents"), "`topics` and a `report`, or `documents`"),
    ],
)
def test_a_wrong_layout_is_refused_with_its_place(change: Callable[[dict[str, Any]], None], told: str) -> None:
    with pytest.raises(CellworksError, match=told) as refused:
        build_spec(ASSISTANT, ("a", "b"), changed(change), "a/b/defs.yaml")
    assert "a/b/defs.yaml" in str(refused.value)


TEXT = "CERTIFICATE\nd50: -1.25 um\nmoisture: 35O ppm"
RECORDS = {("lfp-1", "lfp_d50_um"): -1.25, ("lfp-1", "lfp_moisture_ppm"): 350.0}
ANSWERS: list[dict[str, Any]] = [
    {"document": "lfp-1", "name": "lfp_d50_um", "value": -1.25, "class": "read",
     "reasons": '[{"feature": "line 2", "value": "d50: -1.25 um", "limit": "read"}]'},
    {"document": "lfp-1", "name": "lfp_moisture_ppm", "value": None, "class": "not_a_number",
     "reasons": '[{"feature": "line 3", "value": "moisture: 35O ppm", "limit": "not_a_number"}]'},
    {"document": "lfp-1", "name": "lfp_carbon_pct", "value": None, "class": "missing", "reasons": None},
]  # fmt: skip


def test_what_is_read_rightly_and_refused_rightly_works() -> None:
    found = judged(ANSWERS, {"lfp-1": TEXT}, RECORDS, DOCUMENTS)
    assert (found.verdict, found.figures["read"], found.figures["refused"]) == ("working", 1, 2)


@pytest.mark.parametrize(
    ("text", "records", "answers"),
    [
        (TEXT, RECORDS, [ANSWERS[0] | {"value": 1.26}]),
        (TEXT, RECORDS | {("lfp-1", "lfp_d50_um"): 1.3}, ANSWERS),
        (TEXT.replace("1.25", "1.24"), RECORDS, ANSWERS),
        (TEXT, {}, ANSWERS),
        (TEXT.replace("35O", "350"), RECORDS, [ANSWERS[0], ANSWERS[1] | {
            "reasons": '[{"feature": "line 3", "value": "moisture: 350 ppm", "limit": "not_a_number"}]'}]),
        (TEXT, RECORDS | {("lfp-1", "lfp_carbon_pct"): 1.0}, ANSWERS),
        ("D50 | 1,25 | um", RECORDS, [ANSWERS[0] | {"value": None, "class": "not_a_number", "reasons":
            '[{"feature": "line 1", "value": "D50 | 1,25 | um", "limit": "not_a_number"}]'}]),
    ],
)  # fmt: skip
def test_what_is_misread_guessed_or_passed_over_fails(
    text: str, records: dict[tuple[str, str], float], answers: list[dict[str, Any]]
) -> None:
    assert judged(answers, {"lfp-1": text}, records, DOCUMENTS).verdict == "failing"
