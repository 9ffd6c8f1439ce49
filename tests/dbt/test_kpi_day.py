"""marts.kpi_day beside the same figures worked out by hand from the line's records (ISO 22400-2; domain 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from pipelines.control_plan.site import load_site
from pipelines.curation import instance
from pipelines.curation.contracts import PROJECT
from pipelines.curation.report import CurateReport
from pipelines.curation.run import curate
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from tests.expectations.plants import copied

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
pytestmark = pytest.mark.slow


@dataclass
class Records:
    """What the line delivered, the newest of each key, and the mart beside it."""

    states: pd.DataFrame
    meters: pd.DataFrame
    stacked: pd.DataFrame
    graded: pd.DataFrame
    scrapped: pd.DataFrame
    orders: pd.DataFrame
    rolls: pd.DataFrame
    batches: pd.DataFrame
    materials: pd.DataFrame
    mart: pd.DataFrame


@pytest.fixture(scope="module")
def records(home: Home, run_all: Callable[[Home], list[CurateReport]]) -> Records:
    tables = (
        "staging.stg_scada__machine_state",
        "staging.stg_ems__meter_interval",
        "staging.stg_mes__stacking",
        "staging.stg_tester__grading",
        "staging.stg_mes__scrap",
        "staging.stg_cmms__work_order",
        "staging.stg_mes__mother_roll",
        "staging.stg_mes__slurry_batch",
        "staging.stg_mes__batch_material",
        "marts.kpi_day",
    )
    run_all(home)
    with reader(home) as con:
        return Records(*[con.execute(f"SELECT * FROM {table}").df() for table in tables])


def of_day(frame: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    return frame[frame["production_day"] == day]


def days_of(records: Records) -> list[pd.Timestamp]:
    return sorted(records.mart["production_day"])


def told(records: Records, day: pd.Timestamp) -> pd.Series:
    return of_day(records.mart, day).iloc[0]


def oee_by_hand(states: pd.DataFrame) -> float:
    """Actual over planned busy time and made over possible at the stackers, times the good share of each step."""
    machine = states["machine_id"].map(SITE.machines_by_id)
    at = machine.map(lambda each: each.step == "stacking")
    seconds = (states["ended_at"] - states["event_at"]).dt.total_seconds()
    runs = states["state_code"] == "Execute"
    planned = states["state_code"].map(lambda code: code not in ("Stopped", "Stopping"))
    possible = (seconds / 3600 * machine.map(lambda each: each.ideal_rate_per_h or 0.0))[at & runs].sum()
    oee = (
        seconds[at & runs].sum() / seconds[at & planned].sum() * min(1.0, states["produced_count"][at].sum() / possible)
    )
    counts_cells = machine.map(lambda each: each.is_in_oee and each.rate_unit == "cell")
    for _, step in states[counts_cells].groupby(machine.map(lambda each: each.step)):
        if step["produced_count"].sum():
            oee *= step["good_count"].sum() / step["produced_count"].sum()
    return float(oee)


def test_oee_is_what_the_states_and_counts_say(records: Records) -> None:
    for day in days_of(records):
        assert told(records, day)["oee"] == pytest.approx(oee_by_hand(of_day(records.states, day)), rel=1e-9)


def cohort(records: Records, day: pd.Timestamp) -> pd.DataFrame:
    """Cells stacked on a day: grade of the first test, grade of the last, first step that scrapped the cell."""
    cells = of_day(records.stacked, day).set_index("cell_id")[["production_day"]]
    tests = records.graded.sort_values("test_no")
    first = tests[tests["test_no"] == 1].set_index("cell_id")["grade_code"]
    last = tests.groupby("cell_id")["grade_code"].last()
    order = {step.code: step.order for step in SITE.plan.steps}
    scrap = records.scrapped[records.scrapped["entity_type_code"] == "cell"]
    scrap = scrap.assign(order=scrap["step_code"].map(order)).sort_values("order").groupby("entity_id").first()
    return cells.assign(first=first, last=last, scrapped=scrap["step_code"])


def complete_days(records: Records) -> list[pd.Timestamp]:
    """Days of whose cells at least 98 % are graded or scrapped."""
    cells = {day: cohort(records, day) for day in days_of(records)}
    return [day for day, each in cells.items() if (each["first"].notna() | each["scrapped"].notna()).mean() >= 0.98]


def test_the_premium_ratio_is_that_of_complete_cohorts_only(records: Records) -> None:
    complete = complete_days(records)
    assert 0 < len(complete) < len(days_of(records))
    # Some were lost before they could be graded, so that the two ratios differ.
    assert cohort(records, complete[0])["first"].isna().any()
    for day in days_of(records):
        row, cells = told(records, day), cohort(records, day)
        resolved = cells["first"].notna() | cells["scrapped"].notna()
        premium = int((cells["first"] == "A").sum())
        assert bool(row["is_cohort_complete"]) == (day in complete)
        if day not in complete:
            assert pd.isna(row["premium_ratio"])
            assert pd.isna(row["conversion_cost_usd_per_kwh"])
            assert pd.isna(row["throughput_kwh_per_day"])
            continue
        assert row["premium_ratio"] == pytest.approx(premium / resolved.sum(), rel=1e-12)
        assert row["throughput_kwh_per_day"] == pytest.approx(premium * SITE.product.nominal_energy_kwh, rel=1e-12)


def energy_by_hand(meters: pd.DataFrame) -> float:
    """Energy at the tariff of its local hour, and the day's share of the demand charge of its highest hour."""
    local = meters["event_at"].dt.tz_localize("UTC").dt.tz_convert(ZoneInfo(SITE.time_zone))
    price = local.dt.hour.map(SITE.tariff.price_at)
    peak_kw = meters.groupby(meters["event_at"].dt.floor("h"))["energy_kwh"].sum().max()
    return float((meters["energy_kwh"] * price).sum() + peak_kw * SITE.tariff.demand_usd_per_kw_month * 12 / 365)


