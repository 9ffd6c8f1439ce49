"""site.yaml and feeds.yaml: what is read, what follows from it, what is refused."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from pipelines.control_plan.economics import Standard, Tariff, standard_cost_parts
from pipelines.control_plan.errors import PlanError
from pipelines.control_plan.site import Site, load_site

DEMO = Path(__file__).parents[3] / "infra" / "sites" / "demo"


def test_demo_site_holds_the_reference_design(site: Site) -> None:
    """Domain 0.1: 1175 Ah x 3.2 V = 3.76 kWh; 1664 cells make 6.257 MWh; four stackers make 200 cells/h."""
    product = site.product
    assert product.nominal_energy_kwh == pytest.approx(3.76)
    assert product.cells_per_container == 1664
    assert product.cells_per_container * product.nominal_energy_kwh == pytest.approx(6256.6, abs=0.1)
    sheets = product.cathode_sheets + product.anode_sheets
    assert len(site.machines("stacker")) * 3600 / (sheets * product.design["stack_time_s_sheet"]) > 200


def test_hierarchy_expands_ranges_and_keeps_order(site: Site) -> None:
    cabinets = site.machines("formation_cabinet")
    assert [m.id for m in cabinets] == [f"formation_cabinet_{no:02d}" for no in range(1, 17)]
    assert {m.positions_by_name["channel"] for m in cabinets} == {132}
    assert {(m.area, m.line, m.step) for m in cabinets} == {("finishing", "L1", "formation")}
    assert site.machines_by_id["coater_a1"].variant == "anode"
    assert len({m.id for m in site.machines()}) == len(site.machines()) == sum(1 for _ in site.machines())
    assert site.machines("no_such_class") == []


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("Asia/Shanghai", "2026-02-01 21:59", "2026-02-01"),
        ("Asia/Shanghai", "2026-02-01 22:30", "2026-02-02"),
        ("Europe/Berlin", "2026-03-29 03:59", "2026-03-28"),
        ("Europe/Berlin", "2026-03-29 04:00", "2026-03-29"),
        ("Europe/Berlin", "2026-03-28 04:59", "2026-03-27"),
        ("America/New_York", "2026-01-10 10:59", "2026-01-09"),
    ],
)
def test_a_production_day_begins_at_six_by_the_sites_clock(site: Site, zone: str, moment: str, day: str) -> None:
    there = site.model_copy(update={"time_zone": zone})
    at = datetime.fromisoformat(moment)
    assert (at + there.day_shift(at)).date().isoformat() == day


def test_baseline_yield_and_energy_are_those_of_domain_1_16(site: Site) -> None:
    assert site.standard.premium_ratio == pytest.approx(0.927, abs=0.002)
    assert 20 <= sum(step.energy_kwh_per_kwh for step in site.standard.steps.values()) <= 40
    best = 1.0
    for step in site.standard.steps.values():
        best *= 1 - step.lighthouse_loss_ratio
        assert step.lighthouse_loss_ratio <= step.loss_ratio
        assert step.lighthouse_energy_kwh_per_kwh <= step.energy_kwh_per_kwh
    assert best == pytest.approx(0.976, abs=0.002)


def test_standard_cost_is_about_twelve_dollars_and_adds_up(site: Site) -> None:
    parts = site.standard_cost_usd_per_kwh
    total = sum(parts.values())
    assert total == pytest.approx(12.0, abs=0.2)
    assert set(parts) == {"labour", "energy", "depreciation", "maintenance", "consumables", "overhead", "scrap"}
    assert all(usd > 0 for usd in parts.values())
    assert sum(sum(step.values()) for step in site.standard_cost_by_step.values()) == pytest.approx(total)


def test_standard_cost_by_hand(site: Site) -> None:
    """Depreciation and energy worked out apart: rate / premium kWh, and kWh x mean price."""
    cell_yield = 1.0
    is_cell = False
    for code, step in site.standard.steps.items():
        is_cell = is_cell or code == "stacking"
        cell_yield *= 1 - step.loss_ratio if is_cell else 1
    premium_kwh = site.standard.cells_per_day * cell_yield * 3.76
    assert site.standard_cost_usd_per_kwh["depreciation"] == pytest.approx(41000 / premium_kwh)
    price = (8 * 0.048 + 2 * 0.088 + 2 * 0.132 + 4 * 0.088 + 5 * 0.132 + 3 * 0.088) / 24
    energy = sum(step.energy_kwh_per_kwh for step in site.standard.steps.values())
    assert site.standard_cost_usd_per_kwh["energy"] == pytest.approx((price + 5.8 / 730) * energy)


def test_scrap_is_the_material_lost_less_recovery(site: Site) -> None:
    """Of 100 cells of 1 kWh 10 are lost with 10 US$ in each, then 45 with 14 in each; half of it comes back."""
    step = {**site.standard.steps["stacking"].model_dump(), "energy_kwh_per_kwh": 0}
    steps = {
        "stacking": {**step, "loss_ratio": 0.1, "conversion_share": 1},
        "grading": {**step, "loss_ratio": 0.5, "conversion_share": 0},
    }
    standard = Standard(cells_per_day=100, work_orders_per_day={}, steps=steps, source_tag="C")
    changes = {"material_usd_per_cell": {"stacking": 10, "grading": 4}, "scrap_recovery_ratio": 0.5}
    rates = site.cost_rates.model_copy(update=changes)
    parts = standard_cost_parts(standard, rates, site.tariff, operators=0, capacity_kwh=1)
    assert parts["stacking"]["scrap"] == pytest.approx(10 * 10 / 2 / 45)
    assert parts["grading"]["scrap"] == pytest.approx(45 * 14 / 2 / 45)
    assert parts["stacking"]["consumables"] == pytest.approx(100 * rates.consumables_usd_per_cell / 45)


def test_cost_to_come_falls_along_the_chain(site: Site) -> None:
    steps = [step.code for step in site.plan.steps if not step.is_facility]
    to_come = [site.standard_cost_to_come_usd_per_kwh(step) for step in steps]
    assert to_come == sorted(to_come, reverse=True)
    assert 2 < site.standard_cost_to_come_usd_per_kwh("formation") < 5
    assert site.standard_cost_to_come_usd_per_kwh("module") == 0


def test_tariff_by_the_hour(site: Site) -> None:
    assert [site.tariff.price_at(hour) for hour in (0, 7, 8, 10, 12, 16, 20, 23)] == [
        0.048, 0.048, 0.088, 0.132, 0.088, 0.132, 0.132, 0.088,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="start at hour 0"):
        Tariff.model_validate({**site.tariff.model_dump(), "periods": site.tariff.model_dump()["periods"][1:]})


def test_every_action_kind_starts_as_advice_with_limits(site: Site) -> None:
    assert {"alarm", "hold_lot", "setpoint_advice", "work_order", "schedule"} <= set(site.actions)
    assert {policy.mode for policy in site.actions.values()} == {"advise"}
    assert all(0 < policy.max_per_hour <= policy.max_per_day for policy in site.actions.values())


def test_same_content_is_the_same_object_and_a_change_is_seen(copy: Path) -> None:
    first = load_site(copy)
    assert load_site(copy) is first
    path = copy / "site.yaml"
    path.write_text(path.read_text().replace("operators_per_shift: 12", "operators_per_shift: 14"))
    second = load_site(copy)
    assert (first.operators_per_shift, second.operators_per_shift) == (12, 14)
    assert first.hash != second.hash
    assert first.plan.hash == second.plan.hash


def test_loading_is_quick(copy: Path) -> None:
    """150 ms of the processor for the demo's plan; the best of three fresh readings, machines in CI are busy."""
    path, taken = copy / "site.yaml", []
    for no in range(3):
        path.write_text(path.read_text() + f"# {no}\n")
        start = time.process_time()
        load_site(copy)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.15


