"""The best chart finds what can be found at its alarms, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration.evaluation.causes.best_chart import delays_at_best
from orchestration.evaluation.faults import Fault
from orchestration.evaluation.monitors import Told, judged

RUNS, LENGTH, TIMES = 400, 50, 40


def _share(shift: float, most: int, seed: int = 5) -> float:
    """Share found of jumps of so many sigma in the first of two variables, ten rows before the end of a run."""
    draw = np.random.default_rng(seed)
    x, before = draw.normal(size=(RUNS * LENGTH, 2)), np.tile(np.arange(LENGTH), RUNS)
    since_h, moved = [], []
    for run in range(TIMES):
        rows = (run + 1) * LENGTH - 10 + np.arange(10)
        hours, by = np.full(len(x), np.nan), np.zeros(x.shape)
        hours[rows], by[rows, 0] = 24.0 * np.arange(10), shift * draw.choice([-1, 1])
        since_h.append(hours)
        moved.append(by)
    counted = np.ones(len(x), dtype=bool)
    found = delays_at_best(x, before, since_h, moved, ["jump"] * TIMES, most=[most], counted=counted, horizon_h=240.0)
    return float((found[0] < 240.0).mean())


def test_large_jumps_are_all_found_and_none_of_those_that_are_nothing() -> None:
    assert _share(4.0, most=5) == 1.0
    assert _share(1e-6, most=5) == pytest.approx(0.0, abs=0.05)


def test_half_a_sigma_is_more_than_ten_rows_can_tell() -> None:
    # Neyman and Pearson: ten rows are 1.6 sigma, of which 1 of 4,000 rows' limit is 3.5: 3 % at each row, by theory.
    assert _share(0.5, most=5) < 0.3


def test_more_alarms_find_more() -> None:
    found = [_share(1.0, most=most) for most in (1, 20, 400)]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_the_best_share_is_told_and_eases_no_line() -> None:
    told = [Told(Fault("a", "m", 1, 2.0), 240.0, 240.0, False)] * 4 + [
        Told(Fault("a", "m", 1, 2.0), 1.0, 2.0, True)
    ] * 6
    found = judged(told, 1.0, 50.0, 240.0, best=np.array([[240.0] * 4 + [1.0] * 6, [240.0] * 5 + [3.0] * 5]))
    assert found.verdict == "failing"
    assert "would find 60.0%" in found.reason
    assert found.figures["found_at_best"] == 0.6
    assert found.figures["median_at_best_h"] == (240.0 + 3.0) / 2


def test_a_course_that_is_shorter_than_others_is_known_by_as_many_rows_as_it_has() -> None:
    x, before = np.random.default_rng(9).normal(size=(4000, 1)), np.tile(np.arange(20), 200)
    hours, by = np.full(4000, np.nan), np.zeros((4000, 1))
    hours[1017:1020], by[1017:1020, 0] = [0.0, 24.0, 48.0], [1.0, 3.0, 9.0]
    counted = np.ones(4000, dtype=bool)
    found = delays_at_best(x, before, [hours], [by], ["drift"], most=[400, 2], counted=counted, horizon_h=240.0)
    assert found.shape == (2, 1)
    assert found[0, 0] <= found[1, 0] <= 48.0
