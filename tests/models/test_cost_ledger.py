"""Activity-based cost: two days by hand, any cost beside the same by plain arithmetic, and what is refused."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.features.source import Tables
from models.indicator.cost import cost_ledger
from models.indicator.cost_spec import Cost
from models.indicator.levels import Figures
from pipelines.control_plan.errors import CellworksError

MON, TUE = date(2026, 9, 1), date(2026, 9, 2)
KEYS = ["step_code", "production_day"]
SPEC: dict[str, Any] = {
    "kind": "cost",
    "direct": ["energy_cost_usd"],
    "pools": {"table": "pools", "drivers": {"labour": ["share"], "maintenance": ["orders", "share"]}},
    "total": {"table": "totals", "is_final": "is_final"},
    "standard": "standard_usd_per_kwh",
    "roll_up": [["production_day"], ["step_code"]],
}
Rows = list[dict[str, Any]]


def step(day: date, code: str, energy: float, share: float, orders: int) -> dict[str, Any]:
    ended = datetime.combine(day, datetime.max.time())
    row = {"production_day": day, "step_code": code, "ended_at": ended, "energy_cost_usd": energy}
    return row | {"share": share, "orders": orders, "standard_usd_per_kwh": 2.0}


def pool(day: date, code: str, usd: float) -> dict[str, Any]:
    return {"production_day": day, "pool_code": code, "cost_usd": usd}


def total(day: date, usd: float | None, kwh: float, *, is_final: bool = True) -> dict[str, Any]:
    return {"production_day": day, "total_cost_usd": usd, "premium_kwh": kwh, "is_final": is_final}


def ledger(steps: Rows, pools: Rows, totals: Rows, **changes: Any) -> Figures:
    con = duckdb.connect(config={"threads": 1})
    for name, rows in (("steps", steps), ("pools", pools), ("totals", totals)):
        con.register(name, pa.Table.from_pylist(rows))
    tables = Tables(con, None, {name: name for name in ("steps", "pools", "totals")})
    return cost_ledger(tables, "steps", Cost.model_validate(SPEC | changes), KEYS)


# Monday: labour 100 as 1 to 3, crew 40 by the two orders of coating; Tuesday no order: the crew goes as labour does.
STEPS = [
    step(MON, "mixing", 10, 1, 0),
    step(MON, "coating", 50, 3, 2),
    step(TUE, "mixing", 12, 1, 0),
    step(TUE, "coating", 60, 3, 0),
]
POOLS = [pool(MON, "labour", 100), pool(MON, "maintenance", 40), pool(TUE, "labour", 100), pool(TUE, "maintenance", 40)]
TOTALS = [total(MON, 200, 50), total(TUE, 212, 60, is_final=False)]


def test_two_days_worked_out_by_hand() -> None:
    found = ledger(STEPS, POOLS, TOTALS)
    spent = {
        (row["production_day"], row["step_code"], row["element"]): row["cost_usd"]
        for row in found.current["part"].to_pylist()
        if row["level"] == "step_code x production_day"
    }
    assert spent == pytest.approx(
        {
            (MON, "mixing", "energy"): 10,
            (MON, "mixing", "labour"): 25,
            (MON, "mixing", "maintenance"): 0,
            (MON, "coating", "energy"): 50,
            (MON, "coating", "labour"): 75,
            (MON, "coating", "maintenance"): 40,
            (TUE, "mixing", "energy"): 12,
            (TUE, "mixing", "labour"): 25,
            (TUE, "mixing", "maintenance"): 10,
            (TUE, "coating", "energy"): 60,
            (TUE, "coating", "labour"): 75,
            (TUE, "coating", "maintenance"): 30,
        }
    )
    whole = {row["level"]: row for row in found.current["figure"].to_pylist() if row["level"] in ("all",)}
    assert whole["all"]["cost_usd"] == 412
    # Only Monday's output is all known.
    assert (whole["all"]["final_cost_usd"], whole["all"]["usd_per_kwh"]) == (200, 4.0)
    answers = {(row["production_day"], row["step_code"]): row for row in found.answers.to_pylist()}
    coating = answers[MON, "coating"]
    assert (coating["value"], coating["class"], coating["is_flagged"]) == (pytest.approx(165 / 50), "labour", True)
    assert json.loads(coating["reasons"])[0] == {"feature": "labour", "value": 75.0, "contribution": 0.4545}
    assert not answers[MON, "mixing"]["is_flagged"]
    assert (answers[TUE, "coating"]["value"], answers[TUE, "coating"]["class"]) == (None, None)
    assert all(passed for passed, _ in found.checks.values())


def test_a_day_whose_cost_is_not_known_is_left_out_and_told() -> None:
    found = ledger(STEPS, POOLS, [TOTALS[0], total(TUE, None, 60)])
    assert {row["production_day"] for row in found.answers.to_pylist()} == {MON}
    assert found.checks["complete"] == (False, "periods whose cost is not known: 2026-09-02")


@pytest.mark.parametrize(
    ("steps", "pools", "totals", "text"),
    [
        (STEPS, POOLS, [total(MON, 201, 50), TOTALS[1]], "do not add up"),
        (STEPS, POOLS[1:], TOTALS, "do not add up"),
        ([*STEPS, STEPS[0]], POOLS, TOTALS, "do not add up"),
        ([*STEPS[:3], step(TUE, "coating", -60, 3, 0)], POOLS, [TOTALS[0], total(TUE, 92, 60)], "do not add up"),
        (STEPS, [*POOLS, pool(MON, "rent", 5)], TOTALS, "have no driver"),
    ],
)
def test_cost_that_does_not_reconcile_is_refused(steps: Rows, pools: Rows, totals: Rows, text: str) -> None:
    with pytest.raises(CellworksError, match=text):
        ledger(steps, pools, totals)


USD = st.floats(0, 1e6).map(lambda usd: round(usd, 2))
DAY = st.tuples(st.lists(st.tuples(USD, st.floats(0.01, 1), st.integers(0, 3)), min_size=1, max_size=6), USD, USD)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(DAY, min_size=1, max_size=3))
def test_whatever_the_cost_is_steps_add_up_to_their_day_and_each_is_as_by_hand(days: list[Any]) -> None:
    steps, pools, totals, expected = [], [], [], {}
    for number, (parts, labour, crew) in enumerate(days):
        day = date(2026, 9, 1 + number)
        orders, shares = sum(part[2] for part in parts), sum(part[1] for part in parts)
        for place, (energy, share, own) in enumerate(parts):
            steps.append(step(day, f"s{place}", energy, share, own))
            by = own / orders if orders else share / shares
            expected[day, f"s{place}"] = energy + labour * share / shares + crew * by
        pools += [pool(day, "labour", labour), pool(day, "maintenance", crew)]
        totals.append(total(day, sum(part[0] for part in parts) + labour + crew, 100))
    found = ledger(steps, pools, totals)
    rows = [row for row in found.current["figure"].to_pylist() if row["level"] == "step_code x production_day"]
    for row in rows:
        assert row["cost_usd"] == pytest.approx(expected[row["production_day"], row["step_code"]], rel=1e-9, abs=1e-9)
    told = sum(row["cost_usd"] for row in rows)
    assert told == pytest.approx(sum(row["total_cost_usd"] for row in totals), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"roll_up": [["line_code"]]}, "rolled up by production_day, step_code; found line_code"),
        ({"pools": {"table": "pools", "drivers": {"labour": []}}}, "each pool has a driver; found none for labour"),
    ],
)
def test_a_wrong_spec_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Cost.model_validate(SPEC | changes)
