"""From tables to plans: what waits and is known is planned, nothing else; answers, tasks and figures say the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from models.features.source import Tables
from models.optimizer.plan_spec import PlanPart
from models.optimizer.plans.items import Asked, Case, told
from models.optimizer.plans.picture import draw
from models.optimizer.plans.planning import cases
from models.optimizer.spec import OptimizerSpec
from orchestration.catalogue import find
from pipelines.control_plan.errors import CellworksError

NOW = datetime(2026, 9, 20, 8)  # noqa: DTZ001 - the lake's times are UTC without a zone
Rows = Iterable[dict[str, Any]]


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def solution(name: str, **changes: Any) -> OptimizerSpec:
    found = find(name)
    assert isinstance(found, OptimizerSpec)
    return found.model_copy(update={"optimizer": found.optimizer.model_copy(update=changes)})


def plan(spec: OptimizerSpec, cells_per_module: int = 4, **tables: Rows) -> list[Case]:
    con = duckdb.connect(config={"threads": 1})
    for name, rows in tables.items():
        con.register(name, pa.Table.from_pylist(list(rows)))
    assert isinstance(spec.optimizer, PlanPart)
    known = {f"marts.{name}": name for name in tables}
    return cases(Asked(spec, Tables(con, None, known), NOW, cells_per_module), spec.optimizer)


def roll(name: str, **changes: Any) -> dict[str, Any]:
    row = {"electrode_code": "anode", "mother_roll_id": name, "length_m": 2000.0, "scrapped_step_code": None}
    return row | {"calendered_at": ago(5), "mes__calendering_known_at": ago(4)} | changes


def test_rolls_that_are_scrapped_unknown_or_long_gone_are_not_cut() -> None:
    rolls = [
        roll("a"), roll("b", electrode_code="cathode"), roll("scrapped", scrapped_step_code="calendering"),
        roll("unknown", mes__calendering_known_at=ago(-1)), roll("old", calendered_at=ago(90)),
        roll("not yet", calendered_at=ago(-2)),
    ]  # fmt: skip
    found = plan(solution("roll_cutting_plan"), mother_roll=rolls)
    assert [(case.scope, [item.keys for item in case.items]) for case in found] == [
        ("anode", [("anode", "a")]), ("cathode", [("cathode", "b")]),
    ]  # fmt: skip
    assert all(case.weighed.faults == [] for case in found)
    assert found[0].items[0].value == 52 * 37  # two of 26 cells take 1,940 of the 2,000 m


def test_marks_are_left_out_and_what_was_cut_is_not_cut_again() -> None:
    spec = solution("roll_cutting_plan", mark_table="marts.mark", cut_table="marts.daughter_roll")
    marks = [{"mother_roll_id": "a", "from_m": 100.0, "to_m": 1950.0, "known_at": ago(1)}]
    (case,) = plan(spec, mother_roll=[roll("a"), roll("b")], mark=marks, daughter_roll=[{"mother_roll_id": "b"}])
    assert [(item.keys, item.verdict) for item in case.items] == [(("anode", "a"), "keep")]


def cell(no: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(no)
    values = {name: float(rng.normal()) for name in ("capacity_ah", "acir_mohm", "k_value_mv_h", "ship_ocv_mv")}
    row = {"product_code": "P", "cell_id": f"C{no:02d}", "final_grade_code": "A", "module_id": None}
    return row | values | {"final_known_at": ago(30 - no / 10)} | changes


def test_the_oldest_good_cells_that_wait_are_put_into_whole_modules() -> None:
    cells = [cell(no) for no in range(11)]
    cells += [cell(20, final_grade_code="B"), cell(21, module_id="M"), cell(22, final_known_at=ago(-1)),
              cell(23, capacity_ah=None), cell(24, final_known_at=ago(99))]  # fmt: skip
    (case,) = plan(solution("module_matching"), cell=cells)
    assert {item.keys[1] for item in case.items} == {"C24", *(f"C{no:02d}" for no in range(11))}
    places = [item.place for item in case.items]
    assert sorted(places.count(name) for name in set(places)) == [4, 4, 4]
    assert case.weighed.cost <= case.weighed.rule_cost
    assert plan(solution("module_matching"), cell=cells[:7]) == []


def stay(no: int, slot: str, put_h: float, out_h: float | None = None, **changes: Any) -> dict[str, Any]:
    out = None if out_h is None else ago(out_h)
    row = {"store_id": "ageing_store_1", "tray_id": f"T{no}", "slot_code": slot, "put_in_at": ago(put_h)}
    return row | {"taken_out_at": out, "known_at": ago(put_h)} | changes


def test_new_trays_go_to_free_places_near_the_doors_of_all_stores() -> None:
    stays = [stay(1, "Z01-01-01", 40), stay(2, "Z01-01-02", 150, 20), stay(3, "Z09-01-01", 1), stay(4, "Z09-01-02", 1)]
    (case,) = plan(solution("ageing_store_slotting"), ageing_store_move=stays)
    assert [(item.keys[1], item.rule_place) for item in case.items] == [
        ("T3", "ageing_store_1, zone 1, column 1, level 2"), ("T4", "ageing_store_1, zone 1, column 1, level 3"),
    ]  # fmt: skip
    near = {"ageing_store_1, zone 1, column 1, level 2", "ageing_store_2, zone 1, column 1, level 1"}
    assert {item.place for item in case.items} == near
    with pytest.raises(CellworksError, match="outside the stores"):
        plan(solution("ageing_store_slotting"), ageing_store_move=[*stays, stay(5, "Z25-01-01", 1)])


def order(no: int, cells: int, due_h: float, **changes: Any) -> dict[str, Any]:
    row = {"product_code": "P", "order_id": f"O{no}", "ordered_at": ago(100 - no), "due_at": ago(-due_h)}
    return row | {"quantity_cells": cells, "known_at": ago(99 - no)} | changes


def test_orders_that_cells_already_serve_are_not_planned_and_the_urgent_go_first() -> None:
    orders = [order(1, 3, 50), order(2, 2000, 900), order(3, 2000, 212), order(4, 52, 1, known_at=ago(-1))]
    made = [{"formation_ended_at": ago(1)}] * 4
    (case,) = plan(solution("finite_scheduler"), customer_order=orders, cell=made)
    assert [(item.keys[1], item.place, item.rule_place) for item in case.items] == [("O2", "2", "1"), ("O3", "1", "2")]
    assert case.weighed.cost < case.weighed.rule_cost
    assert {item.verdict for item in case.items} == {"late", "in time"}


def hour(no: int, usd: float, known_h: float = 24) -> dict[str, Any]:
    row = {"starts_at": NOW + timedelta(hours=no), "price_usd_per_kwh": usd, "demand_charge_usd_per_kw": 5.8}
    return row | {"known_at": ago(known_h)}


METERS = [
    {
        "meter_id": "m",
        "step_code": step,
        "interval_at": ago(no),
        "interval_s": 3600.0,
        "energy_kwh": kwh,
        "known_at": ago(no),
    }
    for no in range(1, 49)
    for step, kwh in (("coating", 5000.0), ("formation", 700.0))
]


def test_charging_waits_for_the_cheap_hours_that_are_known() -> None:
    cells = [
        {"line_code": "L1", "bake_batch_id": name, "entered_at": ago(at_h), "is_entered": entered}
        for name, at_h, entered in (("B1", 17, False), ("B2", 16.5, False), ("B3", 3, True), ("B4", 99, False))
        for _ in range(10)
    ]
    tariff = [hour(no, 0.05 if 6 <= no < 20 else 0.15) for no in range(1, 30)] + [
        hour(no, 0.0, -1) for no in range(30, 48)
    ]
    (case,) = plan(solution("peak_shaving"), cell_at_formation=cells, tariff_hour=tariff, energy_interval=METERS)
    assert {item.keys for item in case.items} == {("L1", "B1"), ("L1", "B2")}
    assert {item.rule_starts_at for item in case.items} == {NOW + timedelta(hours=1)}
    assert all(
        item.starts_at and NOW + timedelta(hours=6) <= item.starts_at < NOW + timedelta(hours=12) for item in case.items
    )
    assert case.weighed.cost == pytest.approx(20 * 3.8 * 0.05)
    assert max(case.curves["planned"]) < 5700  # what is under way goes on, beside the base load
    assert (
        plan(solution("peak_shaving"), cell_at_formation=cells[20:30], tariff_hour=tariff, energy_interval=METERS) == []
    )


def part(code: str, stock: int, counted_h: float = 10, **changes: Any) -> dict[str, Any]:
    row = {
        "part_code": code,
        "machine_class": "mixer",
        "stock_qty": stock,
        "unit_price_usd": 100.0,
        "lead_time_d": 20.0,
    }
    return row | {"counted_at": ago(counted_h), "known_at": ago(counted_h)} | changes


def gauge(name: str, due_d: float, error: float, at_h: float = 500) -> dict[str, Any]:
    row = {"gauge_id": name, "characteristic_code": "x", "calibrated_at": ago(at_h), "due_at": ago(-24 * due_d)}
    return row | {"as_found_error": error, "tolerance": 1.0, "known_at": ago(at_h)}


def test_parts_that_are_used_are_ordered_and_gauges_that_are_due_are_told() -> None:
    parts = [part("often", 0), part("often", 9, counted_h=300), part("never", 3)]
    uses = [
        {"part_code": "often", "used_at": ago(24 * no), "quantity": 1, "known_at": ago(24 * no)} for no in range(1, 120)
    ]
    gauges = [gauge("g1", 3, 0.1), gauge("g2", 90, 0.1), gauge("g3", 90, -1.4), gauge("g3", 50, 0.0, at_h=900)]
    (case,) = plan(solution("spares_and_calibration"), spare_part=parts, spare_part_use=uses, calibration=gauges)
    found = {item.keys[0]: (item.verdict, item.is_changed) for item in case.items}
    assert found == {
        "never": ("enough", False), "often": ("order", True),
        "g1": ("calibrate", True), "g2": ("calibrated", False), "g3": ("calibrate", True),
    }  # fmt: skip
    (often,) = (item for item in case.items if item.keys == ("often",))
    assert float(often.place or 0) > 119 / 119 * 27  # more than is used on the mean until an order is there


def test_answers_tasks_and_figures_say_the_same(tmp_path: Any) -> None:
    spec = solution("ageing_store_slotting")
    found = plan(spec, ageing_store_move=[stay(2, "Z01-01-01", 150, 20), stay(3, "Z09-01-01", 1)])
    assert isinstance(spec.optimizer, PlanPart)
    answers = told(spec, spec.optimizer, found, NOW)
    assert answers.answers["is_flagged"] == [item.is_changed for item in found[0].items]
    assert json.loads(answers.answers["reasons"][0])[0]["value"] == pytest.approx(found[0].weighed.cost)
    tasks, figures = answers.current["task"].to_pylist(), answers.further["plan"].to_pylist()
    assert [(row["store_id"], row["tray_id"]) for row in tasks] == [item.keys for item in found[0].items]
    assert figures[0]["gain"] == pytest.approx(1 - figures[0]["cost"] / figures[0]["rule_cost"])
    assert all(passed for passed, _ in answers.checks.values())
    little = spec.optimizer.model_copy(update={"min_gain": 0.99})
    assert not any(told(spec, little, found, NOW).answers["is_flagged"])  # a plan that does not pay proposes nothing
    draw(found, spec.question, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": ["tray_id"]}, "what is planned together and the item"),
        ({"action": {"kind": "hold_lot"}}, "schedule or report"),
        ({"optimizer": {"kind": "no_such"}}, "run_to_run"),
    ],
)
def test_a_plan_that_is_described_wrongly_is_refused(changes: dict[str, Any], message: str) -> None:
    content = find("ageing_store_slotting").model_dump()
    with pytest.raises(ValidationError, match=message):
        OptimizerSpec.model_validate(content | changes)
