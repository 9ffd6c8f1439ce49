"""Set-points by their worth, against plants whose effects and prices are known."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.optimizers.expected_value import MIN_UNITS, Outcome, best_move, sure_effects
from pipelines.optimizers.runs import Floats
from pipelines.optimizers.setpoint_search import Advice, Knob

KNOB = Knob(setpoint=36.0, low=24.0, high=60.0, reach=4.0, resolution=0.1)


def units(effect: float, count: int = 4000, seed: int = 0) -> tuple[Floats, Floats]:
    """Soaks that scatter around 36 h, and capacities of which an hour brings `effect`."""
    rng = np.random.default_rng(seed)
    soak = rng.normal(36, 4, (count, 1))
    return soak, 1198 + effect * (soak[:, 0] - 36) + rng.normal(0, 11, count)


def advice(effect: float, usd_per_unit: float, *, count: int = 4000, knob: Knob = KNOB, moved_h: float = 0.0) -> Advice:
    soak, capacity = units(effect, count)
    outcome = Outcome(capacity, 1175.0, np.inf, 51.0)
    since = np.full((count, 1), moved_h)
    return best_move([knob], soak, [outcome], np.array([usd_per_unit]), since=since, min_saving=0.01)


def test_only_what_is_sure_of_an_effect_counts() -> None:
    found = np.array([sure_effects(*units(0.5, seed=seed))[0] for seed in range(40)])
    assert np.mean(found <= 0.5) >= 0.9
    assert found.mean() > 0.3
    nothing = np.array([sure_effects(*units(0.0, seed=seed))[0] for seed in range(40)])
    assert np.mean(nothing == 0) >= 0.85


@pytest.mark.parametrize(("usd_per_unit", "reason"), [(0.01, "move"), (5.0, "move"), (0.11, "at_optimum")])
def test_a_set_point_goes_to_where_cost_and_misses_together_are_least(usd_per_unit: float, reason: str) -> None:
    # Around 36 h an hour takes 0.0044 x 0.5 off the share of cells below 1175 Ah: about 11 cents at 51 US$ a cell.
    found = advice(0.5, usd_per_unit, count=40000)
    assert found.reason == reason
    if reason == "move":
        assert np.sign(found.proposed - 36) == (1 if usd_per_unit < 1 else -1)
        assert found.cost_after < found.cost - 0.01
        assert abs(found.proposed - 36) <= KNOB.reach + 1e-9


def test_nothing_is_moved_without_enough_units_reach_or_beyond_what_was_seen() -> None:
    assert advice(0.5, 0.01, count=MIN_UNITS - 1).reason == "too_few"
    assert advice(0.5, 0.01, knob=Knob(36.0, 24.0, 60.0, 0.0)).reason == "wait"
    far = Knob(46.5, 24.0, 60.0, 4.0, 0.1)
    assert advice(0.5, 0.0, knob=far, moved_h=10.5).knob == -1, "hardly any cell was soaked longer than 46.5 h"


def test_what_was_moved_since_is_not_answered_twice() -> None:
    before, after = advice(0.5, 0.01), advice(0.5, 0.01, moved_h=4.0)
    assert after.cost - 36 * 0.01 < before.cost - 36 * 0.01


def test_too_much_misses_as_too_little_does_and_the_middle_is_found() -> None:
    lost = Outcome(np.array([9.0, 10.0, 11.0, 12.0]), 10.0, 11.0, 8.0).lost(np.array([0.0, 1.0, -2.0]))
    assert lost.tolist() == [4.0, 4.0, 6.0]
    soak, value = units(2.0, 40000)
    # Two hours more bring the mean to the middle of the limits, four beyond it.
    found = best_move([KNOB], soak, [Outcome(value, 1187.0, 1217.0, 51.0)], np.zeros(1), since=np.zeros((40000, 1)))
    assert (found.reason, found.proposed) == ("move", pytest.approx(38.0))
    less = best_move(
        [KNOB], soak, [Outcome(value, 1187.0, 1217.0, 51.0)], np.zeros(1), since=np.zeros((40000, 1)),
        min_saving=found.cost - found.cost_after + 0.01,
    )  # fmt: skip
    assert less.reason == "at_optimum", "a move that saves too little is none"


def test_one_set_point_is_moved_and_the_other_stays() -> None:
    soak, capacity = units(0.5, 40000)
    dose = np.random.default_rng(9).normal(5.0, 0.5, (len(soak), 1))
    moved, knobs = np.column_stack([dose, soak]), [Knob(5.0, 3.0, 7.0, 0.5, 0.01), KNOB]
    found = best_move(
        knobs, moved, [Outcome(capacity, 1175.0, np.inf, 51.0)], np.array([0.0, 0.01]), since=np.zeros(moved.shape)
    )
    # A step of both would cost the same where the other has no sure effect; the bill is of one.
    assert (found.reason, found.knob, found.proposed) == ("move", 1, pytest.approx(40.0))
    priced = best_move(
        knobs, moved, [Outcome(capacity, 1175.0, np.inf, 51.0)], np.array([2.0, 0.01]), since=np.zeros(moved.shape)
    )
    assert (priced.knob, priced.proposed) == (0, pytest.approx(4.5)), "a dose that does nothing is saved"
    assert priced.cost - priced.cost_after == pytest.approx(1.0)


def test_set_points_that_always_moved_together_teach_nothing() -> None:
    soak, capacity = units(0.5)
    assert sure_effects(np.column_stack([soak, 2 * soak]), capacity).tolist() == [0.0, 0.0]
