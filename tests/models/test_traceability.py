"""Walking a genealogy both ways: flipped rolls and stretches by hand, any graph against a walk row by row."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.features.source import Tables
from models.traceability.family import class_of
from models.traceability.passport import faults_of, issue
from models.traceability.spec import TraceSpec
from models.traceability.walk import START, told, walk
from orchestration.environment import default_site
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site

FIRST = datetime(2026, 9, 1)  # noqa: DTZ001 - the lake's times are UTC without a zone
SECOND = FIRST + timedelta(days=1)
SITE = load_site(default_site())
ATTRIBUTES: dict[str, Any] = {
    "stage": "a",
    "slug": "b",
    "question": "?",
    "table": "module",
    "keys": ["module_id"],
    "time": "event_at",
    "records": [
        {"kind": "lot", "table": "lot", "key": "lot_id", "tells": ["material_code"]},
        {"kind": "mother", "table": "mother", "key": "mother_id", "made_of": [{"kind": "lot", "column": "lot_id"}]},
        {
            "kind": "daughter",
            "table": "daughter",
            "key": "daughter_id",
            "made_of": [
                {"kind": "mother", "column": "mother_id", "from_m": "from_m", "to_m": "to_m", "flipped": "is_flipped"}
            ],
        },
        {
            "kind": "cell",
            "table": "cell",
            "key": "cell_id",
            "made_of": [
                {"kind": "daughter", "column": "daughter_id", "from_m": "from_m", "to_m": "to_m"},
                {"kind": "lot", "column": "can_lot_id", "role": "can"},
            ],
        },
        {"kind": "module", "table": "module", "key": "module_id", "made_of": [{"kind": "cell", "column": "cell_id"}]},
    ],
    "passport": {"of": "module", "parts": ["cell"], "lots": "lot", "materials": ["lfp", "can"]},
}
SPEC = TraceSpec.model_validate(ATTRIBUTES)
# Mother roll m of two lots (one ran out), 100 m; its second half, 50 to 100 m, was wound end for end.
PLANT: dict[str, list[dict[str, Any]]] = {
    "lot": [{"lot_id": f"l{n}", "material_code": code} for n, code in enumerate(("lfp", "lfp", "can", "can"))],
    "mother": [{"mother_id": "m", "lot_id": "l0"}, {"mother_id": "m", "lot_id": "l1"}],
    "daughter": [
        {"daughter_id": "d1", "mother_id": "m", "from_m": 0.0, "to_m": 50.0, "is_flipped": False},
        {"daughter_id": "d2", "mother_id": "m", "from_m": 50.0, "to_m": 100.0, "is_flipped": True},
    ],
    "cell": [
        {"cell_id": "c1", "daughter_id": "d1", "from_m": 10.0, "to_m": 20.0, "can_lot_id": "l2"},
        {"cell_id": "c2", "daughter_id": "d2", "from_m": 10.0, "to_m": 20.0, "can_lot_id": "l2"},
        {"cell_id": "c3", "daughter_id": "d2", "from_m": 20.0, "to_m": 30.0, "can_lot_id": None},
    ],
    "module": [
        {"module_id": "M1", "cell_id": "c1", "event_at": FIRST},
        {"module_id": "M2", "cell_id": "c2", "event_at": SECOND},
        {"module_id": "M2", "cell_id": "c3", "event_at": SECOND},
    ],
}


def opened(plant: dict[str, list[dict[str, Any]]]) -> Tables:
    con = duckdb.connect(config={"threads": 1})
    for name, rows in plant.items():
        con.register(name, pa.Table.from_pylist(rows))
    return Tables(con, None, {name: name for name in plant})


def walked(
    tables: Tables, kind: str, name: str, way: Any, from_m: float | None = None, to_m: float | None = None
) -> Any:
    start = pa.Table.from_pylist([{"kind": kind, "id": name, "from_m": from_m, "to_m": to_m}], schema=START)
    walk(tables, SPEC, start, way)
    return tables


def reached(tables: Tables, kind: str) -> set[str]:
    return {name for (name,) in tables.con.execute("SELECT id FROM cw_reached WHERE kind = ?", [kind]).fetchall()}


def link(tables: Tables, whole: str, part: str) -> tuple[float, float]:
    (found,) = tables.con.execute(
        "SELECT from_m, to_m FROM cw_link WHERE id = ? AND part_id = ?", [whole, part]
    ).fetchall()
    return found


def test_a_cell_finds_all_lots_of_its_batch_and_its_metres_on_the_mother_roll() -> None:
    tables = walked(opened(PLANT), "cell", "c1", "made_of")
    assert reached(tables, "lot") == {"l0", "l1", "l2"}
    assert link(tables, "d1", "m") == (10.0, 20.0)
    tables = walked(opened(PLANT), "cell", "c2", "made_of")
    assert link(tables, "c2", "d2") == (10.0, 20.0)
    assert link(tables, "d2", "m") == (80.0, 90.0)
    assert told(tables, SPEC)["lot", "l2"] == {"material_code": "can"}


@pytest.mark.parametrize(
    ("stretch", "cells"),
    [((None, None), {"c1", "c2", "c3"}), ((15.0, 16.0), {"c1"}), ((80.0, 90.0), {"c2"}), ((0.0, 10.0), set())],
)
def test_a_stretch_of_a_mother_roll_finds_its_cells_and_no_others(stretch: Any, cells: set[str]) -> None:
    tables = walked(opened(PLANT), "mother", "m", "went_into", *stretch)
    assert reached(tables, "cell") == cells
    assert reached(tables, "module") == {row["module_id"] for row in PLANT["module"] if row["cell_id"] in cells}


def test_a_passport_names_its_lots_and_what_can_not_be_traced() -> None:
    made = issue(opened(PLANT), SPEC, SITE, "module", {"M1": FIRST, "M2": SECOND})
    assert [class_of(each) for each in made.values()] == ["complete", "incomplete"]
    assert (made["M2"].traced, made["M2"].complete, made["M2"].lacking) == (2, 1, {"can": 1})
    composition = {each["material"]: each["lots"] for each in made["M2"].document["materialComposition"]}
    assert composition == {"can": [{"id": "l2"}], "lfp": [{"id": "l0"}, {"id": "l1"}]}
    assert made["M2"].document["traceability"]["parts"] == {"cell": ["c2", "c3"]}
    assert made["M2"].document["generalProductInformation"]["assembledAt"] == "2026-09-02T00:00:00+00:00"
    (cell,) = issue(opened(PLANT), SPEC, SITE, "cell", {"c1": FIRST}).values()
    assert class_of(cell) == "complete"


def test_the_schema_refuses_a_document_that_lacks_or_adds_something() -> None:
    (made,) = issue(opened(PLANT), SPEC, SITE, "module", {"M1": FIRST}).values()
    assert faults_of(made.document) == []
    without = {name: value for name, value in made.document.items() if name != "traceability"}
    assert "traceability" in faults_of(without)[0]
    assert "unexpected" in faults_of(made.document | {"carbonFootprint": 1})[0]
    made.document["materialComposition"][0]["lots"] = []
    assert faults_of(made.document)[0].startswith("materialComposition/0/lots")


def test_what_nobody_recorded_is_an_incomplete_passport_and_no_error() -> None:
    (made,) = issue(opened(PLANT), SPEC, SITE, "module", {"M9": FIRST}).values()
    assert made.traced == 0
    assert made.faults
    assert class_of(made) == "invalid"


def test_a_circle_an_unknown_kind_and_a_missing_table_are_refused() -> None:
    circle = [{"kind": "lot", "table": "lot", "key": "lot_id", "made_of": [{"kind": "module", "column": "x"}]}]
    with pytest.raises(ValidationError, match="made of itself"):
        TraceSpec.model_validate(ATTRIBUTES | {"records": [*ATTRIBUTES["records"], *circle]})
    with pytest.raises(ValidationError, match="no record tells of container"):
        TraceSpec.model_validate(ATTRIBUTES | {"passport": ATTRIBUTES["passport"] | {"of": "container"}})
    with pytest.raises(ValidationError, match="from_m and to_m"):
        made = {"kind": "lot", "column": "lot_id", "from_m": "from_m"}
        TraceSpec.model_validate(
            ATTRIBUTES | {"records": [{"kind": "lot", "table": "l", "key": "k", "made_of": [made]}]}
        )
    with pytest.raises(CellworksError, match="record of 'cell' cannot be read"):
        walked(opened({name: rows for name, rows in PLANT.items() if name != "cell"}), "cell", "c1", "made_of")


METRES = st.tuples(st.integers(0, 20), st.integers(1, 20)).map(lambda at: (float(at[0]), float(at[0] + at[1])))
ROLL = st.tuples(st.sampled_from("mn"), METRES, st.booleans())
CELL = st.tuples(st.integers(0, 3), METRES, st.sampled_from(["l2", "l3", None]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rolls=st.lists(ROLL, min_size=4, max_size=4), cells=st.lists(CELL, min_size=1, max_size=8), bad=METRES)
def test_any_genealogy_is_walked_as_row_by_row(rolls: Any, cells: Any, bad: tuple[float, float]) -> None:
    plant = PLANT | {
        "mother": [{"mother_id": "m", "lot_id": "l0"}, {"mother_id": "n", "lot_id": "l1"}],
        "daughter": [
            {"daughter_id": f"d{n}", "mother_id": mother, "from_m": at[0], "to_m": at[1], "is_flipped": flip}
            for n, (mother, at, flip) in enumerate(rolls)
        ],
        "cell": [
            {"cell_id": f"c{n}", "daughter_id": f"d{roll}", "from_m": at[0], "to_m": at[1], "can_lot_id": can}
            for n, (roll, at, can) in enumerate(cells)
        ],
        "module": [{"module_id": "M1", "cell_id": "c0", "event_at": FIRST}],
    }
    tables = opened(plant)
    hit = set()
    for n, (roll, (begin, end), can) in enumerate(cells):
        mother, (first, last), flip = rolls[roll]
        at = (last - end, last - begin) if flip else (first + begin, first + end)
        walked(tables, "cell", f"c{n}", "made_of")
        assert reached(tables, "lot") == {"l0" if mother == "m" else "l1", *([can] if can else [])}
        assert link(tables, f"d{roll}", mother) == at
        # Only what lies on the daughter roll can have been cut from it.
        within = (max(at[0], first), min(at[1], last))
        if mother == "m" and max(within[0], bad[0]) < min(within[1], bad[1]):
            hit.add(f"c{n}")
    walked(tables, "mother", "m", "went_into", *bad)
    assert reached(tables, "cell") == hit
    for lot in ("l0", "l2"):
        walked(tables, "lot", lot, "went_into")
        found = reached(tables, "cell")
        for n in range(len(cells)):
            walked(tables, "cell", f"c{n}", "made_of")
            assert (f"c{n}" in found) == (lot in reached(tables, "lot"))
