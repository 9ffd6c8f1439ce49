"""What follows from the plan: schemas, rules, ranges, chart limits, moves, visibility, signs."""

from __future__ import annotations

from math import isclose, sqrt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.control_plan import derive
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site


def make(**changes: object) -> Characteristic:
    fields = {
        "step": "coating", "name": "gap_um", "type": "process", "entity": "cell", "feed": "mes__stacking", "unit": "um",
        "physical_min": -1e9, "physical_max": 1e9, "sample_every": "unit", "source_tag": "E",
    }  # fmt: skip
    return Characteristic.model_validate({**fields, **changes})


def test_every_characteristic_has_a_column_and_every_feed_its_times(site: Site) -> None:
    for name, feed in site.feeds.items():
        schema = derive.raw_schema(site, name)
        assert schema["event_at"] == schema["known_at"] == "TIMESTAMP"
        assert set(feed.keys) <= schema.keys()
        for row in derive.characteristics(site, name):
            assert derive.column_of(site, row) in schema
    assert sum(len(derive.characteristics(site, name)) for name in site.feeds) == len(site.plan.rows)


def test_raw_schema_of_the_three_shapes(site: Site) -> None:
    wide = derive.raw_schema(site, "mes__calendering")
    assert list(wide)[:5] == ["mother_roll_id", "electrode_code", "machine_id", "event_at", "known_at"]
    assert wide["density_g_cm3"] == "DOUBLE"
    assert "cathode_density_g_cm3" not in wide
    long = derive.raw_schema(site, site.feeds["lims__roll_result"])
    assert (long["characteristic_code"], long["value"], long["sample_no"]) == ("VARCHAR", "DOUBLE", "INTEGER")
    assert "peel_strength_n_m" not in long
    assert derive.raw_schema(site, "historian__telemetry") == {
        "control_point_no": "INTEGER", "value": "FLOAT", "event_at": "TIMESTAMP", "known_at": "TIMESTAMP",
    }  # fmt: skip
    with pytest.raises(CellworksError, match="no such feed"):
        derive.raw_schema(site, "mes__nothing")


def test_rules_of_a_wide_feed_by_electrode(site: Site) -> None:
    rules = derive.feed_rules(site, "mes__mother_roll")
    weight = [rule for rule in rules if rule.column == "areal_weight_g_m2"]
    assert [rule.kind for rule in weight] == ["type", "finite", "range", "range"]
    assert {rule.when for rule in weight if rule.kind == "range"} == {
        ("electrode_code", "cathode"),
        ("electrode_code", "anode"),
    }
    assert [rule.column for rule in rules if rule.kind == "allowed"] == ["electrode_code"]
    (clock,) = [rule for rule in rules if rule.kind == "not_future"]
    assert (clock.column, clock.high) == ("event_at", site.future_tolerance_s)
    missing = {rule.column for rule in rules if rule.kind == "not_null"}
    assert {"mother_roll_id", "event_at", "known_at", "length_m"} <= missing
    assert "areal_weight_g_m2" not in missing


def test_rules_of_a_long_feed_bind_value_and_unit_to_the_code(site: Site) -> None:
    rules = derive.feed_rules(site, "lims__roll_result")
    codes = {row.code for row in derive.characteristics(site, "lims__roll_result")}
    assert "cathode_peel_strength_n_m" in codes
    (known,) = [rule for rule in rules if rule.kind == "allowed" and rule.column == "characteristic_code"]
    assert set(known.allowed) == codes
    for kind, column in (("range", "value"), ("allowed", "unit_code")):
        bound = {rule.when[1] for rule in rules if rule.kind == kind and rule.column == column and rule.when}
        assert bound == codes
    peel = next(rule for rule in rules if rule.column == "unit_code" and rule.code == "anode_peel_strength_n_m")
    assert peel.allowed == ("N/m",)
    solvent = next(rule for rule in rules if rule.kind == "range" and rule.code == "anode_residual_solvent_ppm")
    assert dict(solvent.units) == {"ppm": 1.0, "%": 1e4, "ppb": 1e-3}


