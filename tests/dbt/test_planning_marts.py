"""Marts of orders, stock, tariff and alarms hold what the twin delivered, one row per thing in its latest state."""

from __future__ import annotations

import sqlite3

import pandas as pd
import pytest

from pipelines.lake.connection import reader
from pipelines.lake.home import Home

pytestmark = pytest.mark.slow


def _mart(home: Home, name: str) -> pd.DataFrame:
    with reader(home) as con:
        return con.execute(f"SELECT * FROM lake.marts.{name}").df()


def _erp(home: Home, name: str) -> pd.DataFrame:
    con = sqlite3.connect(home.erp_file)
    try:
        return pd.read_sql(f"SELECT * FROM {name} ORDER BY row_no", con)
    finally:
        con.close()


def test_a_purchase_order_has_one_row_in_its_latest_state_and_its_first_moment(home: Home) -> None:
    mart, told = _mart(home, "purchase_order").set_index("purchase_order_id"), _erp(home, "erp__purchase_order")
    newest = told.groupby("purchase_order_id").last()
    assert mart.index.is_unique
    assert set(mart.index) == set(newest.index)
    assert mart["delivered_at"].isna().sum() == newest["delivered_at"].isna().sum() > 0
    placed = told[told["delivered_at"].isna()].set_index("purchase_order_id")
    both = mart.loc[placed.index]
    assert (both["first_known_at"] == pd.to_datetime(placed["known_at"], format="ISO8601")).all()
    assert (
        both.dropna(subset=["delivered_at"])["known_at"] > both.dropna(subset=["delivered_at"])["delivered_at"]
    ).all()


def test_a_customer_order_keeps_its_row(home: Home) -> None:
    mart, told = _mart(home, "customer_order"), _erp(home, "erp__customer_order")
    assert mart["quantity_cells"].sum() == told["quantity_cells"].astype(int).sum() > 0
    assert (mart["known_at"] >= mart["ordered_at"]).all()


def test_stock_is_balanced_over_production_days(home: Home) -> None:
    mart = _mart(home, "material_day").sort_values(["material_code", "production_day"])
    days = mart.groupby("material_code")["production_day"].agg(["min", "max", "count"])
    assert ((days["max"] - days["min"]).dt.days + 1 == days["count"]).all()
    step = mart.groupby("material_code")["stock_kg"].diff() - mart["received_kg"] + mart["consumed_kg"]
    assert step.dropna().abs().max() < 0.01


def test_the_tariff_reaches_two_days_beyond_what_is_known(home: Home) -> None:
    mart = _mart(home, "tariff_hour")
    ahead = mart["starts_at"].max() - mart["known_at"].max()
    assert ahead >= pd.Timedelta(hours=48)
    assert (mart["known_at"] < mart["starts_at"]).all()
    assert len(mart) == 24 * 12


def test_an_alarm_is_open_until_its_second_record_comes(home: Home) -> None:
    mart = _mart(home, "alarm")
    assert mart["alarm_id"].is_unique
    is_open = mart["returned_at"].isna()
    assert 0 < is_open.sum() < 0.1 * len(mart)
    assert (mart.loc[is_open, "known_at"] - mart.loc[is_open, "raised_at"]).max() < pd.Timedelta(minutes=1)
    assert set(mart["production_day"].dt.date) == set(_mart(home, "machine_state")["production_day"].dt.date)


def test_a_tray_that_is_still_in_the_store_has_no_end_and_a_slot_holds_one(home: Home) -> None:
    mart = _mart(home, "ageing_store_move").sort_values("put_in_at")
    is_in = mart["taken_out_at"].isna()
    assert 0 < is_in.sum() < len(mart)
    assert not mart[is_in].duplicated(["store_id", "slot_code"]).any()
    next_in = mart.groupby(["store_id", "slot_code"])["put_in_at"].shift(-1)
    assert (next_in.isna() | (next_in >= mart["taken_out_at"])).all()


def test_upkeep_is_there_with_its_history(home: Home) -> None:
    uses, stock, gauges = (_mart(home, each) for each in ("spare_part_use", "spare_part", "calibration"))
    assert set(uses["part_code"]) <= set(stock["part_code"])
    assert (stock.groupby("part_code")["counted_at"].nunique() > 20).all()
    assert gauges["calibrated_at"].max() - gauges["calibrated_at"].min() > pd.Timedelta(days=120)
    assert (gauges["due_at"] > gauges["calibrated_at"]).all()


def test_an_alarm_of_the_leak_test_is_settled_by_the_next_test_alone(home: Home) -> None:
    mart = _mart(home, "leak_test")
    again = mart[mart["test_no"] == 2].set_index("cell_id")
    first = mart[mart["test_no"] == 1].set_index("cell_id")
    alarms = first[~first["is_passed"]]
    assert set(again.index) <= set(alarms.index)
    assert len(again) > 5
    settled = alarms.loc[again.index]
    assert (settled["is_false_alarm"].astype(bool) == again["is_passed"]).all()
    assert (settled["label_known_at"] == again["known_at"]).all()
    assert first.loc[first["is_passed"], "is_false_alarm"].isna().all()


def test_a_leak_test_stands_beside_what_was_known_of_its_seam(home: Home) -> None:
    with reader(home) as con:
        seams = con.execute("SELECT cell_id, penetration_mm, known_at FROM lake.staging.stg_mes__assembly").df()
    both = _mart(home, "leak_test").merge(seams, on="cell_id", how="left", suffixes=("", "_of_seam"))
    is_known = both["known_at_of_seam"] <= both["known_at"]
    assert is_known.mean() > 0.9
    assert (both["penetration_mm"] == both["penetration_mm_of_seam"])[is_known].all()
    assert both.loc[~is_known, "penetration_mm"].isna().all()
