"""The causal links of the domain: each acts with its sign, over five seeds."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.control_plan.site import Site
from pipelines.twin.clock import season
from pipelines.twin.graph import HUMIDITY
from pipelines.twin.world import World

pytestmark = pytest.mark.slow

SEEDS = range(5)
CELLS = np.arange(6_000) * 2_311  # each of another lot


@pytest.fixture(scope="module")
def values(site: Site):
    """Standardised true values of cells of a seed."""
    worlds = {seed: World(site, seed, "baseline", 1.0) for seed in SEEDS}
    memos: dict[int, dict[str, np.ndarray]] = {seed: {} for seed in SEEDS}

    def of(seed: int, code: str) -> np.ndarray:
        world = worlds[seed]
        if code == HUMIDITY:
            days = world.course.day_of(CELLS, world.cells_per_day)
            return np.array([season(seed, world.clock, int(day), world.p).dew_point_c for day in days])
        return world.z(code, CELLS, memos[seed])

    return of


@pytest.mark.parametrize(
    ("link", "cause", "effect", "sign"),
    [
        (1, "lfp_bet_m2_g", "cathode_viscosity_mpa_s", 1),
        (2, "cathode_solids_pct", "cathode_areal_weight_g_m2", 1),
        (3, "cathode_pump_pulsation_pct", "cathode_areal_weight_g_m2", 1),
        (3, "cathode_pump_speed_ratio_pct", "cathode_areal_weight_g_m2", 1),
        (4, "cathode_areal_weight_g_m2", "capacity_ah", 1),
        (4, "cathode_areal_weight_g_m2", "negative_positive_ratio", -1),
        (4, "negative_positive_ratio", "lithium_plating", -1),
        (5, "cathode_drying_rate_index", "cathode_peel_strength_n_m", -1),
        (5, "cathode_oven_mid_temp_c", "cathode_residual_solvent_ppm", -1),
        (6, "cathode_peel_strength_n_m", "particle_count", -1),
        (6, "cathode_dust_count_m3", "k_value_mv_h", 1),
        (7, "cathode_density_g_cm3", "wetting_index", -1),
        (7, "cathode_density_g_cm3", "dcir_mohm", 1),
        (8, "cathode_edge_waviness_mm", "sheet_offset_mm", 1),
        (8, "cathode_edge_waviness_mm", "overhang_mm", -1),
        (9, "cathode_knife_km", "cathode_burr_um", 1),
        (10, "overhang_mm", "lithium_plating", -1),
        (11, "horn_weld_count", "weld_resistance_uohm", 1),
        (11, "weld_resistance_uohm", "acir_mohm", 1),
        (12, "lens_transmission_pct", "penetration_mm", 1),
        (12, "penetration_mm", "helium_leak_rate_pa_m3_s", -1),
        (13, "bake_temp_c", "bake_cathode_moisture_ppm", -1),
        (13, "bake_time_h", "bake_cathode_moisture_ppm", -1),
        (13, "bake_vacuum_pa", "bake_cathode_moisture_ppm", 1),
        (13, "bake_vacuum_pa", "bake_anode_moisture_ppm", 1),
        (13, "exposure_time_h", "bake_cathode_moisture_ppm", 1),
        (13, "bake_cathode_moisture_ppm", "first_cycle_efficiency_pct", -1),
        (13, "bake_cathode_moisture_ppm", "gas_ml_ah", 1),
        (13, "bake_cathode_moisture_ppm", "k_value_mv_h", 1),
        (14, "fill_mass_g", "capacity_ah", 1),
        (14, "fill_mass_g", "dcir_mohm", -1),
        (16, "formation_tray_temp_c", "formation_resistance_mohm", -1),
        (16, "formation_tray_temp_c", "first_cycle_efficiency_pct", 1),
        (17, "contact_resistance_mohm", "capacity_ah", -1),
        (18, "particle_count", "k_value_mv_h", 1),
        (18, "lfp_magnetic_impurity_ppm", "k_value_mv_h", 1),
        (21, "electrolyte_hf_ppm", "gas_ml_ah", 1),
        (21, "electrolyte_moisture_ppm", "gas_ml_ah", 1),
        (21, "electrolyte_hf_ppm", "k_value_mv_h", 1),
        (22, HUMIDITY, "cathode_slurry_moisture_ppm", 1),
        (22, HUMIDITY, "fill_dew_point_c", 1),
    ],
)
def test_a_cause_acts_with_the_sign_of_the_domain(values, link: int, cause: str, effect: str, sign: int) -> None:
    found = [np.corrcoef(values(seed, cause), values(seed, effect))[0, 1] for seed in SEEDS]
    assert all(sign * each > 0.02 for each in found), (link, found)


@pytest.mark.parametrize("outcome", ["capacity_ah", "ocv1_mv"])
def test_poor_wetting_widens_the_scatter(values, outcome: str) -> None:
    """Link 15: a short soak leaves dry places; capacity and OCV scatter."""
    for seed in SEEDS:
        wetting = values(seed, "wetting_index")
        dry, wet = (values(seed, outcome)[part] for part in (wetting < -1, wetting > 1))
        assert dry.std() > 1.03 * wet.std()


@pytest.mark.parametrize("seed", SEEDS)
def test_warm_grading_shows_more_capacity_than_there_is(site: Site, seed: int) -> None:
    """Link 19: 1 C shows 0.4 % more; the cell itself is the same."""
    world = World(site, seed, "baseline", 1.0)
    row, memo = site.plan.by_code["capacity_ah"], {}
    excess = world.shown(row, CELLS, memo, CELLS) - world.value(row, world.z(row.code, CELLS, memo))
    temp_c = world.value(site.plan.by_code["grading_temp_c"], world.z("grading_temp_c", CELLS, memo))
    # Within each cabinet: cyclers have errors of their own.
    cabinet = world.machine_no(row, CELLS)
    for no in np.unique(cabinet):
        excess[cabinet == no] -= excess[cabinet == no].mean()
    within = temp_c - np.array([temp_c[cabinet == no].mean() for no in cabinet])
    slope = np.polyfit(within, excess, 1)[0]
    assert slope == pytest.approx(0.004 * 1175, rel=0.35)
    assert abs(np.corrcoef(world.z(row.code, CELLS, memo), temp_c)[0, 1]) < 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drifting_cycler_shifts_one_cabinet_and_no_cell(site: Site, seed: int) -> None:
    """Link 20."""
    drifting, usual = (World(site, seed, name, 1.0) for name in ("cycler_drift", "baseline"))
    row = site.plan.by_code["capacity_ah"]
    late = CELLS[40 * usual.cells_per_day < CELLS]
    change = drifting.shown(row, late, {}, late) - usual.shown(row, late, {}, late)
    cabinet = usual.machine_no(row, late)
    assert (change[cabinet == 2] < -10).all()
    assert (change[cabinet != 2] == 0).all()
    assert (drifting.z(row.code, late, {}) == usual.z(row.code, late, {})).all()


@pytest.mark.parametrize(
    ("link", "loss", "cause", "sign"),
    [(9, "hipot", "cathode_burr_um", 1), (6, "hipot", "particle_count", 1), (10, "hipot", "overhang_mm", -1),
     (11, "weld", "weld_resistance_uohm", 1), (12, "leak", "penetration_mm", -1)],
)  # fmt: skip
def test_a_cause_raises_the_loss_at_its_step(site: Site, values, link: int, loss: str, cause: str, sign: int) -> None:
    from pipelines.twin.cells import Cells

    for seed in SEEDS:
        lost = Cells(World(site, seed, "baseline", 1.0), CELLS, np.zeros(len(CELLS))).lost(loss)
        cause_z = values(seed, cause)
        assert sign * (cause_z[lost].mean() - cause_z[~lost].mean()) > 0.1, link
