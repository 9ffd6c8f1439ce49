"""`cellworks evaluate` of searches: arms are paired, what is crossed is found, the trials shipped are the twin's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from models.optimizer.bayesian_spec import Bayesian
from models.optimizer.setpoint_search import moved_of
from models.optimizer.spec import OptimizerSpec
from orchestration.catalogue import find
from orchestration.environment import default_site
from orchestration.evaluation import filling, setpoint_search, trials
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.optimizer import evaluate
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.setpoint_search import crossings
from pipelines.control_plan.site import Site, load_site
from pipelines.twin import formation_trials, laboratory
from pipelines.twin.formation_trials import FormationTrials
from pipelines.twin.laboratory import Laboratory


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(default_site())


@pytest.fixture(scope="module")
def searched(site: Site) -> Evaluation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setpoint_search, "CONTROL_DAYS", 3)
        return evaluate(find("electrode/dryer_optimizer"), Ground(site, seeds=(3001, 3003)))


def test_the_oven_is_moved_and_nothing_is_crossed(searched: Evaluation) -> None:
    assert searched.figures["crossed"] == []
    assert searched.figures["moves_a_day"] > 0
    assert all(saved > 0 for saved in searched.figures["gain_by_seed"])
    assert searched.interval is not None
    assert searched.interval[0] <= searched.figures["gain"] <= searched.interval[1]
    assert (searched.verdict == "working") == (searched.interval[0] > 0)


def test_the_moves_change_what_they_are_known_to_change_and_nothing_else(searched: Evaluation) -> None:
    means = searched.figures["mean"]
    # Cooler and less air: more solvent stays, drying is slower, and what dries slower sticks better.
    assert set(means) == {"residual_solvent_ppm", "drying_rate_index", "peel_strength_n_m"}
    assert means["drying_rate_index"]["moved"] < means["drying_rate_index"]["fixed"]
    assert means["peel_strength_n_m"]["moved"] > means["peel_strength_n_m"]["fixed"]


@pytest.mark.parametrize(
    ("value", "said"), [(109.0, "outside"), (115.5, "larger"), (116.0, ""), (117.0, "within an hour")]
)
def test_whatever_a_move_crosses_is_found(site: Site, value: float, said: str) -> None:
    spent = [-5.5] if said == "within an hour" else []
    past = pa.table(
        {"target_id": pa.array(["c"] * len(spent), pa.string()),
         "code": pa.array(["cathode_oven_mid_temp_c"] * len(spent), pa.string()),
         "at_s": pa.array([900.0] * len(spent), pa.float64()), "size": pa.array(spent, pa.float64()),
         "proposed_value": pa.array([112.5] * len(spent), pa.float64()),
         "state": pa.array(["rejected"] * len(spent), pa.string())}
    )  # fmt: skip
    found = crossings(moved_of(site, "oven_mid_temp_c", "cathode", "c", past, "test"), value, 1000.0)
    assert (not found) == (not said)
    assert all(said in text for text in found[:1])


def test_trials_are_paired_and_today_s_recipe_is_beside_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "BATCHES", 2)
    found = evaluate(find("rnd/formulation_optimizer"), Ground(site, seeds=(3001, 3002)))
    assert found.interval is not None
    assert found.value is not None
    assert found.baseline is not None
    assert found.figures["gain"] == pytest.approx(found.value - found.baseline)
    recipe = [Laboratory(site, seed) for seed in (3001, 3002)]
    assert found.figures["recipe"] == pytest.approx(np.mean([one.true(one.standard[None])[0, 3] for one in recipe]))
    assert found.figures["trials"] == 18


def test_released_recipes_run_better_where_they_are_told_to_and_cross_nothing(site: Site) -> None:
    found = evaluate(find("rnd/recipe_line_transfer"), Ground(site, seeds=(3001, 3002, 3003, 3004)))
    assert found.figures["crossed"] == []
    assert found.figures["released"] + found.figures["held"] == found.figures["recipes"]
    assert 0 < found.figures["held_in_vain"] < found.figures["held"]
    assert all(gain > 0 for gain in found.figures["gain_by_seed"])
    assert found.interval is not None
    assert (found.verdict == "working") == (found.interval[0] > 0)


def test_a_protocol_is_judged_by_the_recipe_and_by_what_the_line_may_not_cross(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "BATCHES", 1)
    spec = find("finishing/formation_protocol")
    found = evaluate(spec, Ground(site, seeds=(3001, 3002)))
    assert found.value is not None
    assert found.baseline is not None
    assert found.figures["gain"] == pytest.approx(found.baseline - found.value)
    assert found.figures["trials"] == 16
    assert found.figures["crossed"] == []
    assert isinstance(spec, OptimizerSpec)
    assert isinstance(spec.optimizer, Bayesian)
    plants = Ground(site, seeds=(1, 2))
    better = [trials.Arms(19.5, 20.5, 21.2), trials.Arms(19.6, 20.5, 21.2)]
    assert trials._judged_by_recipe(spec.optimizer, plants, better).verdict == "working"
    crossing = [better[0], trials.Arms(19.6, 20.5, 21.2, ["lithium plates"])]
    assert trials._judged_by_recipe(spec.optimizer, plants, crossing).verdict == "failing"


@pytest.mark.parametrize(
    ("solution", "place", "names", "rounded"),
    [
        ("rnd/formulation_optimizer", Laboratory, laboratory, [0.005, 0.0005, 0.5, 0.005]),
        ("finishing/formation_protocol", FormationTrials, formation_trials, [0.005, 5e-4, 0.005, 5e-4, 0.005, 0.005]),
    ],
)
def test_the_trials_that_are_shipped_are_those_of_the_twin(
    site: Site, solution: str, place: Any, names: Any, rounded: list[float]
) -> None:
    spec = find(solution)
    assert isinstance(spec, OptimizerSpec)
    assert Path(spec.table).is_absolute()
    shipped = pd.read_csv(spec.table)
    told = place(site, 1).measured(shipped[list(names.SETTINGS)].to_numpy(dtype=float), 0)
    assert (np.abs(told - shipped[list(names.RESULTS)].to_numpy()) <= np.array(rounded) + 1e-9).all()


def protocols(site: Site, seed: int = 5, **changes: float) -> dict[str, float]:
    """True results of today's protocol with some settings changed."""
    place = FormationTrials(site, seed)
    settings = [changes.get(name, value) for name, value in zip(formation_trials.SETTINGS, place.standard, strict=True)]
    return dict(zip(formation_trials.RESULTS, place.true(np.array([settings]))[0].tolist(), strict=True))


