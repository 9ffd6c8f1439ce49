"""The cost ledger worked out again: from staged meters, work orders and cells, and the site's rates, in plain Python.

The engine reads what dbt booked to steps and pools. Here both are added up anew; only what was scrapped, and what was
made of a day, are taken as the marts tell them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from math import fsum
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.control_plan.site import Site
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

STEPS, DAYS = "marts.step_cost_day", "marts.kpi_day"
_DIGITS = 6  # dbt books millionths of a dollar and of a kilowatt hour
_UTC = ZoneInfo("UTC")
StepDay = tuple[str, date]
Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Records:
    """Rows of the lake.

    Attributes:
        meters: production_day, step_code, event_at (UTC) and energy_kwh of each interval.
        orders: machine_id, type_code and opened_at (UTC) of each work order.
        stacked: production_day and count of its cells.
        steps: production_day, step_code and scrap_material_cost_usd of each step and day.
        days: production_day, premium_kwh, total_cost_usd and is_cohort_complete of each day.
    """

    meters: Rows
    orders: Rows
    stacked: Rows
    steps: Rows
    days: Rows


def read(home: Home, snapshot: int) -> Records:
    """The rows as the lake had them at a snapshot."""
    with reader(home, snapshot=snapshot) as con:
        each = [
            con.execute(f"SELECT {columns} FROM lake.{table}").to_arrow_table().to_pylist()
            for columns, table in (
                ("production_day, step_code, event_at, energy_kwh", "staging.stg_ems__meter_interval"),
                ("machine_id, type_code, opened_at", "staging.stg_cmms__work_order"),
                ("production_day, count(*) AS count", "staging.stg_mes__stacking GROUP BY ALL"),
                ("production_day, step_code, scrap_material_cost_usd", STEPS),
                ("production_day, premium_kwh, total_cost_usd, is_cohort_complete", DAYS),
            )
        ]
    return Records(*each)


def spent(site: Site, records: Records) -> dict[StepDay, float]:
    """US$ that each step and day cost, of all days whose total is known."""
    known = {row["production_day"] for row in records.days if row["total_cost_usd"] is not None}
    scrapped = {(row["step_code"], row["production_day"]): row["scrap_material_cost_usd"] for row in records.steps}
    kwh, usd, peak_kw = _metered(site, records.meters)
    orders = _orders(site, records.orders)
    cells = {row["production_day"]: row["count"] for row in records.stacked}
    shares = {code: step.conversion_share for code, step in site.standard.steps.items()}
    found: dict[StepDay, float] = {}
    for day in known:
        steps = [step for step, other in scrapped if other == day]
        counts = {step: float(len(orders[step, day])) for step in steps}
        drawn = {step: kwh[step, day] for step in steps}
        pools = [(usd_of_day, shares) for usd_of_day in _by_standard(site, cells.get(day, 0))]
        pools.append((site.cost_rates.maintenance_usd_per_day, counts if any(counts.values()) else shares))
        pools.append((peak_kw[day] * site.tariff.demand_usd_per_kw_month * 12 / 365, drawn))
        for step in steps:
            own = [usd[step, day], scrapped[step, day]]
            own += [site.cost_rates.maintenance_usd_per_work_order[kind] for kind in orders[step, day]]
            own += [amount * weights.get(step, 0.0) / fsum(weights.values()) for amount, weights in pools]
            found[step, day] = fsum(own)
    return found


def cost_per_kwh(records: Records, cost_usd: Mapping[StepDay, float]) -> dict[StepDay, float]:
    """US$/kWh of each step and day; NaN while it is not known what was made of the day, or nothing was."""
    made = {row["production_day"]: row["premium_kwh"] for row in records.days if row["is_cohort_complete"]}
    return {key: usd / made[key[1]] if made.get(key[1]) else float("nan") for key, usd in cost_usd.items()}


def missed_days(records: Records, cost_usd: Mapping[StepDay, float]) -> float:
    """The largest share of a day's total, as the key figures tell it, by which its steps miss it."""
    whole = {row["production_day"]: row["total_cost_usd"] for row in records.days}
    by_day: dict[date, list[float]] = defaultdict(list)
    for (_, day), usd in cost_usd.items():
        by_day[day].append(usd)
    return max((abs(fsum(parts) - whole[day]) / whole[day] for day, parts in by_day.items()), default=float("inf"))


def _by_standard(site: Site, cells: int) -> list[float]:
    """Cost of a day that is shared by the standard's shares: labour, depreciation, overhead and consumables."""
    rates = site.cost_rates
    return [
        rates.labour_usd_per_operator_h * site.operators_per_shift * 24,
        rates.depreciation_usd_per_day,
        rates.overhead_usd_per_day,
        rates.consumables_usd_per_cell * cells,
    ]


def _metered(site: Site, meters: Rows) -> tuple[dict[StepDay, float], dict[StepDay, float], dict[date, float]]:
    """Energy and its cost by step and day, and the highest mean power of an hour of each day."""
    kwh: dict[StepDay, list[float]] = defaultdict(list)
    usd: dict[StepDay, list[float]] = defaultdict(list)
    hours: dict[tuple[date, datetime], list[float]] = defaultdict(list)
    price = cache(lambda at: site.tariff.price_at(_local(site, at).hour))
    for row in meters:
        day, at, used = row["production_day"], row["event_at"], row["energy_kwh"]
        key = row["step_code"], day
        kwh[key].append(round(used, _DIGITS))
        usd[key].append(round(used * price(at), _DIGITS))
        hours[day, at.replace(minute=0, second=0, microsecond=0)].append(round(used, _DIGITS))
    peak_kw: dict[date, float] = defaultdict(float)
    for (day, _), used in hours.items():
        peak_kw[day] = max(peak_kw[day], fsum(used))
    return _sums(kwh), _sums(usd), peak_kw


def _sums(lists: Mapping[StepDay, list[float]]) -> dict[StepDay, float]:
    return defaultdict(float, {key: fsum(values) for key, values in lists.items()})


def _orders(site: Site, orders: Rows) -> dict[StepDay, list[str]]:
    """Types of the work orders that were opened, by step of the machine and production day."""
    found: dict[StepDay, list[str]] = defaultdict(list)
    for row in orders:
        step = site.machines_by_id[row["machine_id"]].step
        opened = row["opened_at"]
        found[step, (opened + site.day_shift(opened)).date()].append(row["type_code"])
    return found


def _local(site: Site, moment: datetime) -> datetime:
    return moment.replace(tzinfo=_UTC).astimezone(site.zone)
