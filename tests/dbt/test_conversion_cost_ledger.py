"""energy/conversion_cost_ledger beside the same cost worked out from raw rows, one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestration.catalogue import find
from orchestration.night import solve
from orchestration.plant import Plant
from orchestration.solving import PREDICTIONS, Outcome
from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PROJECT
from pipelines.curation.report import CurateReport
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.publish import publish

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
RATES = SITE.cost_rates
STEP_OF = {machine.id: machine.step for machine in SITE.machines_by_id.values()}
FIXED = {
    "labour": RATES.labour_usd_per_operator_h * SITE.operators_per_shift * 24,
    "depreciation": RATES.depreciation_usd_per_day,
    "overhead": RATES.overhead_usd_per_day,
}
SHARES = {code: step.conversion_share for code, step in SITE.standard.steps.items()}
Rows = list[dict[str, Any]]
pytestmark = pytest.mark.slow


@dataclass
class Told:
    """Raw rows, and what the night of the ledger told of them."""

    meters: Rows
    orders: Rows
    stacked: Rows
    outcome: Outcome
    answers: Rows
    figures: Rows
    parts: Rows
    kpis: Rows


@pytest.fixture(scope="module")
def told(home: Home, run_all: Callable[[Home], list[CurateReport]]) -> Told:
    run_all(home)
    with writer(home, why="test") as con:
        publish(con, "kpi", "test")
    outcome = solve(
        find("energy/conversion_cost_ledger"),
        Plant(SITE, home),
        parts=[PREDICTIONS],
        domain="kpi",
        full_search=False,
        actor="test",
    )
    with reader(home) as con:
        tables = [
            con.execute(f"SELECT * FROM {table}").to_arrow_table().to_pylist()
            for table in (
                newest("raw.ems__meter_interval", "meter_id, event_at"),
                newest("raw.cmms__work_order", "work_order_id"),
                newest("raw.mes__stacking", "cell_id"),
                "solutions.conversion_cost_ledger",
                "solutions.conversion_cost_ledger_figure",
                "solutions.conversion_cost_ledger_part",
                "marts.kpi_day",
            )
        ]
    return Told(*tables[:3], outcome, *tables[3:])


def newest(table: str, keys: str) -> str:
    return f"{table} QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY known_at DESC) = 1"


def local(moment: datetime) -> datetime:
    return moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None)


def day_of(moment: datetime) -> date:
    return (local(moment) - timedelta(hours=6)).date()


def parts_of(told: Told, element: str) -> dict[tuple[date, str], float]:
    return {
        (row["production_day"], row["step_code"]): row["cost_usd"]
        for row in told.parts
        if row["level"] == "step_code x production_day" and row["element"] == element and row["cost_usd"]
    }


def test_the_night_told_every_step_and_day_and_its_checks_passed(told: Told) -> None:
    assert told.outcome.failure == ""
    assert [check.name for check in told.outcome.checks if not check.passed] == []
    assert len(told.answers) == len(told.kpis) * len(SITE.steps)


def test_energy_and_its_demand_charge_are_those_of_the_meters(told: Told) -> None:
    spent: dict[tuple[date, str], float] = defaultdict(float)
    drawn: dict[tuple[date, str], float] = defaultdict(float)
    hours: dict[tuple[date, datetime], float] = defaultdict(float)
    for row in told.meters:
        at, day = row["event_at"], row["production_day"]
        # The ledger books millionths of a dollar and of a kilowatt hour.
        kwh = round(row["energy_kwh"], 6)
        spent[day, row["step_code"]] += round(row["energy_kwh"] * SITE.tariff.price_at(local(at).hour), 6)
        drawn[day, row["step_code"]] += kwh
        hours[day, at.replace(minute=0, second=0, microsecond=0)] += kwh
    days = {row["production_day"] for row in told.kpis}
    expected = {key: usd for key, usd in spent.items() if key[0] in days}
    assert parts_of(told, "energy") == pytest.approx(expected, rel=1e-9)
    charge = SITE.tariff.demand_usd_per_kw_month * 12 / 365
    for day in days:
        peak = max(kwh for (other, _), kwh in hours.items() if other == day)
        whole = sum(kwh for (other, _), kwh in drawn.items() if other == day)
        own = {key: usd for key, usd in parts_of(told, "demand").items() if key[0] == day}
        assert own == pytest.approx(
            {key: peak * charge * kwh / whole for key, kwh in drawn.items() if key[0] == day}, rel=1e-9
        )


def test_shared_cost_is_the_sites_rates_by_their_drivers(told: Told) -> None:
    stacked: dict[date, int] = defaultdict(int)
    for row in told.stacked:
        stacked[row["production_day"]] += 1
    orders: dict[date, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in told.orders:
        orders[day_of(row["opened_at"])][STEP_OF[row["machine_id"]]].append(row["type_code"])
    whole = sum(SHARES.values())
    for kpi in told.kpis:
        day = kpi["production_day"]
        pools = FIXED | {"consumables": RATES.consumables_usd_per_cell * stacked[day]}
        for pool, usd in pools.items():
            own = {step: cost for (other, step), cost in parts_of(told, pool).items() if other == day}
            assert own == pytest.approx({step: usd * part / whole for step, part in SHARES.items() if part}, rel=1e-9)
        count = sum(len(each) for each in orders[day].values())
        crew = {step: cost for (other, step), cost in parts_of(told, "maintenance").items() if other == day}
        by = {step: len(each) / count for step, each in orders[day].items()} if count else SHARES
        assert crew == pytest.approx(
            {step: RATES.maintenance_usd_per_day * part for step, part in by.items() if part}, rel=1e-9
        )
        parts = {step: cost for (other, step), cost in parts_of(told, "work_order").items() if other == day}
        assert parts == pytest.approx(
            {
                step: sum(RATES.maintenance_usd_per_work_order[kind] for kind in kinds)
                for step, kinds in orders[day].items()
            },
            rel=1e-9,
        )


def test_steps_of_a_day_cost_what_its_key_figures_say_and_no_kilowatt_hour_costs_more(told: Told) -> None:
    whole = {row["production_day"]: row for row in told.figures if row["level"] == "production_day"}
    for kpi in told.kpis:
        day = kpi["production_day"]
        steps = [
            row["cost_usd"]
            for row in told.figures
            if row["level"] == "step_code x production_day" and row["production_day"] == day
        ]
        assert sum(steps) == pytest.approx(kpi["total_cost_usd"], rel=1e-9)
        shown = whole[day]["usd_per_kwh"]
        expected = kpi["conversion_cost_usd_per_kwh"]
        assert shown == (None if expected is None else pytest.approx(expected, rel=1e-9))
    assert any(kpi["conversion_cost_usd_per_kwh"] for kpi in told.kpis)
