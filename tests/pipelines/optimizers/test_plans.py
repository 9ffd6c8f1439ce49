"""Every kind of plan beside all plans there are, on small cases: proven best and within its limits."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.control_plan.errors import CellworksError
from pipelines.optimizers.cutting import CUTTING, Cutting, stretches
from pipelines.optimizers.load_shift import LOAD_SHIFT, Load
from pipelines.optimizers.matching import MATCHING, Cells
from pipelines.optimizers.sequencing import SEQUENCING, Orders, timed
from pipelines.optimizers.slotting import SLOTTING, Slotting, relocations
from pipelines.optimizers.stocking import STOCKING, Stocking
from pipelines.optimizers.weigh import Way, weigh

few = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 10_000)


def best_of(way: Way[Any, Any], problem: Any, plans: Iterable[Any]) -> float:
    """Cost of the best plan of all that keep the limits."""
    return min(way.cost(problem, plan) for plan in plans if not way.faults(problem, plan))


def judged(way: Way[Any, Any], problem: Any, plans: Iterable[Any], tolerance: float = 1e-6) -> None:
    found = weigh(way, problem, 5.0)
    best = best_of(way, problem, plans)
    assert found.faults == []
    assert found.cost == pytest.approx(best, abs=tolerance)
    assert found.bound == pytest.approx(best, abs=tolerance)
    if not way.faults(problem, found.rule):
        assert found.cost <= found.rule_cost + 1e-9


@few
@given(seeds)
def test_rolls_are_cut_with_the_least_left_over(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = Cutting(rng.uniform(60, 400, 2), np.array([7, 4, 2]), rng.integers(0, 4, 3), 18.5, 6.0)
    counts = [range(n + 1) for n in problem.need]
    one = list(product(*counts))
    judged(CUTTING, problem, (np.array(pair) for pair in product(one, one)))


def test_only_what_is_clean_is_cut() -> None:
    marks = np.array([[50.0, 60.0], [55.0, 70.0], [0.0, 5.0], [95.0, 120.0]])
    assert stretches(100.0, marks).tolist() == [[5.0, 50.0], [70.0, 95.0]]
    assert stretches(100.0, np.zeros((0, 2))).tolist() == [[0.0, 100.0]]
    assert len(stretches(100.0, np.array([[-1.0, 101.0]]))) == 0


@few
@given(seeds)
def test_cells_of_a_module_are_as_alike_as_can_be(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = Cells(np.round(rng.normal(size=(8, 2)), 3), 4)
    groups = (np.array([0, *bits]) for bits in product((0, 1), repeat=7))
    judged(MATCHING, problem, groups, tolerance=0.01)


@few
@given(seeds)
def test_many_cells_are_never_grouped_worse_than_they_come_and_never_below_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = Cells(rng.normal(size=(36, 3)), 12)
    found = weigh(MATCHING, problem, 0.05)
    assert found.faults == []
    assert 0 < found.bound <= found.cost <= found.rule_cost


@few
@given(seeds)
def test_trays_are_put_where_least_is_driven_and_moved_aside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    deep = 1 + seed % 2
    behind = np.where(rng.random(4) < 0.5, rng.uniform(0, 9, 4), np.nan)
    full = ~np.isnan(behind) & (rng.random(4) < 0.3)
    problem = Slotting(np.round(rng.uniform(1, 20, 4), 2), behind, full, rng.uniform(0, 9, 3), 10.0, deep)
    if problem.places.sum() >= 3:
        judged(SLOTTING, problem, (np.array(lanes) for lanes in product(range(4), repeat=3)))


def test_a_tray_in_front_that_is_due_later_is_moved_aside() -> None:
    store = Slotting(
        np.array([1.0, 2.0]), np.array([5.0, np.nan]), np.array([False, False]), np.array([6.0, 4.0, 3.0]), 9.0
    )
    assert relocations(store, np.array([0, 1, 1])) == 1  # due 6 before 5; 4 behind and 3 in front leave freely
    assert relocations(store, np.array([1, 0, 1])) == 0


@few
@given(seeds)
def test_orders_are_made_in_the_best_sequence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = Orders(
        rng.integers(1, 60, (4, 2)), rng.integers(-20, 150, 4), rng.integers(1, 9, 4), rng.integers(0, 2, 4),
        np.array([15, 30]), 3.0,
    )  # fmt: skip
    judged(SEQUENCING, problem, (timed(problem, np.array(sequence)) for sequence in permutations(range(4))), 0.03)


def test_a_step_that_makes_two_orders_at_once_is_found() -> None:
    orders = Orders(
        np.array([[10, 5], [10, 5]]), np.array([0, 0]), np.array([1, 1]), np.array([0, 1]), np.array([4, 2]), 1.0
    )
    good = timed(orders, np.array([0, 1]))
    assert good.tolist() == [[0, 10], [14, 24]]
    assert SEQUENCING.faults(orders, good) == []
    assert SEQUENCING.faults(orders, np.array([[0, 10], [13, 24]]))  # no time for the set-up
    assert SEQUENCING.faults(orders, np.array([[0, 9], [14, 24]]))  # at two steps at once


def load(seed: int) -> Load:
    rng = np.random.default_rng(seed)
    return Load(
        np.array([0, 0, 1]), np.array([4, 4, 4]), rng.integers(1, 4, 3), np.array([1.0, 2.0]),
        rng.uniform(0.05, 0.2, 6), rng.uniform(2, 6, 6), np.full(6, 4), 13.0, 6.5, 0.1,
    )  # fmt: skip


@few
@given(seeds)
def test_charges_start_when_they_cost_least(seed: int) -> None:
    problem = load(seed)
    plans = [np.array(starts) for starts in product(range(5), range(5), range(1, 5))]
    if any(not LOAD_SHIFT.faults(problem, plan) for plan in plans):
        judged(LOAD_SHIFT, problem, plans, 1e-3)


def test_a_load_that_cannot_be_kept_is_told() -> None:
    problem = load(1)
    tight = Load(**{**vars(problem), "limit_kw": 5.0})
    with pytest.raises(CellworksError, match="no plan keeps the limits"):
        weigh(LOAD_SHIFT, tight, 1.0)


@few
@given(seeds)
def test_parts_are_stocked_up_to_the_cheapest_levels_that_the_budget_allows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = Stocking(
        rng.poisson(4, 3).astype(float), 100.0, rng.uniform(3, 40, 3), 7.0, np.round(rng.uniform(20, 300, 3), 2),
        rng.integers(0, 3, 3), 0.2, 500.0, 800.0, 2,
    )  # fmt: skip
    judged(STOCKING, problem, (np.array(levels) for levels in product(range(9), repeat=3)), 0.05)


def test_the_level_without_a_budget_is_the_newsvendors() -> None:
    """The critical ratio (Arrow et al. 1951): stock until one more is needed too seldom for what holding it costs."""
    from scipy.stats import nbinom

    problem = Stocking(
        np.array([12.0]), 180.0, np.array([20.0]), 7.0, np.array([400.0]), np.array([0]), 0.2, 900.0, 1e6, 3
    )
    level = int(weigh(STOCKING, problem, 1.0).plan[0])
    over_d, holding = 27.0, 0.2 * 400.0
    short = 900.0 * 365 / over_d
    needed = nbinom(12.5, 180 / (180 + over_d))
    assert needed.cdf(level) >= short / (short + holding) > needed.cdf(level - 1)


def test_the_same_problem_has_the_same_plan() -> None:
    rng = np.random.default_rng(5)
    problem = Cells(rng.normal(size=(48, 3)), 12)
    first, second = (weigh(MATCHING, problem, 0.3).plan for _ in range(2))
    assert np.array_equal(first, second)