def test_loading_imports_nothing_heavy() -> None:
    heavy = ("pyarrow", "duckdb", "pandas", "numpy", "dagster", "mlflow", "dbt", "great_expectations")
    code = (
        "import sys; from pathlib import Path; from pipelines.control_plan import derive, site;"
        f"site.load_site(Path({str(DEMO)!r})); print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# file, text, replacement, line offset field, words of the reason
SPOILED = {
    "not yaml": ("site.yaml", "name: demo", "name: {demo]", "", "not valid YAML"),
    "key twice": ("site.yaml", "shadow_nights: 2", "shadow_nights: 2\nshadow_nights: 3", "", "is given twice"),
    "unknown key": ("site.yaml", "shadow_nights: 2", "shadow_nights: 2\nnights: 2", "nights", "not a known name"),
    "time zone": ("site.yaml", "Asia/Shanghai", "Asia/Chongking", "time_zone", "no IANA time zone"),
    "negative": ("site.yaml", "shadow_nights: 2", "shadow_nights: -1", "shadow_nights", "greater than or equal"),
    "text for number": ("site.yaml", "cells_per_day: 3510", "cells_per_day: lots", "standard.cells_per_day", "number"),
    "not a number": ("site.yaml", "cells_per_day: 3510", "cells_per_day: .nan", "standard.cells_per_day", "number"),
    "shares": ("site.yaml", "conversion_share: 0.194", "conversion_share: 0.294", "standard", "add up to 1"),
    "cron": ("site.yaml", '"0 8 * * *"', '"8 o\'clock"', "schedules", "cron expression"),
    "grade": ("site.yaml", "capacity_ah: {min: 1175}", "capacty_ah: {min: 1175}", "grades.0.limits.capacty_ah", "code"),
    "grade limits": (
        "site.yaml",
        "{min: 0.08, max: 0.12}",
        "{min: 0.8, max: 0.12}",
        "grades.0.limits.acir_mohm",
        "above",
    ),
    "mode": ("site.yaml", "alarm: {mode: advise", "alarm: {mode: shout", "actions.alarm.mode", "expected 'shadow'"),
    "machine step": (
        "site.yaml",
        "hipot_tester, step: hipot",
        "hipot_tester, step: hpot",
        "areas.2.lines.0.units.2.step",
        "unknown step",
    ),
    "machine twice": (
        "site.yaml",
        "ids: [slitter_a1], machine_class",
        "ids: [slitter_c1], machine_class",
        "areas.1.lines.0.units.7.ids",
        "there twice",
    ),
    "empty range": ("site.yaml", "stacker_1..4", "stacker_4..1", "areas.2.lines.0.units.0.ids", "empty range"),
    "sql table": (
        "site.yaml",
        "feed: cmms__work_order,",
        "feed: cmms__orders,",
        "sources.1.tables.1.feed",
        "unknown feed",
    ),
    "second drop folder": (
        "site.yaml",
        "  - name: erp\n    kind: sql\n",
        '  - {name: second, kind: drop_folder, folder: "${home}/other"}\n  - name: erp\n    kind: sql\n',
        "sources.1.kind",
        "a drop folder already",
    ),
    "feed type": (
        "feeds.yaml",
        "knife_id: {type: text}",
        "knife_id: {type: string}",
        "feeds.mes__daughter_roll.columns.knife_id.type",
        "expected",
    ),
    "feed keys": ("feeds.yaml", "keys: [mother_roll_id]", "keys: [roll_id]", "feeds.mes__mother_roll", "not columns"),
    "feed source": (
        "feeds.yaml",
        "{source: drop, format: jsonl}",
        "{source: ftp, format: jsonl}",
        "feeds.lims__certificate_document.delivery",
        "unknown source",
    ),
    "reference": (
        "feeds.yaml",
        "references: step}",
        "references: steps}",
        "feeds.mes__scrap.columns.step_code",
        "does not exist",
    ),
    "own event_at": (
        "feeds.yaml",
        "module_id: {type: text}",
        "event_at: {type: timestamp}\n      module_id: {type: text}",
        "feeds.mes__module",
        "part of every feed",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_yaml_is_refused_with_line_and_field(case: str, copy: Path) -> None:
    file, old, new, field, reason = SPOILED[case]
    text = (copy / file).read_text()
    assert old in text
    spoiled = text.replace(old, new, 1)
    (copy / file).write_text(spoiled)
    with pytest.raises(PlanError) as caught:
        load_site(copy)
    problem = caught.value.problems[0]
    assert (problem.file, problem.field) == (file, field)
    assert reason in problem.reason
    near = {spoiled.count("\n", 0, text.index(old)) + 1 + more for more in range(new.count("\n") + 1)}
    block = spoiled.splitlines()[problem.line - 1].strip()  # what concerns a block is shown at the block's key
    assert problem.line in near or block.startswith(f"{field.rpartition('.')[2]}:")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n"])
def test_yaml_that_is_no_mapping_is_refused(text: str, copy: Path) -> None:
    (copy / "site.yaml").write_text(text)
    with pytest.raises(PlanError, match="problem"):
        load_site(copy)


def test_yaml_cannot_build_objects(copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "made"
    (copy / "site.yaml").write_text(f"name: !!python/object/apply:pathlib.Path.touch [{marker}]\n")
    with pytest.raises(PlanError, match="problem") as caught:
        load_site(copy)
    assert "not valid YAML" in str(caught.value)
    assert not marker.exists()


def test_a_new_site_is_a_new_folder(copy: Path) -> None:
    """A second coater for anodes: the plan expands over it without any Python."""
    before = load_site(copy)
    path = copy / "site.yaml"
    path.write_text(path.read_text().replace("ids: [coater_a1]", "ids: [coater_a1..2]"))
    after = load_site(copy)
    gained = {p.id for p in after.plan.points} - {p.id for p in before.plan.points}
    assert gained
    assert all(identity.startswith("coater_a2.") for identity in gained)
    numbers = {p.id: p.no for p in after.plan.points}
    assert all(numbers[p.id] == p.no for p in before.plan.points)