def test_dose_and_soak_are_paired_and_a_miss_that_grows_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "LEARN_DAYS", 20)
    monkeypatch.setattr(filling, "CONTROL_DAYS", 4)
    monkeypatch.setattr(filling, "EVERY_CELL", 8)
    found = evaluate(find("assembly/filling_optimizer"), Ground(site, seeds=(3001, 3002)))
    assert found.value is not None
    assert found.baseline is not None
    assert found.figures["gain"] == pytest.approx(found.baseline - found.value)
    assert found.figures["crossed"] == []
    assert 36 <= found.figures["last_setpoints"]["soak_h"] <= 60
    worse = filling.Arms(1, 18.0, 17.0, 3, {}, {"fill_mass_g": (0.0, 1.5)}, [])
    assert filling._judged(Ground(site, seeds=(1, 2)), [worse, replace(worse, seed=2)]).verdict == "failing"


def test_a_protocol_trades_hours_for_lithium_gas_and_the_margin_to_plating(site: Site) -> None:
    today = protocols(site)
    # 10 % at 0.05 C, 40 % at 0.1 C, 25 % at 0.2 C, and the pauses.
    assert today["formation_time_h"] == pytest.approx(0.1 / 0.05 + 0.4 / 0.1 + 0.25 / 0.2 + 1.25)
    assert (today["first_cycle_efficiency_pct"], today["gas_ml_ah"]) == pytest.approx((89.8, 1.6))
    faster = protocols(site, first_current_c=0.1)
    assert faster["formation_time_h"] == pytest.approx(today["formation_time_h"] - 1.0)
    assert faster["first_cycle_efficiency_pct"] < today["first_cycle_efficiency_pct"]
    assert faster["gas_ml_ah"] > today["gas_ml_ah"]
    warm, cold = protocols(site, tray_temp_c=46), protocols(site, tray_temp_c=44)
    assert warm["plating_margin_ratio"] > today["plating_margin_ratio"] > cold["plating_margin_ratio"]
    assert warm["gas_ml_ah"] > today["gas_ml_ah"]
    assert warm["first_cycle_efficiency_pct"] > cold["first_cycle_efficiency_pct"]
    plating = protocols(site, third_current_c=0.6)
    assert plating["plating_margin_ratio"] < 0
    assert plating["energy_kwh"] > today["energy_kwh"] - 0.02
    early = protocols(site, handover_soc_pct=3)
    assert early["first_cycle_efficiency_pct"] < today["first_cycle_efficiency_pct"]


def test_binder_holds_and_carbon_conducts(site: Site) -> None:
    mixes = Laboratory(site, 5)
    base = mixes.standard
    more = 0.5 * np.eye(4)
    plain, bound, conducting = mixes.true(base + np.vstack([np.zeros(4), more[0], more[1]]))
    assert plain[:3] == pytest.approx([15, 2.5, 8000])
    assert bound[0] > plain[0] > conducting[0]
    assert conducting[1] < plain[1] < bound[1]
    assert bound[2] > plain[2]
    assert plain[3] == pytest.approx(155 * (1 - 0.031))
