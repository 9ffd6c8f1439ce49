"""Which move is worth it now, against every plan of two moves tried out one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.optimizers.lookahead import Able, plan
from pipelines.optimizers.runs import Floats


def within(step: float, gap: int = 1, moves: int = 2) -> Able:
    """Any move of at most a step, now and later."""
    return Able(lambda wanted: np.clip(wanted, -step, step), lambda _, wanted: np.clip(wanted, -step, step), gap, moves)


def cost(off: Floats, first: float, second: float, at: int, price: float) -> float:
    shift = np.where(np.arange(len(off)) < at, first, first + second)
    return float(((off + shift) ** 2).sum()) + price * ((first != 0) + (second != 0))


@given(off=st.lists(st.floats(-3, 3), min_size=1, max_size=8), price=st.floats(0, 3), moves=st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_no_plan_costs_less_than_nothing_saves_and_none_promises_more_than_there_is(
    off: list[float], price: float, moves: int
) -> None:
    runs = np.array(off)
    found = plan(runs, 1.0, price, within(0.5, moves=moves))
    sizes = np.linspace(-0.5, 0.5, 21)
    tried = (
        cost(runs, first, second, at, price)
        for first, second, at in product(sizes, sizes, range(1, len(off) + 1))
        if moves == 2 or first == 0 or second == 0
    )
    assert found.saving >= 0
    assert abs(found.move) <= 0.5
    assert found.saving <= float((runs**2).sum()) - min(tried) + 0.4


def test_a_batch_that_is_off_is_answered_and_the_way_back_is_in_the_bill() -> None:
    batch = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert plan(batch, 1.0, 1.0, within(0.5)).move == pytest.approx(-0.5)
    assert plan(batch, 1.0, 1.2, within(0.5)).move == 0.0, "there and back cost 2.4, the three runs save 2.25"
    alone = plan(batch, 1.0, 0.2, within(0.5, moves=1))
    assert alone.move == pytest.approx(-0.375), "without a way back a smaller move is best over all of them"


def test_where_only_one_move_is_left_it_is_kept_for_the_larger_deviation() -> None:
    off = np.array([0.4, 0.4, -3.0, -3.0, -3.0, -3.0])
    found = plan(off, 1.0, 0.1, within(0.5, moves=1))
    assert found.move == 0.0
    assert found.saving == pytest.approx(4 * (3.0**2 - 2.5**2) - 0.1)
    assert plan(off[:2], 1.0, 0.1, within(0.5, moves=1)).move == pytest.approx(-0.4)
