"""The demo site's plan: coverage, expansion, numbers of control points, suffixes of units."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.plan import ELECTRODES, ControlPlan, Machine, position_labels
from pipelines.control_plan.site import Site
from pipelines.control_plan.units import UNITS_BY_SUFFIX, suffix_of, unit_problem

CHAIN = [
    "incoming",
    "mixing",
    "coating",
    "drying",
    "calendering",
    "slitting",
    "notching",
    "stacking",
    "hot_press",
    "hipot",
    "tab_welding",
    "sealing",
    "leak_test",
    "baking",
    "filling",
    "wetting",
    "formation",
    "degassing",
    "ageing",
    "grading",
    "module",
    "rack",
    "container",
    "dry_room",
    "utilities",
]


def test_every_step_has_characteristics(site: Site) -> None:
    assert [step.code for step in site.plan.steps] == CHAIN
    assert set(Counter(row.step for row in site.plan.rows)) == set(CHAIN)
    assert len(site.plan.rows) >= 200
    assert len(site.plan.by_code) == len(site.plan.rows)


def test_a_line_has_three_thousand_control_points_by_the_minute(site: Site) -> None:
    table = site.plan.control_points()
    feeds = Counter(table["feed"].to_pylist())
    assert 3000 <= feeds["historian__telemetry"] <= 3600
    for column in ("control_point_no", "control_point_id"):
        assert len(set(table[column].to_pylist())) == table.num_rows
    numbers = table["control_point_no"].to_pylist()
    assert numbers == sorted(numbers)
    assert numbers[0] >= 1


def test_points_are_machines_times_positions(site: Site) -> None:
    row = site.plan.by_code["cathode_oven_zone_temp_c"]
    points = [point for point in site.plan.points if point.characteristic is row]
    assert row.positions == (("zone", 12), ("side", 2))
    assert len(points) == row.position_count == 24
    assert {point.machine.id for point in points if point.machine} == {"coater_c1"}
    assert [point.position_no for point in points] == list(range(1, 25))
    assert points[1].id == "coater_c1.cathode_oven_zone_temp_c.zone01.side2"
    materials = [point for point in site.plan.points if point.characteristic.entity == "material_lot"]
    assert materials
    assert all(point.machine is None and point.id.startswith("incoming.") for point in materials)


def test_electrode_rows_come_in_pairs_with_the_same_unit(site: Site) -> None:
    """Feeds by electrode hold both under one column, so both must be there and mean the same."""
    for row in site.plan.rows:
        if row.variant in ELECTRODES:
            other = ELECTRODES[1 - ELECTRODES.index(row.variant)]
            twin = site.plan.by_code[f"{other}_{row.name}"]
            assert (twin.unit, twin.feed, twin.step, twin.type) == (row.unit, row.feed, row.step, row.type)


def test_critical_rows_are_tight_on_gauge(site: Site) -> None:
    """AIAG MSA: six gauge sigmas within 30 % of the tolerance, or no gauge to judge by."""
    for row in site.plan.rows:
        if row.lsl is not None and row.usl is not None:
            assert 6 * row.gauge_sd <= 0.301 * (row.usl - row.lsl), row.code


def test_reference_values_of_the_domain(site: Site) -> None:
    by_code = site.plan.by_code
    assert (by_code["cathode_areal_weight_g_m2"].nominal, by_code["anode_areal_weight_g_m2"].nominal) == (210, 95.6)
    assert (by_code["cathode_density_g_cm3"].nominal, by_code["anode_density_g_cm3"].nominal) == (2.45, 1.60)
    assert by_code["k_value_mv_h"].usl == 0.08
    assert by_code["capacity_ah"].lsl == site.product.nominal_capacity_ah
    assert by_code["helium_leak_rate_pa_m3_s"].usl == 1e-7
    critical = {row.code for row in site.plan.rows if row.special_class == "CC"}
    assert {"cathode_burr_um", "overhang_mm", "fill_mass_g", "helium_leak_rate_pa_m3_s"} <= critical


def test_two_points_with_one_number_are_refused(site: Site) -> None:
    row = site.plan.by_code["chiller_power_kw"]
    machine = site.machines("chiller")[0]
    same = ControlPlan(steps=site.plan.steps, rows=[row], machines=[machine, Machine(**machine.model_dump())], hash="")
    with pytest.raises(CellworksError, match="the same number"):
        _ = same.points


def test_plan_hash_is_not_the_site_hash(site: Site) -> None:
    assert len(site.hash) == len(site.plan.hash) == 64
    assert site.hash != site.plan.hash


names = st.lists(st.tuples(st.sampled_from(["zone", "side", "lane"]), st.integers(1, 12)), max_size=3)


@given(names)
def test_position_labels_are_as_many_as_the_product_all_different_and_sorted(dims: list[tuple[str, int]]) -> None:
    labels = position_labels(tuple(dims))
    size = 1
    for _, count in dims:
        size *= count
    assert len(labels) == len(set(labels)) == size
    assert labels == sorted(labels)


@given(st.sampled_from(sorted(UNITS_BY_SUFFIX)), st.from_regex(r"[a-z]{1,6}", fullmatch=True))
def test_a_name_is_read_by_its_longest_suffix(suffix: str, stem: str) -> None:
    found = suffix_of(f"{stem}_{suffix}")
    assert found is not None
    assert found.endswith(suffix)
    if found == suffix:
        for unit in UNITS_BY_SUFFIX[suffix]:
            assert unit_problem(f"{stem}_{suffix}", unit) is None
        assert unit_problem(f"{stem}_{suffix}", "furlong") is not None


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("areal_weight_g_m2", "g_m2"),
        ("viscosity_mpa_s", "mpa_s"),
        ("press_pressure_mpa", "mpa"),
        ("helium_leak_rate_pa_m3_s", "pa_m3_s"),
        ("k_value_mv_h", "mv_h"),
        ("stack_time_s_sheet", "s_sheet"),
        ("title", None),
    ],
)
def test_suffixes(name: str, suffix: str | None) -> None:
    assert suffix_of(name) == suffix
