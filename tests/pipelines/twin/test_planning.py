"""Orders, purchases, stock and tariff: what was ordered follows the calendar, what comes follows the supplier."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.site import Site
from pipelines.twin.clock import DAY
from pipelines.twin.orders import customer_orders, expected_orders, tariff_hours
from pipelines.twin.purchasing import Purchasing
from pipelines.twin.world import World

LAST = 60
CELLS = 3500


@pytest.fixture(scope="module")
def world(site: Site) -> World:
    return World(site, 3, "baseline", 1.0)


@pytest.fixture(scope="module")
def bought(world: World) -> Purchasing:
    return Purchasing(world, [CELLS] * (LAST + 1))


@pytest.fixture(scope="module")
def orders(bought: Purchasing) -> pd.DataFrame:
    return pd.DataFrame(bought.orders(-150, LAST))


@pytest.fixture(scope="module")
def balance(bought: Purchasing) -> pd.DataFrame:
    return pd.DataFrame(bought.material_days(-150, LAST))


def test_fewer_orders_come_at_the_weekend_and_more_before_the_end_of_the_year(world: World) -> None:
    # Day 0 is Tuesday, 2026-09-01: day 4 is a Saturday.
    assert expected_orders(world, 4) == pytest.approx(
        world.p("orders.weekend_ratio") * expected_orders(world, 3), rel=0.01
    )
    assert expected_orders(world, 66) > 1.1 * expected_orders(world, 3)
    assert expected_orders(world, 364) == pytest.approx(
        (1 + world.p("orders.trend_per_year")) * expected_orders(world, 0), rel=0.02
    )


def test_the_line_is_ordered_what_it_can_make_in_whole_modules_and_in_time(world: World, site: Site) -> None:
    made = pd.DataFrame(customer_orders(world, -365, -1))
    product = site.product
    assert (made["quantity_cells"] % product.cells_per_module == 0).all()
    assert (made["due_s"] - made["ordered_s"]).min() >= DAY
    assert made["order_id"].is_unique
    # Half a year back, the trend has made the mean order book smaller by half of itself.
    load = world.p("orders.load_ratio") / (1 + world.p("orders.trend_per_year")) ** 0.5
    assert made["quantity_cells"].sum() / 365 / site.standard.cells_per_day == pytest.approx(load, rel=0.1)


def test_stock_is_what_was_there_and_came_less_what_was_taken_and_never_runs_out(balance: pd.DataFrame) -> None:
    for _, own in balance.groupby("material_code"):
        step = own["stock_kg"].diff() - (own["received_kg"] - own["consumed_kg"])
        assert step.dropna().abs().max() < 0.01
        assert own["stock_kg"].min() > 0


def test_what_came_in_is_what_was_ordered_and_delivered_that_day(orders: pd.DataFrame, balance: pd.DataFrame) -> None:
    came = orders.dropna(subset=["delivered_s"])
    day = np.floor(came["delivered_s"] / DAY)
    by_order = came.groupby([came["material_code"], day])["quantity_kg"].sum()
    received = balance[balance["received_kg"] > 0]
    by_day = received.set_index(["material_code", np.floor(received["event_s"] / DAY)])["received_kg"]
    assert by_day.sort_index().to_dict() == pytest.approx(by_order.sort_index().to_dict())


def test_a_drifting_supplier_comes_later_and_later_and_the_others_keep_their_promise(
    world: World, bought: Purchasing, orders: pd.DataFrame
) -> None:
    came = orders.dropna(subset=["delivered_s"]).copy()
    came["late_d"] = (came["delivered_s"] - came["promised_s"]) / DAY
    is_recent = came["ordered_s"] > 30 * DAY
    late = came[is_recent].groupby("supplier_code")["late_d"].mean()
    early = came[came["ordered_s"] < -90 * DAY].groupby("supplier_code")["late_d"].mean()
    drifts = {code: bought.drift_d(*_named(code), 45) for code in late.index}
    drifting = [code for code, days in drifts.items() if days > 2]
    assert len(drifting) >= 2
    assert sum(days > 0 for days in drifts.values()) == world.p("purchase.drift_count")
    assert (late[drifting] - early[drifting] > 1.5).all()
    steady = [code for code, days in drifts.items() if days == 0]
    assert late[steady].mean() < 0 < late[drifting].min()


def _named(supplier_code: str) -> tuple[str, int]:
    material, _, number = supplier_code.rpartition("_supplier_")
    return material, int(number) - 1


def test_an_order_is_known_when_it_is_placed_and_again_when_it_comes(orders: pd.DataFrame) -> None:
    assert (orders["known_s"] >= orders["ordered_s"]).all()
    is_open = orders["delivered_s"].isna()
    assert (orders.loc[is_open, "known_s"] == orders.loc[is_open, "first_known_s"]).all()
    assert (orders.loc[~is_open, "known_s"] > orders.loc[~is_open, "delivered_s"]).all()
    assert orders[is_open]["purchase_order_id"].is_unique
    assert orders[~is_open]["purchase_order_id"].is_unique


def test_days_one_by_one_and_at_once_are_the_same_ledger(world: World) -> None:
    counts = [3300, 3500, 2900, 3600]
    whole, grown = Purchasing(world, counts), Purchasing(world, counts[:1])
    for count in counts[1:]:
        grown.add_day(count)
    for one, other in (
        (whole.orders(0, 3), grown.orders(0, 3)),
        (whole.material_days(0, 3), grown.material_days(0, 3)),
    ):
        pd.testing.assert_frame_equal(pd.DataFrame(one), pd.DataFrame(other))


def test_the_tariff_is_the_sites_and_known_a_day_ahead_for_the_next_two_days(world: World, site: Site) -> None:
    hours = pd.concat([pd.DataFrame(tariff_hours(world, day)) for day in range(3)], ignore_index=True)
    begin, end = world.clock.bounds(0)[0], world.clock.bounds(4)[1]
    assert hours["starts_s"].tolist() == list(np.arange(begin, end, 3600))
    assert (hours["starts_s"] - hours["known_s"]).min() > DAY
    local = np.floor(world.clock.local_hour(hours["starts_s"].to_numpy()))
    assert hours["price_usd_per_kwh"].tolist() == [site.tariff.price_at(int(hour)) for hour in local]
    # The sun: cleaner at noon than at night, and about the grid's factor over days.
    carbon = hours["carbon_kg_per_kwh"]
    assert carbon[local == 12].max() < carbon[local == 0].min()
    assert carbon.mean() == pytest.approx(site.tariff.grid_kg_co2e_per_kwh, rel=0.1)
