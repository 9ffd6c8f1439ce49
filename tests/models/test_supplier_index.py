"""The quality index of suppliers: one worked out by hand, any beside the same by plain arithmetic, what is refused."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import ValidationError

from models.features.source import Tables
from models.indicator.levels import Figures
from models.indicator.suppliers import supplier_index
from models.indicator.suppliers_spec import Suppliers
from orchestration.evaluation.indicators import suppliers as evaluation
from pipelines.control_plan.errors import CellworksError

START = datetime(2026, 9, 1)  # noqa: DTZ001 - the lake's times are UTC without a zone
KEYS = ["supplier_code", "material_code", "period_from"]
SPEC: dict[str, Any] = {
    "kind": "suppliers",
    "results": {"table": "results"},
    "orders": {"table": "orders"},
    "roll_up": [["supplier_code"]],
    "below": 80,
}
NOW = START + timedelta(days=45)
Rows = list[dict[str, Any]]


def inspected(day: float, units: int, bad: int, supplier: str = "S", material: str = "can") -> dict[str, Any]:
    row = {"supplier_code": supplier, "material_code": material, "inspected_at": START + timedelta(days=day)}
    return row | {"inspected_count": units, "nonconforming_count": bad}


def measured(day: float, value: float | None, code: str = "x", supplier: str = "S", **limits: Any) -> dict[str, Any]:
    row = {"supplier_code": supplier, "material_code": "can", "characteristic_code": code, "measured_value": value}
    return row | {"received_at": START + timedelta(days=day), "lsl": 0.0, "usl": 20.0} | limits


def ordered(promised: float, came: float | None, supplier: str = "S") -> dict[str, Any]:
    delivered = None if came is None else START + timedelta(days=came)
    row = {"supplier_code": supplier, "material_code": "can", "promised_at": START + timedelta(days=promised)}
    return row | {"delivered_at": delivered}


def index(inspections: Rows, results: Rows, orders: Rows, now: datetime = NOW, *, with_orders: bool = True) -> Figures:
    con = duckdb.connect(config={"threads": 1})
    for name, rows in (("lots", inspections), ("results", results), ("orders", orders)):
        con.register(name, pa.Table.from_pylist(rows))
    tables = Tables(con, None, {name: name for name in ("lots", "results", "orders")})
    spec = Suppliers.model_validate(SPEC if with_orders else SPEC | {"orders": None})
    return supplier_index(tables, "lots", spec, KEYS, now)


# 4,000 ppm of 10,000 leave 0.6 of quality. Moving ranges are 2, so sigma is 1.773: one of the two characteristics that
# have five lots is capable. One order of four is late by two days, and one is not due yet.
LOTS = [inspected(1, 500, 1), inspected(5, 500, 3)]
RESULTS = [
    *(measured(day, 10.0 + 2 * (day % 2)) for day in (1, 2, 3, 4, 5)),
    *(measured(day, 17.0 + 2 * (day % 2), "y") for day in (1, 2, 3, 4, 5)),
    measured(1, 3.0, "too_few"),
    measured(2, None, "x"),
]
ORDERS = [ordered(3, 2), ordered(4, 4), ordered(5, 7), ordered(6, 5), ordered(60, None)]


def test_an_index_worked_out_by_hand() -> None:
    found = index(LOTS, RESULTS, ORDERS)
    (row,) = [row for row in found.current["figure"].to_pylist() if row["level"] == "all"]
    assert row["ppm"] == pytest.approx(4000.0)
    assert (row["characteristic_count"], row["capable_count"]) == (2, 1)
    assert (row["order_count"], row["late_count"], row["late_d"]) == (4, 1, 2.0)
    cpk = {each["characteristic_code"]: each["cpk"] for each in found.current["cpk"].to_pylist()}
    sigma = 2 / 1.128
    assert cpk == pytest.approx({"x": (20 - 11.2) / 3 / sigma, "y": (20 - 18.2) / 3 / sigma}, rel=1e-12)
    expected = 100 * (0.4 * 0.6 + 0.4 * 0.5 + 0.2 * 0.75)
    assert row["index_points"] == pytest.approx(expected, rel=1e-12)
    (answer,) = found.answers.to_pylist()
    assert (answer["period_from"], answer["class"], answer["is_flagged"]) == (date(2026, 9, 1), "capability", True)
    lost = {each["part"]: each["points"] for each in found.current["part"].to_pylist() if each["level"] == "all"}
    assert lost == pytest.approx({"index": expected, "quality": 16, "capability": 20, "delivery": 5}, rel=1e-12)


def test_what_is_not_known_leaves_its_weight_to_the_rest_and_a_month_under_way_is_not_judged() -> None:
    found = index(LOTS, RESULTS, ORDERS, now=START + timedelta(days=20), with_orders=False)
    (answer,) = found.answers.to_pylist()
    assert answer["value"] == pytest.approx(100 * (0.4 * 0.6 + 0.4 * 0.5) / 0.8, rel=1e-12)
    assert answer["class"] is None


def test_more_nonconforming_units_than_were_inspected_are_bounded_and_a_missing_column_is_named() -> None:
    (row,) = [
        row
        for row in index([inspected(1, 100, 90)], RESULTS, ORDERS).current["figure"].to_pylist()
        if row["level"] == "all"
    ]
    assert row["quality_lost_points"] == pytest.approx(40.0)
    with pytest.raises(CellworksError, match="lacks columns") as told:
        index(LOTS, [{"supplier_code": "S"}], ORDERS)
    assert "characteristic_code" in told.value.found


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"weights": {"quality": 0.5}}, "shares that add up to 1"),
        ({"roll_up": [["line_code"]]}, "found line_code"),
    ],
)
def test_a_wrong_spec_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Suppliers.model_validate(SPEC | changes)


def anew(lots: Rows, results: Rows, orders: Rows | None, now: datetime = NOW) -> pd.DataFrame:
    spec = Suppliers.model_validate(SPEC if orders is not None else SPEC | {"orders": None})
    tables = [pa.Table.from_pylist(rows).to_pandas() for rows in (lots, results)]
    told = None if orders is None else pa.Table.from_pylist(orders).to_pandas()
    return evaluation.index_of(evaluation.Records(tables[0], tables[1], told), spec, KEYS, now).fillna("")


def test_the_means_of_evaluation_tell_the_index_by_hand_likewise() -> None:
    (row,) = anew(LOTS, RESULTS, ORDERS).to_dict("records")
    assert row == {"value": pytest.approx(100 * (0.4 * 0.6 + 0.4 * 0.5 + 0.2 * 0.75)), "class": "capability"}
    (row,) = anew(LOTS, RESULTS, None, now=START + timedelta(days=20)).to_dict("records")
    assert row == {"value": pytest.approx(100 * (0.4 * 0.6 + 0.4 * 0.5) / 0.8), "class": ""}


@pytest.mark.parametrize("seed", [1, 2])
def test_every_index_is_that_of_the_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lots = [inspected(float(rng.uniform(0, 40)), 200, int(rng.poisson(0.6)), f"S{rng.integers(3)}") for _ in range(60)]
    results = [
        measured(float(day), float(rng.normal(10, 2.5)), f"c{code}", f"S{supplier}", usl=None if code == 1 else 20.0)
        for supplier in range(3)
        for code in range(3)
        for day in rng.uniform(0, 40, 14)
    ]
    orders = [
        ordered(float(due), float(due + rng.normal(-0.5, 2)), f"S{rng.integers(3)}") for due in rng.uniform(0, 40, 40)
    ]
    # A supplier of whom nothing but an order is known, and one of whom nothing but lots.
    orders.append(ordered(2, 1, "S8"))
    lots.append(inspected(1, 200, 1, "S9"))
    found = index(lots, results, orders)
    told = found.answers.to_pandas().set_index(KEYS).sort_index()
    expected = anew(lots, results, orders).sort_index()
    assert told.index.tolist() == expected.index.tolist()
    assert {"S8", "S9"} < set(told.index.get_level_values("supplier_code"))
    assert told["value"].tolist() == pytest.approx(expected["value"].tolist(), rel=1e-9)
    assert told["class"].fillna("").tolist() == expected["class"].tolist()
