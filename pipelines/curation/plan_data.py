"""What the dbt project needs to know of a site, as plain data: the macro `site_plan()` of the project that runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from math import sqrt
from typing import Any

from pipelines.control_plan.derive import characteristics, chart_limits, column_of, raw_schema
from pipelines.control_plan.economics import CostRates, Electrode
from pipelines.control_plan.plan import ELECTRODES, Characteristic
from pipelines.control_plan.site import Site
from pipelines.control_plan.units import units_given_for

# What an electrode roll is made by, in the order of the steps; each cell has a cathode and an anode of it.
ELECTRODE_FEEDS = ("mes__slurry_batch", "mes__mother_roll", "mes__calendering", "mes__daughter_roll")
ROLL_RESULT = "lims__roll_result"
MATERIAL_RESULT = "lims__material_result"
CELL_FEEDS = (
    "mes__stacking",
    "mes__assembly",
    "mes__filling",
    "tester__formation",
    "tester__ageing",
    "tester__grading",
)

# Wide feeds whose records say how something was made or tested.
RECORD_FEEDS = ("mes__slurry_batch", "mes__mother_roll", "mes__calendering", "mes__daughter_roll", *CELL_FEEDS)
KNIFE_ROLLS = 9
# Machines of a class whose column is not called after it.
RECORDED_AS = {"bake_oven": "oven_id"}


def plan_data(site: Site) -> dict[str, Any]:
    """All that the SQL derives from the site; only str, numbers, booleans, lists and dicts."""
    return {
        "product_code": site.product.code,
        "machines": [
            {"machine_id": m.id, "machine_class": m.machine_class, "step": m.step, "line": m.line}
            for m in site.machines()
        ],
        "stackers": [{"machine_id": m.id, "line": m.line} for m in site.machines() if m.step == "stacking"],
        "time_zone": site.time_zone,
        "day_start_s": _seconds(site.day_starts_at),
        "shifts": [{"code": shift.code, "start_s": _seconds(shift.starts_at)} for shift in site.shifts],
        "feeds": {name: feed_data(site, name) for name in site.feeds},
        "steps": [
            {"code": step.code, "order": step.order, "is_facility": step.is_facility} for step in site.plan.steps
        ],
        "materials": list(site.feeds["erp__material_lot"].columns["material_code"].allowed),
        "material_order": material_order(site),
        "slurry_materials": slurry_materials(site),
        "codes": {name: codes_of(site, name) for name in (ROLL_RESULT, MATERIAL_RESULT)},
        "material_limits": material_limits(site),
        "electrode": {feed: names_of(site, feed) for feed in (*ELECTRODE_FEEDS, ROLL_RESULT)},
        "cell": cell_characteristics(site),
        "limits": {row.code: {"lsl": row.lsl, "usl": row.usl} for row in site.plan.rows if row.feed in CELL_FEEDS},
        "machine_hour": names_of(site, "historian__machine_hour"),
        "dry_room_hour": names_of(site, "ems__dry_room_hour"),
        "stacker_hour": [row.name for row in characteristics(site, "mes__stacking") if row.step == "stacking"],
        "leak_test": names_of(site, "tester__leak_test"),
        "seam": [row for row in cell_characteristics(site) if row["step"] == "sealing"],
        "web_profile": names_of(site, "mes__web_profile"),
        "mixing_moment": names_of(site, "mes__mixing_moment"),
        "sample_fineness_most": {
            row.variant: row.usl for row in characteristics(site, "lims__mixing_sample") if row.usl is not None
        },
        "knife": knife_limits(site),
        "module": names_of(site, "tester__module"),
        "container": names_of(site, "tester__container"),
        "parameters": parameter_groups(site),
        "oee": oee_data(site),
        "cost": cost_data(site),
        "grades": {
            "premium": [grade.code for grade in site.grades if grade.is_premium],
            "scrap": [grade.code for grade in site.grades if grade.is_scrap],
        },
    }


def _seconds(moment: time) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def feed_data(site: Site, name: str) -> dict[str, Any]:
    """Shape, keys, typed columns and, for a long feed, the units a characteristic may come in."""
    feed = site.feeds[name]
    columns = [{"name": column, "type": kind} for column, kind in raw_schema(site, name).items()]
    units = [row for each in characteristics(site, name) for row in _units(each)] if feed.is_long else []
    return {"shape": feed.shape, "keys": list(feed.keys), "columns": columns, "units": units}


def _units(row: Characteristic) -> list[dict[str, Any]]:
    return [
        {"code": row.code, "given": given, "unit": row.unit, "factor": factor}
        for given, factor in units_given_for(row.unit)
    ]


def names_of(site: Site, feed: str) -> list[str]:
    """Names of a feed's characteristics without the variant, each once, in the order of the plan."""
    return list(dict.fromkeys(row.name for row in characteristics(site, feed)))


