"""Run lengths against published tables, to the digits printed there, and limits from run lengths."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.charts.rules import RULES
from pipelines.charts.run_length import (
    cusum_arl,
    cusum_decision,
    ewma_arl,
    ewma_limit,
    runs_arl,
    shewhart_arl,
    shewhart_limit,
)

SHIFTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
# Lucas and Crosier, Technometrics 24 (1982) 199; Montgomery, table 9.3.
CUSUMS = {
    (0.5, 4.0): (167.7, 74.2, 26.6, 13.3, 8.38, 4.75, 3.34, 2.19, 1.71),
    (0.5, 5.0): (465.4, 139.5, 38.0, 17.05, 10.38, 5.75, 4.01, 2.57, 2.01),
    (0.5, 4.774): (370.1, 121.6, 35.3, 16.2, 9.93, 5.52, 3.86, 2.49, 1.96),
    (0.25, 8.0): (368.4, 83.6, 28.8, 16.4, 11.39, 7.11, 5.21, 3.48, 2.67),
}
# Lucas and Saccucci, Technometrics 32 (1990) 1; Montgomery, table 9.11.
EWMAS = {
    (0.40, 3.054): (500, 223.7, 71.2, 28.4, 14.26, 5.87, 3.52, 2.02, 1.44),
    (0.25, 2.998): (500, 170.3, 48.3, 20.1, 11.14, 5.46, 3.61, 2.26, 1.73),
    (0.20, 2.962): (500, 150.2, 41.8, 18.2, 10.54, 5.50, 3.74, 2.38, 1.86),
    (0.10, 2.814): (500, 106.3, 31.3, 15.9, 10.33, 6.08, 4.36, 2.87, 2.19),
    (0.05, 2.615): (500, 84.0, 28.8, 16.4, 11.38, 7.11, 5.22, 3.50, 2.69),
    (0.10, 2.700): (369, 89.1, 28.2, 14.7, 9.73, 5.80, 4.18, 2.76, 2.14),
}
# Champ and Woodall, Technometrics 29 (1987) 393, table 1: numbers of the Western Electric rules.
RUNS = {
    (1,): 370.40,
    (1, 2): 225.44,
    (1, 3): 166.05,
    (1, 4): 152.73,
    (1, 2, 3): 132.89,
    (1, 2, 4): 122.05,
    (1, 3, 4): 105.78,
    (1, 2, 3, 4): 91.75,
}


def last_digit(printed: float) -> float:
    """Half a unit of the last printed digit, and a little."""
    digits = len(f"{printed}".partition(".")[2]) if isinstance(printed, float) else 0
    return 0.6 * 10**-digits


def western_electric(numbers):
    return [rule for rule in RULES if rule.western_electric in numbers]


@pytest.mark.parametrize(("shift", "arl"), [(0, 370.4), (0.5, 155.2), (1, 43.89), (1.5, 14.97), (2, 6.30), (3, 2.00)])
def test_shewhart(shift, arl):
    assert shewhart_arl(shift) == pytest.approx(arl, abs=last_digit(arl))


@pytest.mark.parametrize(("chart", "printed"), CUSUMS.items())
def test_cusum(chart, printed):
    for shift, arl in zip(SHIFTS, printed, strict=True):
        # The printed 1.5 is cut, not rounded, in places: a unit of the last digit.
        assert cusum_arl(shift, *chart) == pytest.approx(arl, abs=2 * last_digit(float(arl))), shift


@pytest.mark.parametrize(("decision", "arl"), [(4.0, 335.4), (5.0, 930.9)])
def test_one_side_of_a_cusum(decision, arl):
    assert cusum_arl(0.0, 0.5, decision, sides=1) == pytest.approx(arl, abs=0.06)
    assert cusum_arl(0.0, 0.5, decision) == pytest.approx(cusum_arl(0.0, 0.5, decision, sides=1) / 2)


@pytest.mark.parametrize(("chart", "printed"), EWMAS.items())
def test_ewma_with_asymptotic_limits(chart, printed):
    for shift, arl in zip(SHIFTS, printed, strict=True):
        # In control the tables round to 500.
        tolerance = 0.6 if shift == 0 else 2 * last_digit(float(arl))
        assert ewma_arl(shift, *chart) == pytest.approx(arl, abs=tolerance), shift


def test_an_ewma_without_memory_is_a_shewhart_chart():
    for shift in (0.0, 1.0, 3.0):
        for is_exact in (False, True):
            assert ewma_arl(shift, 1.0, 3.0, is_exact=is_exact) == pytest.approx(shewhart_arl(shift), rel=1e-6)


def test_exact_limits_of_an_ewma_signal_sooner():
    for shift in (0.0, 0.5, 2.0):
        exact, asymptotic = ewma_arl(shift, 0.1, 2.814, is_exact=True), ewma_arl(shift, 0.1, 2.814)
        assert 0.5 * asymptotic < exact < asymptotic
    # A first point beyond L sigma signals at once with exact limits, so a large shift is found as by a Shewhart chart.
    assert ewma_arl(5.0, 0.1, 2.814, is_exact=True) == pytest.approx(shewhart_arl(5.0, 2.814), abs=0.01)


def test_a_second_limit_beside_the_ewma_signals_sooner_than_either():
    both = ewma_arl(0.0, 0.1, 2.814, limit_sigmas=3.0)
    assert 1 / (1 / 500 + 1 / 370.4) < both < 370.4
    assert ewma_arl(0.0, 0.1, 2.814, limit_sigmas=8.0) == pytest.approx(ewma_arl(0.0, 0.1, 2.814), rel=1e-6)


@pytest.mark.parametrize(("numbers", "arl"), RUNS.items())
def test_western_electric_rules(numbers, arl):
    assert runs_arl(0.0, western_electric(numbers)) == pytest.approx(arl, abs=0.006)


def test_the_default_finds_what_the_western_electric_rules_find_with_fewer_false_signals():
    shifts = (0.0, 0.5, 1.0, 2.0, 3.0)
    default = [ewma_arl(shift, 0.1, 2.814, is_exact=True, limit_sigmas=3.0) for shift in shifts]
    rules = [runs_arl(shift, western_electric([1, 2, 3, 4])) for shift in shifts]
    # As the reference page shows them; simulation holds both in test_kernel.py.
    assert default == pytest.approx([222, 26.8, 7.99, 2.62, 1.50], rel=3e-3)
    assert rules == pytest.approx([91.75, 27.3, 9.22, 3.13, 1.67], rel=3e-3)


def test_rule_1_alone_is_a_shewhart_chart_at_every_shift():
    for shift in SHIFTS:
        assert runs_arl(shift, western_electric([1])) == pytest.approx(shewhart_arl(shift))


def test_nine_on_a_side_is_a_run_of_a_fair_coin():
    assert runs_arl(0.0, [rule for rule in RULES if rule.name == "nine_on_a_side"]) == pytest.approx(2**9 - 1)


def test_runs_of_other_forms_have_no_chain():
    with pytest.raises(ValueError, match="exact"):
        runs_arl(0.0, [rule for rule in RULES if rule.name == "fourteen_alternating"])


@pytest.mark.parametrize("arl", [100.0, 370.4, 43_200.0])
def test_a_limit_gives_the_run_length_that_it_was_asked_for(arl):
    assert shewhart_arl(0.0, shewhart_limit(arl)) == pytest.approx(arl)
    assert cusum_arl(0.0, 0.5, cusum_decision(arl, 0.5)) == pytest.approx(arl, rel=1e-6)
    assert ewma_arl(0.0, 0.1, ewma_limit(arl, 0.1)) == pytest.approx(arl, rel=1e-6)
    exact = ewma_limit(arl, 0.2, is_exact=True, limit_sigmas=4.5)
    assert ewma_arl(0.0, 0.2, exact, is_exact=True, limit_sigmas=4.5) == pytest.approx(arl, rel=1e-6)


def test_limits_are_those_of_the_tables():
    assert shewhart_limit(370.4) == pytest.approx(3.0, abs=1e-4)
    assert cusum_decision(465.4, 0.5) == pytest.approx(5.0, abs=1e-3)
    assert cusum_decision(930.9, 0.5, sides=1) == pytest.approx(5.0, abs=1e-3)
    assert ewma_limit(500, 0.05) == pytest.approx(2.615, abs=1e-3)


def test_a_run_length_that_no_limit_gives_is_refused():
    with pytest.raises(ValueError, match="as seldom"):
        ewma_limit(1000.0, 0.1, limit_sigmas=3.0)
    with pytest.raises(ValueError, match="as often"):
        cusum_decision(1.1, 0.5)


def test_run_lengths_fall_as_the_shift_grows():
    shifts = (0.0, 0.5, 1.0, 2.0, 4.0)
    charts = [
        lambda shift: cusum_arl(shift, 0.5, 5.0),
        lambda shift: ewma_arl(shift, 0.1, 2.7, limit_sigmas=3.5, is_exact=True),
        lambda shift: runs_arl(shift, western_electric([1, 2, 3, 4])),
    ]
    for chart in charts:
        lengths = [chart(shift) for shift in shifts]
        assert (np.diff(lengths) < 0).all()
        assert chart(-1.0) == pytest.approx(chart(1.0), rel=1e-6)