def scrap_by_hand(records: Records, day: pd.Timestamp) -> float:
    """Material of the day's cells that were lost at a step or at grading, and of its lost rolls and batches."""
    rates = SITE.cost_rates
    kept = 1 - rates.scrap_recovery_ratio
    order = {step.code: step.order for step in SITE.plan.steps}
    into = {
        step: sum(usd for at, usd in rates.material_usd_per_cell.items() if order[at] <= order[step]) for step in order
    }
    cells = cohort(records, day)
    at = cells["scrapped"].where(cells["last"].isna(), other=None)
    usd = kept * sum(into[step] for step in at.dropna()) + kept * into["grading"] * int((cells["last"] == "C").sum())
    lost = records.scrapped.groupby("entity_type_code")["entity_id"].agg(set)
    rolls, batches = of_day(records.rolls, day), of_day(records.batches, day)
    rolls = rolls[rolls["mother_roll_id"].isin(lost.get("mother_roll", set()))]
    batches = batches[batches["slurry_batch_id"].isin(lost.get("slurry_batch", set()))]
    mass = records.materials.groupby("slurry_batch_id")["mass_kg"].sum()
    usd += kept * sum(
        length * rates.roll_usd_per_m[electrode]
        for length, electrode in zip(rolls["length_m"], rolls["electrode_code"], strict=True)
    )
    return usd + kept * sum(
        mass[batch] * rates.slurry_usd_per_kg[electrode]
        for batch, electrode in zip(batches["slurry_batch_id"], batches["electrode_code"], strict=True)
    )


def orders_usd(orders: pd.DataFrame, day: date) -> float:
    """Work orders opened within the production day, which begins at the site's hour."""
    local = orders["opened_at"].dt.tz_localize("UTC").dt.tz_convert(ZoneInfo(SITE.time_zone)).dt.tz_localize(None)
    begin = pd.Timedelta(hours=SITE.day_starts_at.hour, minutes=SITE.day_starts_at.minute)
    opened = orders[(local - begin).dt.date == day]
    return sum(SITE.cost_rates.maintenance_usd_per_work_order.get(kind, 0.0) for kind in opened["type_code"])


def test_conversion_cost_is_the_sum_of_its_activities_over_the_premium_energy(records: Records) -> None:
    rates, site = SITE.cost_rates, SITE
    fixed = rates.labour_usd_per_operator_h * site.operators_per_shift * 24
    fixed += rates.depreciation_usd_per_day + rates.maintenance_usd_per_day + rates.overhead_usd_per_day
    for day in days_of(records):
        row, cells = told(records, day), cohort(records, day)
        energy, scrap = energy_by_hand(of_day(records.meters, day)), scrap_by_hand(records, day)
        orders = orders_usd(records.orders, day.date())
        assert row["scrap_material_cost_usd"] == pytest.approx(scrap, rel=1e-6), day
        assert row["work_order_cost_usd"] == pytest.approx(orders), day
        total = fixed + len(cells) * rates.consumables_usd_per_cell + orders + energy + scrap
        assert row["total_cost_usd"] == pytest.approx(total, rel=1e-6), day
        if row["is_cohort_complete"]:
            premium_kwh = (cells["first"] == "A").sum() * site.product.nominal_energy_kwh
            assert row["conversion_cost_usd_per_kwh"] == pytest.approx(total / premium_kwh, rel=1e-6)
            energy_kwh = of_day(records.meters, day)["energy_kwh"].sum()
            assert row["energy_kwh_per_kwh"] == pytest.approx(energy_kwh / premium_kwh, rel=1e-6)
    assert (records.mart["scrap_material_cost_usd"] > 0).any()


@pytest.mark.long
def test_a_day_without_a_meter_record_has_no_cost_instead_of_a_low_one(
    home: Home, records: Records, tmp_path: Path
) -> None:
    day = complete_days(records)[0]
    lost = copied(home, tmp_path / "home")
    with writer(lost, why="lose the meters of a day") as con:
        con.execute("DELETE FROM lake.staging.stg_ems__meter_interval WHERE production_day = ?", [day.date()])
    for domain in ("energy", "kpi"):
        assert curate(lost, SITE, layer="marts", domain=domain, full=True).is_passed
    with reader(lost) as con:
        mart = con.execute("SELECT * FROM marts.kpi_day").df().set_index("production_day")
    instance.close(lost)
    unknown = ["energy_kwh", "energy_cost_usd", "demand_cost_usd", "total_cost_usd", "energy_kwh_per_kwh"]
    unknown += ["conversion_cost_usd_per_kwh", "conversion_cost_without_scrap_usd_per_kwh"]
    known = ["oee", "premium_ratio", "throughput_kwh_per_day", "fixed_cost_usd", "scrap_material_cost_usd"]
    assert mart.loc[day, unknown].isna().all()
    assert mart.loc[day, known].notna().all()
    assert mart.drop(index=day)["total_cost_usd"].notna().all()