def codes_of(site: Site, feed: str) -> list[dict[str, str]]:
    """Code, variant and name of each characteristic of a feed."""
    return [{"code": row.code, "variant": row.variant, "name": row.name} for row in characteristics(site, feed)]


def material_limits(site: Site) -> list[dict[str, Any]]:
    """What the plan asks of each characteristic of a material: limits, deviation of its gauge, and the spread implied.

    What it does not say is `null`, as in SQL.
    """
    found = []
    for row in characteristics(site, MATERIAL_RESULT):
        implied = chart_limits(row)
        numbers = {
            "lsl": row.lsl,
            "usl": row.usl,
            "gauge_sd": row.gauge_sd or None,
            "sigma": implied.sigma if implied else None,
        }
        said = {name: "null" if number is None else repr(number) for name, number in numbers.items()}
        found.append({"code": row.code, "material": row.variant, "unit": row.unit, **said})
    return found


def knife_limits(site: Site) -> dict[str, Any]:
    """When a slitting knife is worn out by the burr that it leaves.

    Returns:
        `rolls`: length of the moving average of the burr, as long a memory as an EWMA chart with a weight of 0.2 has
        (2 / 0.2 - 1; Montgomery 2013, chapter 9). `burr_um`: by electrode the upper control limit of that average,
        nominal + 3 sigma / sqrt(rolls), in um; an electrode whose plan implies no spread is left out.
    """
    charted = {
        row.variant: chart_limits(row) for row in characteristics(site, "mes__daughter_roll") if row.name == "burr_um"
    }
    limits = {
        electrode: chart.centre + 3 * chart.sigma / sqrt(KNIFE_ROLLS)
        for electrode, chart in charted.items()
        if chart is not None
    }
    return {"rolls": KNIFE_ROLLS, "burr_um": limits}


def cell_characteristics(site: Site) -> list[dict[str, Any]]:
    """Every characteristic that a cell carries or inherits: where the value and its known-at moment come from.

    Returns:
        One entry per column of marts.cell: code; alias and column of the joined relation it is read from;
        known_at, the column of marts.cell that says when it was known; step and its order.
    """
    order = {step.code: step.order for step in site.plan.steps}
    of_material = material_order(site)
    entries = [
        {"step": row.step, "order": of_material.get(row.variant, order[row.step]), **entry}
        for row in site.plan.rows
        for entry in _cell_entries(site, row)
    ]
    seen: dict[str, dict[str, Any]] = {}
    for entry in entries:
        seen.setdefault(entry["code"], entry)
    return list(seen.values())


def material_order(site: Site) -> dict[str, int]:
    """By material, the order of the last step of the record that takes it in: after it, its lot is the cell's."""
    order = {step.code: step.order for step in site.plan.steps}
    last: dict[str, int] = {}
    for row in site.plan.rows:
        last[row.feed] = max(order[row.step], last.get(row.feed, 0))
    found = {}
    for material in site.feeds["erp__material_lot"].columns["material_code"].allowed:
        takes_in = [feed for feed in CELL_FEEDS if f"{material}_lot_id" in site.feeds[feed].columns]
        electrode_feed = "mes__mother_roll" if material.endswith("foil") else "mes__slurry_batch"
        found[material] = last[takes_in[0] if takes_in else electrode_feed]
    return found