def test_nullable_and_open_columns_get_no_rule(site: Site) -> None:
    rules = derive.feed_rules(site, "cmms__work_order")
    assert "closed_at" not in {rule.column for rule in rules if rule.kind == "not_null"}
    assert "closed_at" in {rule.column for rule in rules if rule.kind == "type"}
    states = next(r for r in derive.feed_rules(site, "scada__machine_state") if r.kind == "allowed")
    assert len(states.allowed) == 17  # PackML


def test_ranges_by_code_by_name_and_long(site: Site) -> None:
    cell = derive.expectation_ranges(site, ["cell_id", "capacity_ah", "cathode_burr_um"])
    assert {(r.column, r.when) for r in cell} == {("capacity_ah", None), ("cathode_burr_um", None)}
    by_name = derive.expectation_ranges(site, ["electrode_code", "burr_um", "knife_id"], feed="mes__daughter_roll")
    assert {(r.column, r.when, r.code) for r in by_name} == {
        ("burr_um", ("electrode_code", "cathode"), "cathode_burr_um"),
        ("burr_um", ("electrode_code", "anode"), "anode_burr_um"),
    }
    assert derive.expectation_ranges(site, ["burr_um"]) == []
    long = derive.expectation_ranges(site, ["characteristic_code", "value", "sample_no"], feed="lims__roll_result")
    assert {r.column for r in long} == {"value", "sample_no"}
    assert sum(r.column == "value" for r in long) == len(derive.characteristics(site, "lims__roll_result"))


@pytest.mark.parametrize(("special_class", "cpk"), [("", 1.33), ("SC", 1.33), ("CC", 1.67)])
def test_chart_limits_reach_just_the_cpk_of_the_class(special_class: str, cpk: float) -> None:
    row = make(nominal=10, lsl=4, usl=13, **{"class": special_class})
    limits = derive.chart_limits(row)
    assert limits is not None
    assert min(13 - 10, 10 - 4) / (3 * limits.sigma) == pytest.approx(cpk)
    assert (limits.lower, limits.upper) == pytest.approx((10 - 3 / cpk, 10 + 3 / cpk))
    # AIAG: individuals at centre +- 2.66 mean moving ranges; ranges below 3.267 of them
    mean_range = limits.mr_upper / 3.267
    assert limits.upper == pytest.approx(10 + 2.66 * mean_range, rel=1e-3)


def test_chart_limits_of_subgroups_one_sided_and_none() -> None:
    single, five = (derive.chart_limits(make(nominal=10, lsl=7, usl=13, sample_size=n)) for n in (1, 5))
    assert single is not None
    assert five is not None
    assert (single.kind, five.kind) == ("i_mr", "xbar")
    assert single.upper is not None
    assert five.upper == pytest.approx(10 + (single.upper - 10) / sqrt(5))
    upper_only = derive.chart_limits(make(nominal=2, usl=8, physical_min=0))
    assert upper_only is not None
    assert upper_only.lower is None
    middle = derive.chart_limits(make(lsl=0, usl=4))
    assert middle is not None
    assert middle.centre == 2
    assert derive.chart_limits(make(usl=8)) is None
    assert derive.chart_limits(make(nominal=8)) is None
    assert derive.chart_limits(make(nominal=8, usl=8)) is None


# a tenth of a millionth: specifications are written by hand, not in denormal numbers
finite = st.integers(-(10**12), 10**12).map(lambda n: n / 1e7)


