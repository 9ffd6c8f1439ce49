"""A lot that went into a stretch of a roll went into what was cut from there: by hand, and whichever way one walks."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.features.source import Tables
from models.traceability.passport import issue, lots_of
from models.traceability.spec import Made, TraceSpec
from models.traceability.walk import START, Direction, walk
from orchestration.environment import default_site
from pipelines.control_plan.site import load_site

SITE = load_site(default_site())
AT = datetime(2026, 9, 1)  # noqa: DTZ001 - the lake's times are UTC without a zone
ROLL_M, WITHIN_M = 100.0, 0.5
SPEC = TraceSpec.model_validate(
    {
        "stage": "a",
        "slug": "b",
        "question": "?",
        "table": "cell",
        "keys": ["cell_id"],
        "time": "event_at",
        "records": [
            {"kind": "lot", "table": "lot", "key": "lot_id", "tells": ["material_code"]},
            {
                "kind": "mother",
                "table": "foil",
                "key": "mother_id",
                "made_of": [
                    {
                        "kind": "lot",
                        "column": "lot_id",
                        "role": "foil",
                        "into_from_m": "spliced_from_m",
                        "into_to_m": "spliced_to_m",
                        "within_m": WITHIN_M,
                    }
                ],
            },
            {
                "kind": "daughter",
                "table": "daughter",
                "key": "daughter_id",
                "made_of": [
                    {
                        "kind": "mother",
                        "column": "mother_id",
                        "from_m": "from_m",
                        "to_m": "to_m",
                        "flipped": "is_flipped",
                    }
                ],
            },
            {
                "kind": "cell",
                "table": "cell",
                "key": "cell_id",
                "made_of": [{"kind": "daughter", "column": "daughter_id", "from_m": "from_m", "to_m": "to_m"}],
            },
        ],
        "passport": {"of": "cell", "lots": "lot", "materials": ["foil"]},
    }
)
# Mother roll m, 100 m, of lot l0 up to metre 40 and of l1 from there on; slit into two lanes, the second one wound end
# for end: its metre 0 is metre 100 of m. Roll n is of l1 alone.
FOIL = [("m", "l0", None, 40.0), ("m", "l1", 40.0, None), ("n", "l1", None, None)]
DAUGHTERS = [("m1", "m", 0.0, ROLL_M, False), ("m2", "m", 0.0, ROLL_M, True), ("n1", "n", 0.0, ROLL_M, False)]
CELLS = [
    ("before", "m1", 10.0, 20.0),
    ("across", "m1", 35.0, 45.0),
    ("near_after", "m1", 40.25, 50.0),  # the splice may lie on it: the metre is told to half a metre
    ("after", "m1", 40.5, 50.0),
    ("flipped_before", "m2", 70.0, 80.0),  # metres 20 to 30 of m
    ("flipped_across", "m2", 55.0, 65.0),  # 35 to 45
    ("flipped_near_before", "m2", 60.25, 65.0),  # 35 to 39.75
    ("flipped_after", "m2", 10.0, 20.0),  # 80 to 90
    ("other", "n1", 10.0, 20.0),
]
BY_HAND = {
    "before": {"l0"},
    "across": {"l0", "l1"},
    "near_after": {"l0", "l1"},
    "after": {"l1"},
    "flipped_before": {"l0"},
    "flipped_across": {"l0", "l1"},
    "flipped_near_before": {"l0", "l1"},
    "flipped_after": {"l1"},
    "other": {"l1"},
}


def opened(foil: Any = FOIL, daughters: Any = DAUGHTERS, cells: Any = CELLS) -> Tables:
    con = duckdb.connect(config={"threads": 1})
    con.execute("CREATE TABLE lot AS SELECT 'l' || n AS lot_id, 'foil' AS material_code FROM range(5) AS t(n)")
    con.execute("CREATE TABLE foil (mother_id VARCHAR, lot_id VARCHAR, spliced_from_m DOUBLE, spliced_to_m DOUBLE)")
    con.execute(
        "CREATE TABLE daughter (daughter_id VARCHAR, mother_id VARCHAR, from_m DOUBLE, to_m DOUBLE, is_flipped BOOL)"
    )
    con.execute("CREATE TABLE cell (cell_id VARCHAR, daughter_id VARCHAR, from_m DOUBLE, to_m DOUBLE)")
    for name, rows in (("foil", foil), ("daughter", daughters), ("cell", cells)):
        con.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    return Tables(con, None, {name: name for name in ("lot", "foil", "daughter", "cell")})


def reached(tables: Tables, wanted: str, kind: str, name: str, way: Direction, stretch: Any = (None, None)) -> set[str]:
    start = {"kind": kind, "id": name, "from_m": stretch[0], "to_m": stretch[1]}
    walk(tables, SPEC, pa.Table.from_pylist([start], schema=START), way)
    return {name for (name,) in tables.con.execute("SELECT id FROM cw_reached WHERE kind = ?", [wanted]).fetchall()}


@pytest.mark.parametrize("cell", BY_HAND)
def test_a_cell_has_the_lot_that_lay_where_it_was_cut(cell: str) -> None:
    assert reached(opened(), "lot", "cell", cell, "made_of") == BY_HAND[cell]


@pytest.mark.parametrize("lot", ["l0", "l1"])
def test_a_lot_went_into_the_cells_on_its_side_of_the_splice_and_into_those_across_it(lot: str) -> None:
    found = reached(opened(), "cell", "lot", lot, "went_into")
    assert found == {cell for cell, lots in BY_HAND.items() if lot in lots}


def test_a_link_tells_the_metre_that_was_told_and_leaves_the_ends_of_the_roll_open() -> None:
    tables = opened()
    reached(tables, "cell", "lot", "l1", "went_into")
    links = tables.con.execute(
        "SELECT id, own_from_m, own_to_m FROM cw_link WHERE part_id = 'l1' ORDER BY id"
    ).fetchall()
    assert links == [("m", 40.0, None), ("n", None, None)]


def test_a_stretch_of_a_roll_is_made_of_the_lots_that_lie_there() -> None:
    tables = opened()
    assert reached(tables, "lot", "mother", "m", "made_of") == {"l0", "l1"}
    assert reached(tables, "lot", "mother", "m", "made_of", (0.0, 39.0)) == {"l0"}
    assert reached(tables, "lot", "daughter", "m2", "made_of", (0.0, 50.0)) == {"l1"}


def test_a_passport_has_no_lot_of_another_cells_stretch() -> None:
    made = issue(opened(), SPEC, SITE, "cell", dict.fromkeys(BY_HAND, AT))
    lots = {
        cell: {lot["id"] for material in each.document["materialComposition"] for lot in material["lots"]}
        for cell, each in made.items()
    }
    assert lots == BY_HAND
    assert all(each.complete == each.traced == 1 for each in made.values())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"into_from_m": "a"}, "into_from_m and into_to_m"),
        ({"within_m": 0.5}, "into_from_m and into_to_m"),
        ({"into_from_m": "a", "into_to_m": "b", "from_m": "c", "to_m": "d"}, "found both"),
        ({"into_from_m": "a", "into_to_m": "b", "within_m": -1}, "greater than or equal to 0"),
    ],
)
def test_half_a_stretch_and_both_kinds_of_one_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Made.model_validate({"kind": "lot", "column": "lot_id"} | wrong)


def lots_by_cell(tables: Tables, cells: list[str]) -> dict[str, set[str]]:
    starts = [{"kind": "cell", "id": name, "from_m": None, "to_m": None} for name in cells]
    walk(tables, SPEC, pa.Table.from_pylist(starts, schema=START), "made_of")
    lots_of(tables, SPEC)
    found: dict[str, set[str]] = {name: set() for name in cells}
    for name, lot in tables.con.execute("SELECT id, lot FROM cw_has WHERE kind = 'cell'").fetchall():
        found[name].add(lot)
    return found


QUARTERS = st.integers(0, 400).map(lambda quarter: quarter / 4)
SPLICES = st.lists(QUARTERS.filter(lambda at: 0 < at < ROLL_M), max_size=3, unique=True).map(sorted)
CUT = st.tuples(st.integers(0, 3), QUARTERS, st.integers(1, 80).map(lambda quarter: quarter / 4))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(of_m=SPLICES, of_n=SPLICES, flips=st.tuples(*[st.booleans()] * 4), cuts=st.lists(CUT, min_size=1, max_size=8))
def test_both_directions_agree_on_any_rolls(of_m: Any, of_n: Any, flips: Any, cuts: Any) -> None:
    foil = [
        (mother, f"l{no}", begin, end)
        for mother, splices in (("m", of_m), ("n", of_n))
        for no, (begin, end) in enumerate(zip([None, *splices], [*splices, None], strict=True))
    ]
    # Lanes over the whole roll, and halves of one.
    spans = [("m", 0.0, ROLL_M), ("n", 0.0, ROLL_M), ("n", 0.0, 50.0), ("n", 50.0, ROLL_M)]
    daughters = [(f"d{no}", *span, flip) for no, (span, flip) in enumerate(zip(spans, flips, strict=True))]
    cells = []
    for no, (roll, begin, length) in enumerate(cuts):
        whole = spans[roll][2] - spans[roll][1]
        end = min(begin + length, whole)
        cells.append((f"c{no}", f"d{roll}", min(begin, end - 0.25), end))
    tables = opened(foil, daughters, cells)
    back = lots_by_cell(tables, [cell[0] for cell in cells])
    for lot in {row[1] for row in foil}:
        assert reached(tables, "cell", "lot", lot, "went_into") == {cell for cell, lots in back.items() if lot in lots}
    for cell, roll, begin, end in cells:
        mother, first, last = spans[int(roll[1])]
        at = (last - end, last - begin) if flips[int(roll[1])] else (first + begin, first + end)
        splices = of_m if mother == "m" else of_n
        edges = [-1e9, *splices, 1e9]
        lies = {f"l{no}" for no, ends in enumerate(pairwise(edges))
                if ends[0] - WITHIN_M < at[1] and ends[1] + WITHIN_M > at[0]}  # fmt: skip
        assert back[cell] == lies
