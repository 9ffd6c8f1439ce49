"""The cost ledger worked out again, beside a day whose cost is added up by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from math import isnan

import pytest

from orchestration.evaluation.indicators import cost_ledger
from orchestration.evaluation.indicators.cost_ledger import Records
from pipelines.control_plan.site import Site, load_site
from pipelines.curation.contracts import PROJECT

DAY = date(2026, 9, 2)
# 06:00 in Shanghai, where the production day begins.
BEGINS = datetime(2026, 9, 1, 22)  # noqa: DTZ001 - UTC as everywhere in the lake


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(PROJECT.parent / "infra" / "sites" / "demo")


@pytest.fixture(scope="module")
def records(site: Site) -> Records:
    meters = [
        {"production_day": DAY, "step_code": step, "event_at": BEGINS + timedelta(hours=hour), "energy_kwh": kwh}
        for step, kwh in (("coating", 3000.0), ("dry_room", 1000.0))
        for hour in (0, 14)
    ]
    orders = [{"machine_id": "dry_room_1", "type_code": "breakdown", "opened_at": BEGINS + timedelta(hours=23.9)}]
    steps = [
        {"production_day": DAY, "step_code": step, "scrap_material_cost_usd": 70.0 if step == "coating" else 0.0}
        for step in site.standard.steps
    ]
    day = {"production_day": DAY, "premium_kwh": 10_000.0, "total_cost_usd": 1.0, "is_cohort_complete": True}
    return Records(meters, orders, [{"production_day": DAY, "count": 4000}], steps, [day])


def test_a_day_costs_what_was_metered_ordered_and_scrapped_and_its_pools_whole(site: Site, records: Records) -> None:
    cost = cost_ledger.spent(site, records)
    rates, price = site.cost_rates, site.tariff.price_at
    used = 4000.0 * (price(6) + price(20))
    pools = rates.labour_usd_per_operator_h * site.operators_per_shift * 24 + rates.depreciation_usd_per_day
    pools += rates.overhead_usd_per_day + rates.maintenance_usd_per_day + 4000 * rates.consumables_usd_per_cell
    pools += 4000.0 * site.tariff.demand_usd_per_kw_month * 12 / 365
    whole = used + rates.maintenance_usd_per_work_order["breakdown"] + 70.0 + pools
    assert sum(cost.values()) == pytest.approx(whole, rel=1e-12)


def test_a_step_bears_its_own_energy_and_orders_and_the_crew_that_came_for_it(site: Site, records: Records) -> None:
    cost = cost_ledger.spent(site, records)
    rates, price = site.cost_rates, site.tariff.price_at
    # The only order of the day is this step's, which draws a quarter of the energy and has no share of the line's cost.
    own = 1000.0 * (price(6) + price(20)) + rates.maintenance_usd_per_work_order["breakdown"]
    demand = 4000.0 * site.tariff.demand_usd_per_kw_month * 12 / 365
    assert cost["dry_room", DAY] == pytest.approx(own + rates.maintenance_usd_per_day + demand / 4, rel=1e-12)


def test_a_kilowatt_hour_costs_nothing_that_can_be_told_before_the_cohort_is_complete(
    site: Site, records: Records
) -> None:
    cost = cost_ledger.spent(site, records)
    told = cost_ledger.cost_per_kwh(records, cost)
    assert told["coating", DAY] == cost["coating", DAY] / 10_000
    early = replace(records, days=[{**each, "is_cohort_complete": False} for each in records.days])
    assert all(isnan(value) for value in cost_ledger.cost_per_kwh(early, cost).values())


def test_steps_that_miss_the_days_total_are_seen(site: Site, records: Records) -> None:
    cost = cost_ledger.spent(site, records)
    whole = sum(cost.values())
    right = replace(records, days=[{**each, "total_cost_usd": whole} for each in records.days])
    assert cost_ledger.missed_days(right, cost) < 1e-12
    less = {key: usd for key, usd in cost.items() if key != ("coating", DAY)}
    assert cost_ledger.missed_days(right, less) == pytest.approx(cost["coating", DAY] / whole)


@pytest.mark.parametrize(("hours", "is_of_the_day"), [(-0.1, False), (0.1, True), (23.9, True), (24.1, False)])
def test_an_order_is_of_the_production_day_in_which_it_was_opened(
    site: Site, records: Records, hours: float, is_of_the_day: bool
) -> None:
    order = {"machine_id": "dry_room_1", "type_code": "breakdown", "opened_at": BEGINS + timedelta(hours=hours)}
    cost = cost_ledger.spent(site, replace(records, orders=[order]))
    none = cost_ledger.spent(site, replace(records, orders=[]))
    own = site.cost_rates.maintenance_usd_per_work_order["breakdown"] if is_of_the_day else 0.0
    assert sum(cost.values()) - sum(none.values()) == pytest.approx(own, abs=1e-6)


def test_the_demand_charge_is_that_of_the_highest_hour_wherever_it_is_in_the_day(site: Site, records: Records) -> None:
    more = {"production_day": DAY, "step_code": "coating", "event_at": BEGINS, "energy_kwh": 500.0}
    cost = cost_ledger.spent(site, replace(records, meters=[*records.meters, more]))
    added = sum(cost.values()) - sum(cost_ledger.spent(site, records).values())
    assert added == pytest.approx(500 * (site.tariff.price_at(6) + site.tariff.demand_usd_per_kw_month * 12 / 365))


def test_a_day_whose_total_is_not_known_yet_is_not_worked_out(site: Site, records: Records) -> None:
    open_day = replace(records, days=[{**each, "total_cost_usd": None} for each in records.days])
    assert cost_ledger.spent(site, open_day) == {}