@given(finite, finite, finite, st.sampled_from(["", "SC", "CC"]), st.integers(1, 25))
def test_chart_limits_stay_inside_specification(a: float, b: float, c: float, kind: str, n: int) -> None:
    lsl, nominal, usl = sorted((a, b, c))
    assume(lsl < usl)
    row = make(lsl=lsl, nominal=nominal, usl=usl, sample_size=n, **{"class": kind})
    limits = derive.chart_limits(row)
    assert limits is not None
    assert limits.sigma > 0
    assert limits.lower is not None
    assert limits.upper is not None
    assert limits.lower <= limits.centre <= limits.upper
    if isclose(nominal - lsl, usl - nominal) and n == 1:
        assert lsl < limits.lower or isclose(lsl, limits.lower, abs_tol=1e-6)


def test_every_class_row_of_the_demo_can_be_charted_and_moved_inside_its_limits(site: Site) -> None:
    for row in site.plan.rows:
        move = derive.setpoint_moves(row)
        assert (move is not None) == row.is_setpoint
        if move is not None:
            assert 0 < move.max_step <= move.high - move.low
            assert move.low < move.high
    assert sum(row.is_setpoint for row in site.plan.rows) >= 20
    assert all(derive.chart_limits(row) for row in site.plan.rows if row.special_class)


def test_columns_known_at_grow_along_the_chain_and_never_look_ahead(site: Site) -> None:
    chain = [step for step in site.plan.steps if not step.is_facility]
    order = {step.code: step.order for step in site.plan.steps}
    before: set[str] = set()
    for step in chain:
        known = set(derive.columns_known_at(site, "cell", step.code))
        assert before <= known
        assert all(order[site.plan.by_code[code].step] < step.order for code in known)
        before = known
    at_formation = derive.columns_known_at(site, "cell", "formation")
    assert {"lfp_bet_m2_g", "cathode_burr_um", "soak_h"} <= set(at_formation)
    assert not {"first_cycle_efficiency_pct", "capacity_ah", "k_value_mv_h", "module_capacity_ah"} & set(at_formation)


def test_columns_known_at_follow_genealogy(site: Site) -> None:
    assert set(derive.columns_known_at(site, "slurry_batch", "coating")) < set(
        derive.columns_known_at(site, "mother_roll", "grading")
    )
    entities = {site.plan.by_code[code].entity for code in derive.columns_known_at(site, "daughter_roll", "grading")}
    assert entities == {"material_lot", "slurry_batch", "mother_roll", "daughter_roll"}
    hours = derive.columns_known_at(site, "machine_hour", "utilities")
    assert "vibration_mm_s" in hours
    for entity, step in (("sheet", "coating"), ("cell", "nowhere"), ("cell", "dry_room")):
        with pytest.raises(CellworksError):
            derive.columns_known_at(site, entity, step)


def test_monotone_signs(site: Site) -> None:
    by_code = site.plan.by_code
    assert derive.monotone_sign(by_code["cathode_burr_um"], "is_premium") == -1
    assert derive.monotone_sign(by_code["hipot_insulation_gohm"], "is_premium") == 1
    assert derive.monotone_sign(by_code["vibration_mm_s"], "fails_within_24h") == 1
    assert derive.monotone_sign(by_code["cathode_burr_um"], "capacity_ah") == 0
    assert derive.monotone_sign(by_code["soak_temp_c"], "is_premium") == 0


@pytest.mark.parametrize(
    ("column", "target", "sign"),
    [
        ("vibration_mm_s", "fails_within_24h", 1),
        ("vibration_mm_s_mean_6h", "fails_within_24h", 1),
        ("vibration_mm_s_mean_24h", "fails_within_24h", 1),
        ("vibration_mm_s_slope_6h", "fails_within_24h", 0),
        ("vibration_mm_s_mean_6h", "is_premium", 0),
        ("motor_current_a_mean_6h", "fails_within_24h", 0),
        ("hours_since_failure_h", "fails_within_24h", 0),
        ("cathode_burr_um", "is_premium", -1),
    ],
)
def test_a_mean_over_hours_has_the_sign_of_its_characteristic_and_a_slope_has_none(
    site: Site, column: str, target: str, sign: int
) -> None:
    assert derive.column_sign(site.plan, column, target) == sign
