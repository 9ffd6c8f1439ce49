"""Scenarios: each does what its title says, and no more; the truth keeps what would have been."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.derive import column_of
from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.twin.graph import load_graph
from pipelines.twin.simulate import simulate
from pipelines.twin.world import World

pytestmark = pytest.mark.slow

Read = Callable[[Home, str], pd.DataFrame]


def test_each_scenario_says_what_it_is(site: Site) -> None:
    assert {
        "baseline", "bad_lfp_lot", "dryer_drift", "cold_cabinets", "electrolyte_hf", "tool_wear", "cycler_drift",
        "unit_error", "stuck_gauge", "missing_roll", "duplicated_lot",
    } <= set(load_graph(site).scenarios)  # fmt: skip
    assert all(each.title for each in load_graph(site).scenarios.values())


@pytest.mark.parametrize(
    ("name", "code", "sign", "outcome", "effect"),
    [
        ("bad_lfp_lot", "lfp_bet_m2_g", 1, "capacity_ah", -1),
        ("bad_separator_lot", "separator_pinhole_count_m2", 1, "k_value_mv_h", 1),
        ("dryer_drift", "cathode_drying_rate_index", 1, "cathode_peel_strength_n_m", -1),
        ("cold_cabinets", "formation_tray_temp_c", -1, "dcir_mohm", 1),
        ("electrolyte_hf", "electrolyte_hf_ppm", 1, "gas_ml_ah", 1),
        ("wet_dry_room", "fill_dew_point_c", 1, "first_cycle_efficiency_pct", -1),
        ("tool_wear", "horn_weld_count", 1, "acir_mohm", 1),
        ("stacker_drift", "overhang_mm", -1, "lithium_plating", 1),
    ],
)
def test_a_process_fault_acts_through_its_causes_from_its_day_on(
    site: Site, name: str, code: str, sign: int, outcome: str, effect: int
) -> None:
    usual, faulty = World(site, 2, "baseline", 1.0), World(site, 2, name, 1.0)
    begin = faulty.scenario.from_day * usual.cells_per_day
    before, after = np.arange(0, begin - 3_000, 41).astype(int), np.arange(begin + 3_000, begin + 9_000, 7).astype(int)
    for each, direction in ((code, sign), (outcome, effect)):
        assert (faulty.z(each, before, {}) == usual.z(each, before, {})).all()
        assert direction * (faulty.z(each, after, {}) - usual.z(each, after, {})).mean() > 0.02


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Callable[[str], Home]:
    def simulated(scenario: str) -> Home:
        home = Home(tmp_path_factory.mktemp(scenario))
        simulate(site, home, days=9, seed=5, scale=0.02, telemetry_days=0, scenario=scenario)
        return home

    return cache(simulated)


@pytest.mark.long
def test_faults_of_the_delivery_spoil_one_thing_and_only_on_their_day(run, delivered: Read, files) -> None:
    usual = run("baseline")
    for scenario, feed in (("missing_roll", "mes__mother_roll"), ("unit_error", "mes__filling")):
        home = run(scenario)
        ours, theirs = files(home), files(usual)
        assert {name.split("/")[0] for name in ours if ours[name] != theirs[name]} == {feed}
        assert {name[-18:] for name in ours if ours[name] != theirs[name] and "2026-09-09" not in name} == set()
    assert len(delivered(run("missing_roll"), "mes__mother_roll")) == len(delivered(usual, "mes__mother_roll")) - 1
    lots = delivered(run("duplicated_lot"), "erp__material_lot")
    twice = lots[lots.duplicated("material_lot_id", keep=False)]
    assert len(twice) == 2
    assert twice["quantity_kg"].nunique() == 2


def test_a_stuck_gauge_shows_one_value_from_its_day_on_and_spoils_nothing_else(run, site: Site, files) -> None:
    row = site.plan.by_code["cathode_areal_weight_g_m2"]
    column, ours, theirs = column_of(site, row), files(run("stuck_gauge")), files(run("baseline"))
    (spoilt,) = (name for name in ours if ours[name] != theirs[name])
    assert spoilt.startswith(f"{row.feed}/{row.feed}_2026-09-09.")
    stuck, usual = (pd.read_csv(BytesIO(each[spoilt]), compression="gzip") for each in (ours, theirs))
    of_cathode = stuck["electrode_code"] == row.variant
    assert usual.loc[of_cathode, column].nunique() >= 3
    assert set(stuck.loc[of_cathode, column]) == {row.nominal}
    # The anode has a gauge of its own, and what else is recorded of a roll comes from other ones.
    assert 0 < of_cathode.sum() < len(stuck)
    assert stuck[~of_cathode].equals(usual[~of_cathode])
    assert stuck.drop(columns=column).equals(usual.drop(columns=column))


def test_warm_grading_shows_more_capacity_than_the_cells_have(site: Site) -> None:
    usual, warm = World(site, 2, "baseline", 1.0), World(site, 2, "warm_grading", 1.0)
    row, begin = site.plan.by_code["capacity_ah"], warm.scenario.from_day * usual.cells_per_day
    before, after = np.arange(0, begin - 3_000, 41).astype(int), np.arange(begin + 3_000, begin + 9_000, 7).astype(int)
    for cells in (before, after):
        assert (warm.z(row.code, cells, {}) == usual.z(row.code, cells, {})).all()
    assert (warm.shown(row, before, {}, before) == usual.shown(row, before, {}, before)).all()
    gained_ah = warm.shown(row, after, {}, after) - usual.shown(row, after, {}, after)
    # 5 standard deviations of temperature, each of which the gauge shows as 0.08 standard deviations of capacity
    assert gained_ah.mean() == pytest.approx(5.0 * 0.08 * 11.8, rel=0.02)


def test_a_bad_lot_costs_premium_cells_and_the_truth_knows_it(tmp_path: Path, site: Site, truth: Read) -> None:
    home = Home(tmp_path)
    simulate(site, home, days=18, seed=5, scale=0.03, telemetry_days=0, scenario="bad_separator_lot")
    cells = truth(home, "cell")
    actual, would_be = (cells[column] == "A" for column in ("grade_code", "counterfactual_grade_code"))
    assert (actual & ~would_be).sum() == 0
    assert (would_be & ~actual).sum() >= 3