def slurry_materials(site: Site) -> list[str]:
    """Materials that are mixed: no foil, and taken in by no record of a cell."""
    of_cells = {column for feed in CELL_FEEDS for column in site.feeds[feed].columns}
    materials = site.feeds["erp__material_lot"].columns["material_code"].allowed
    return [name for name in materials if not name.endswith("foil") and f"{name}_lot_id" not in of_cells]


def _cell_entries(site: Site, row: Characteristic) -> list[dict[str, Any]]:
    if row.feed in CELL_FEEDS:
        known_at = f"{row.feed}_known_at"
        return [{"code": row.code, "alias": row.feed, "column": column_of(site, row), "known_at": known_at}]
    if row.feed == MATERIAL_RESULT and row.variant:
        known_at = f"{row.variant}_{row.feed}_known_at"
        return [{"code": row.code, "alias": f"lot_{row.variant}", "column": row.code, "known_at": known_at}]
    if row.feed not in (*ELECTRODE_FEEDS, ROLL_RESULT):
        return []
    variants = (row.variant,) if row.variant in ELECTRODES else ELECTRODES
    return [_electrode_entry(row, variant) for variant in variants]


def _electrode_entry(row: Characteristic, variant: str) -> dict[str, Any]:
    code = f"{variant}_{row.name}"
    known_at = f"{code}_known_at" if row.feed == ROLL_RESULT else f"{variant}_{row.feed}_known_at"
    return {"code": code, "alias": f"{variant}_roll", "column": row.name, "known_at": known_at}


def parameter_groups(site: Site) -> list[dict[str, Any]]:
    """Recipe parameters by the feed that tells them, its column of the machine, and the electrode.

    A recipe parameter is a process characteristic with a nominal value and a limit on both sides: wear has one only.
    """
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for feed in RECORD_FEEDS:
        for row in characteristics(site, feed):
            machine = _machine_column(site, row)
            if row.type != "process" or machine is None or None in (row.nominal, row.lsl, row.usl):
                continue
            electrode = row.variant if row.variant in ELECTRODES else ""
            limits = {"nominal": row.nominal, "lsl": row.lsl, "usl": row.usl}
            groups.setdefault((feed, machine, electrode), []).append(
                {"code": row.code, "column": column_of(site, row), **limits}
            )
    return [
        {"feed": feed, "machine": machine, "electrode": electrode, "parameters": parameters}
        for (feed, machine, electrode), parameters in groups.items()
    ]


def _machine_column(site: Site, row: Characteristic) -> str | None:
    """Column of a record that names the machine of a characteristic; None where the record does not tell it.

    It is called after the machine's class, or is `machine_id`: the machine of the first step that the record is of.
    """
    columns = site.feeds[row.feed].columns
    own = RECORDED_AS.get(row.machine_class, f"{row.machine_class}_id")
    if own in columns:
        return own
    first = characteristics(site, row.feed)[0].machine_class
    return "machine_id" if "machine_id" in columns and row.machine_class == first else None


def oee_data(site: Site) -> list[dict[str, Any]]:
    """Machines that count into OEE: id, step, ideal rate per hour and its unit."""
    return [
        {
            "machine_id": machine.id,
            "machine_class": machine.machine_class,
            "step": machine.step,
            "ideal_rate_per_h": machine.ideal_rate_per_h,
            "rate_unit": machine.rate_unit,
        }
        for machine in site.machines()
        if machine.is_in_oee and machine.ideal_rate_per_h
    ]


