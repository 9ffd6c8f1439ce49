"""What a view of a batch or roll may show: by the plan, what was told before it was known how the step came out."""

from __future__ import annotations

import pytest

from pipelines.control_plan.derive import characteristics
from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PROJECT, mart_models, plan_data_of
from pipelines.curation.record_views import RECORD_VIEWS, RecordView

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
# What each view is there to foretell, and what of earlier steps it has to go by.
MEASURED_LATER = {
    "slurry_batch_in_mixing": {"viscosity_mpa_s", "solids_pct", "fineness_um", "gel_index"},
    "mother_roll_in_drying": {"peel_strength_n_m", "residual_solvent_ppm", "density_g_cm3"},
    "daughter_roll_in_slitting": {"burr_um", "edge_crack_count", "dross_um", "laser_power_w"},
}
GONE_BY = {
    "slurry_batch_in_mixing": {"mixer_torque_n_m", "solvent_dose_kg", "lfp_bet_m2_g", "last_mixing_power_kw"},
    "mother_roll_in_drying": {"oven_mid_temp_c", "areal_weight_g_m2", "viscosity_mpa_s", "copper_foil_elongation_pct"},
    "daughter_roll_in_slitting": {
        "knife_km",
        "peel_strength_n_m",
        "density_g_cm3",
        "aluminium_foil_tensile_strength_mpa",
    },
}


def columns(view: RecordView) -> dict[str, str]:
    """Codes of the view, each with the column that says when it was known."""
    return {each["code"]: each["known_at"] for each in plan_data_of(SITE)["record_in"][view.name]}


@pytest.mark.parametrize("view", RECORD_VIEWS, ids=lambda view: view.name)
def test_a_view_shows_what_the_step_has_to_go_by_and_not_what_it_makes(view: RecordView) -> None:
    shown = columns(view)
    assert GONE_BY[view.name] <= shown.keys()
    assert not MEASURED_LATER[view.name] & shown.keys()
    declared = [column["name"] for column in mart_models(SITE)[view.name]["columns"]]
    assert declared == [*view.head, *shown]


@pytest.mark.parametrize("view", RECORD_VIEWS, ids=lambda view: view.name)
def test_only_what_is_told_at_once_needs_no_moment(view: RecordView) -> None:
    order = {step.code: step.order for step in SITE.plan.steps}
    unguarded = {code for code, known_at in columns(view).items() if not known_at}
    rows = [row for row in characteristics(SITE, view.feed) if row.name in unguarded]
    assert {row.name for row in rows} == unguarded
    for row in rows:
        assert row.delay_s == 0, row.code
        assert order[row.step] <= order[view.step], row.code
        assert row.type == "process" or row.step != view.step, row.code


def test_a_batch_shows_lots_that_are_mixed_and_a_slit_roll_its_foil() -> None:
    lots = plan_data_of(SITE)["record_lots"]
    assert lots["slurry_batch_in_mixing"] == ["lfp", "graphite", "carbon", "pvdf", "cmc", "sbr", "nmp"]
    assert lots["daughter_roll_in_slitting"] == ["copper_foil", "aluminium_foil"]
    assert set(lots["mother_roll_in_drying"]) == {*lots["slurry_batch_in_mixing"], *lots["daughter_roll_in_slitting"]}
