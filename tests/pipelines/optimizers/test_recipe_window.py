"""A recipe's window keeps every limit surely, ends by what is said to end it, and widens with what trials tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.optimizers.recipe_window import Fit, Limit, Line, Recipes, flow, learn, logarithm_of, solvent, window
from pipelines.optimizers.runs import Floats

LINE = Line(60.0, 8000.0, 210.0, 80.0, np.arange(60, 85.1, 0.5), np.arange(1300, 1900.1, 10), 1.35, 3.49, 0.12)
SOLVENT = Limit("residual_solvent_ppm", 400.0, True)
PEEL = Limit("peel_strength_n_m", 12.0, False)


def recipe(solids: float = 60.0, viscosity: float = 8000.0, weight: float = 210.0) -> Recipes:
    return Recipes(*(np.array([value]) for value in (solids, viscosity, weight)))


def trials(count: int, noise: float, seed: int = 1) -> tuple[Recipes, Floats, Floats, dict[str, Floats]]:
    """Runs of a line whose laws are those of the domain: flux, peel by drying rate, porosity by Meyer."""
    rng = np.random.default_rng(seed)
    many = Recipes(rng.uniform(56, 64, count), rng.uniform(5e3, 13e3, count), rng.uniform(170, 270, count))
    speed, load = rng.uniform(60, 85, count), rng.uniform(1300, 1900, count)
    of = solvent(LINE, many, speed)
    outcomes = {
        "residual_solvent_ppm": 250 * np.exp(1.6 * (of - 1) + noise * rng.normal(size=count)),
        "peel_strength_n_m": 15 * of**-0.5 * np.exp(noise * rng.normal(size=count)),
        "density_g_cm3": 3.49 * (1 - 0.12 - 0.43 * np.exp(-load / 1814)) + 0.01 * noise * rng.normal(size=count),
    }
    return many, speed, load, outcomes


def fits(count: int = 60, noise: float = 0.05) -> dict[str, Fit]:
    many, speed, load, outcomes = trials(count, noise)
    found = learn(LINE, many, speed, load, outcomes)
    assert found is not None
    return found


FITS = fits()


def test_flux_of_the_reference_is_that_of_the_domain() -> None:
    """140 g/m2 of solvent a side at 210 g/m2 and 60 % (domain 1.3); half as much again at 50 %."""
    assert solvent(LINE, recipe(), np.array([80.0]))[0] == pytest.approx(1.0)
    assert solvent(LINE, recipe(solids=50.0), np.array([80.0]))[0] * 140 == pytest.approx(210)
    assert flow(LINE, recipe(weight=252.0), np.array([40.0]))[0] == pytest.approx(0.6)


def test_the_physics_is_found_again_and_the_load_is_that_of_the_density() -> None:
    exact = fits(noise=1e-6)
    assert exact["residual_solvent_ppm"].weights == pytest.approx([np.log(250), 1.6, 0], abs=1e-3)
    told = window(LINE, exact, recipe(), 2.45, 0.05, [SOLVENT, PEEL], 0.95)
    assert told.verdict == "release"
    assert told.load_n_mm == pytest.approx(1600, abs=20)
    assert told.limited_by == "web_speed_m_min"


def test_a_heavy_wet_coat_is_slower_and_ends_where_its_solvent_stays() -> None:
    exact = fits(noise=1e-6)
    told = window(LINE, exact, recipe(solids=57.0, weight=240.0), 2.45, 0.05, [SOLVENT], 0.95)
    # 400 ppm is reached at 1 + ln(1.6) / 1.6 of today's load of solvent.
    per_speed = solvent(LINE, recipe(solids=57.0, weight=240.0), np.array([1.0]))[0]
    assert told.fastest_m_min == pytest.approx((1 + np.log(1.6) / 1.6) / per_speed, abs=0.5)
    assert told.limited_by == "residual_solvent_ppm"
    held = window(LINE, exact, recipe(solids=52.0, weight=320.0), 2.45, 0.05, [SOLVENT], 0.95)
    assert (held.verdict, held.limited_by) == ("hold", "residual_solvent_ppm")
    assert np.isnan(held.speed_m_min)


@pytest.mark.parametrize("density", [2.1, 2.75])
def test_a_density_that_no_load_brings_holds_the_recipe(density: float) -> None:
    told = window(LINE, FITS, recipe(), density, 0.05, [SOLVENT], 0.95)
    assert (told.verdict, told.limited_by) == ("hold", "line_load_n_mm")


def test_the_pump_ends_the_window_of_a_coat_that_it_cannot_feed() -> None:
    told = window(replace(LINE, most_flow=1.01), FITS, recipe(), 2.45, 0.05, [], 0.95)
    assert told.limited_by == "pump_flow"
    assert told.fastest_m_min == pytest.approx(80.5)


@given(
    solids=st.floats(56, 64),
    weight=st.floats(170, 270),
    confidence=st.floats(0.6, 0.98),
    more=st.floats(0.001, 0.019),
)
def test_who_wants_to_be_surer_never_gets_a_wider_window(
    solids: float, weight: float, confidence: float, more: float
) -> None:
    asked = recipe(solids=solids, weight=weight)
    levels = (confidence, confidence + more)
    bold, sure = (window(LINE, FITS, asked, 2.45, 0.05, [SOLVENT, PEEL], each) for each in levels)
    if sure.verdict == "release":
        assert bold.verdict == "release"
        assert sure.fastest_m_min <= bold.fastest_m_min
        assert sure.margin is not None
        assert min(sure.margin.values()) >= 0
        assert sure.fails <= 1 - (confidence + more) + 1e-9
    else:
        assert sure.fails > 1 - (confidence + more)
        assert sure.slowest_m_min <= sure.speed_m_min <= sure.fastest_m_min


def test_prediction_intervals_hold_what_they_promise() -> None:
    """A run of a line whose numbers are learnt from few trials keeps its limit with the probability that is asked."""
    kept = []
    for seed in range(300):
        many, speed, load, outcomes = trials(13, 0.1, seed)
        start = {name: values[:12] for name, values in outcomes.items()}
        found = learn(LINE, Recipes(*(each[:12] for each in vars(many).values())), speed[:12], load[:12], start)
        assert found is not None
        one, last = found["peel_strength_n_m"], many.take(12)
        terms = np.array([[1.0, np.log(solvent(LINE, last, speed[12:])[0]), np.log(last.areal_weight_g_m2[0] / 210)]])
        end = one.expected(terms) - one.margin(terms, 0.9)
        kept.append(np.log(outcomes["peel_strength_n_m"][12]) >= end[0])
    assert np.mean(kept) == pytest.approx(0.9, abs=0.05)


def test_too_few_trials_tell_nothing() -> None:
    many, speed, load, outcomes = trials(7, 0.05)
    assert learn(LINE, many, speed, load, outcomes) is None
    assert np.isfinite(logarithm_of("density_g_cm3", LINE, np.array([3.4]))).all()