def cost_data(site: Site) -> dict[str, Any]:
    """Cost rates, tariff and the standard of the steps that a cell still has before it at formation entry."""
    rates, capacity_kwh = site.cost_rates, site.product.nominal_energy_kwh
    parts = site.standard_cost_by_step
    gathered, so_far = {}, 0.0
    for code, step in parts.items():
        material = rates.material_usd_per_cell.get(code, 0.0) * (1 - rates.scrap_recovery_ratio)
        so_far += material + capacity_kwh * sum(usd for part, usd in step.items() if part != "scrap")
        gathered[code] = round(so_far, 6)
    material, lost_material = 0.0, {}
    for each in site.plan.steps:
        material += rates.material_usd_per_cell.get(each.code, 0.0) * (1 - rates.scrap_recovery_ratio)
        lost_material[each.code] = round(material, 6)
    fixed = {
        "labour": rates.labour_usd_per_operator_h * site.operators_per_shift * 24,
        "depreciation": rates.depreciation_usd_per_day,
        "maintenance": rates.maintenance_usd_per_day,
        "overhead": rates.overhead_usd_per_day,
    }
    daily_usd = sum(fixed.values())
    return {
        "nominal_energy_kwh": capacity_kwh,
        "daily_usd": daily_usd,
        "pools": [{"code": code, "usd": usd} for code, usd in {**fixed, "consumables": 0.0, "demand": 0.0}.items()],
        "standards": [_standard(site, each.code) for each in site.plan.steps],
        "consumables_usd_per_cell": rates.consumables_usd_per_cell,
        "work_order_usd": dict(rates.maintenance_usd_per_work_order),
        "demand_usd_per_kw_month": site.tariff.demand_usd_per_kw_month,
        "retest_usd_per_cell": rates.retest_usd_per_cell,
        "b_grade_value_ratio": rates.b_grade_value_ratio,
        "tariff": [{"from_hour": p.from_hour, "usd_per_kwh": p.usd_per_kwh} for p in site.tariff.periods],
        "gathered_usd_per_cell": gathered,
        "lost_material_usd_per_cell": lost_material,
        "lost_slurry_usd_per_kg": _less_recovery(rates, rates.slurry_usd_per_kg),
        "lost_roll_usd_per_m": _less_recovery(rates, rates.roll_usd_per_m),
        "activity_usd_per_cell": _activities(site, daily_usd),
        "energy_kwh_per_cell": {
            code: round(step.energy_kwh_per_kwh * capacity_kwh, 6) for code, step in site.standard.steps.items()
        },
        "hours_drivers": _drivers(site, "h"),
        "charge_drivers": _drivers(site, "Ah"),
        "standard_to_come_usd_per_kwh": round(site.standard_cost_to_come_usd_per_kwh("formation"), 6),
        "standard_from_ageing_usd_per_kwh": round(site.standard_cost_to_come_usd_per_kwh("ageing"), 6),
    }


def _standard(site: Site, code: str) -> dict[str, Any]:
    """A step's share of fixed cost and its standard cost; a step without a standard has no share, and `null`."""
    step = site.standard.steps.get(code)
    if step is None:
        return {"code": code, "share": 0.0, "usd_per_kwh": "null"}
    usd_per_kwh = round(sum(site.standard_cost_by_step[code].values()), 9)
    return {"code": code, "share": step.conversion_share, "usd_per_kwh": usd_per_kwh}


def _less_recovery(rates: CostRates, usd: Mapping[Electrode, float]) -> dict[str, float]:
    return {electrode: round(each * (1 - rates.scrap_recovery_ratio), 6) for electrode, each in usd.items()}


def _activities(site: Site, daily_usd: float) -> dict[str, float]:
    """Standard cost of a step's people, machines and consumables, in US$ per cell that passes it."""
    standard, rates = site.standard, site.cost_rates
    per_cell = daily_usd / standard.cells_per_day + rates.consumables_usd_per_cell
    return {code: round(per_cell * step.conversion_share, 6) for code, step in standard.steps.items()}


def _drivers(site: Site, unit: str) -> dict[str, dict[str, Any]]:
    """Per step from formation on, the cell's characteristic in `unit` that drives its cost, and its nominal."""
    order = {step.code: step.order for step in site.plan.steps}
    rows = [
        row
        for row in site.plan.rows
        if row.feed in CELL_FEEDS and row.unit == unit and row.nominal and order[row.step] >= order["formation"]
    ]
    return {row.step: {"code": row.code, "nominal": row.nominal} for row in reversed(rows)}
