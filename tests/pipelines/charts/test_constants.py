"""Factors from their definitions against the printed tables."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.charts.constants import constants, d2_star

# Montgomery, Introduction to Statistical Quality Control, appendix VI.
PRINTED = {
    #   A2     A3     c4      B3     B4     d2     d3     D3     D4
    2: (1.880, 2.659, 0.7979, 0.000, 3.267, 1.128, 0.853, 0.000, 3.267),
    4: (0.729, 1.628, 0.9213, 0.000, 2.266, 2.059, 0.880, 0.000, 2.282),
    5: (0.577, 1.427, 0.9400, 0.000, 2.089, 2.326, 0.864, 0.000, 2.114),
    10: (0.308, 0.975, 0.9727, 0.284, 1.716, 3.078, 0.797, 0.223, 1.777),
    25: (0.153, 0.606, 0.9896, 0.565, 1.435, 3.931, 0.708, 0.459, 1.541),
}


@pytest.mark.parametrize("size", PRINTED)
def test_factors_are_the_printed_ones(size):
    one = constants(size)
    ours = (one.a2, one.a3, one.c4, one.b3, one.b4, one.d2, one.d3, one.big_d3, one.big_d4)
    # Printed to three digits from factors that were themselves rounded.
    assert ours == pytest.approx(PRINTED[size], abs=6e-4)


def test_ranges_of_two_and_three_have_closed_forms():
    assert constants(2).d2 == pytest.approx(2 / np.sqrt(np.pi), abs=1e-10)
    assert constants(2).d3 == pytest.approx(np.sqrt(2 - 4 / np.pi), abs=1e-10)
    assert constants(3).d2 == pytest.approx(3 / np.sqrt(np.pi), abs=1e-10)
    assert constants(2).e2 == pytest.approx(2.66, abs=5e-3)


def test_factors_of_gauge_studies_are_those_of_the_aiag():
    assert [1 / constants(trials).d2 for trials in (2, 3)] == pytest.approx([0.8862, 0.5908], abs=5e-5)
    assert [1 / d2_star(operators, 1) for operators in (2, 3)] == pytest.approx([0.7071, 0.5231], abs=5e-5)
    assert [1 / d2_star(parts, 1) for parts in (5, 10)] == pytest.approx([0.4030, 0.3146], abs=5e-5)


def test_large_subgroups_stay_sound():
    sizes = [constants(size) for size in (2, 3, 5, 10, 15, 25, 50, 100)]
    assert (np.diff([one.d2 for one in sizes]) > 0).all()
    assert (np.diff([one.d3 for one in sizes[1:]]) < 0).all()
    assert constants(100).d2 == pytest.approx(5.0152, abs=1e-4)


def test_one_value_has_no_spread():
    with pytest.raises(ValueError, match="at least 2"):
        constants(1)
