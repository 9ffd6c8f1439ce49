"""The run-to-run controller against plants whose answer is known: what it never crosses, and when it arrives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.optimizers.loop import Course, Deliveries, close_loop, fit
from pipelines.optimizers.run_to_run import Advice, Guards, Law, Tuning, decide, learn
from pipelines.optimizers.runs import Feed, Floats, Moves, Runs, next_items

CYCLE_S = 2700.0
NO_FEED = Feed(np.zeros(0), np.zeros(0), np.zeros((0, 1)), np.zeros(0))
WIDE = Guards(low=-1e6, high=1e6, step=1e6, rate_per_h=1e9)


def runs(count: int, measured: Any = 0.0) -> Runs:
    """Runs one cycle apart, known a minute after they ended, at set-point 0; nobody knows what they are made of."""
    at_s: Floats = CYCLE_S * np.arange(1, count + 1, dtype=np.float64)
    flat = np.zeros(count)
    return Runs(at_s, at_s + 60.0, flat + measured, flat.copy(), flat.copy(), np.full(count, -1))


def law(gain: float = 1.0, **changes: Any) -> Law:
    made = Law(gain, gain, gain, 0.0, 0.0, 0.0, 0.1, np.zeros(1), np.zeros(1), 1.0, 3, CYCLE_S, 300.0)
    return replace(made, **changes)


def told(measured: Any = 0.0, *, guards: Guards = WIDE, moves: Moves | None = None, age_s: float = 60.0) -> Advice:
    """Advice after forty runs; the last measured values may be given."""
    past = runs(40)
    last = np.atleast_1d(np.asarray(measured, dtype=float))
    past.measured[:] = 1e-3 * np.sin(np.arange(40))
    past.measured[40 - len(last) :] = last
    now_s = float(past.at_s[-1]) + age_s
    return decide(law(), Tuning(0.0, 0.5), guards, now_s, past, NO_FEED, moves or Moves.none(), 0.0)


def looped(ratio: float, weight: float, dead_runs: int, offset: float, guards: Guards, count: int = 200) -> Course:
    """The loop over a plant that answers `ratio` times as much as is believed, off target by `offset`."""
    plan = runs(count, offset)
    late = dead_runs * CYCLE_S + 120.0
    return close_loop(
        plan,
        NO_FEED,
        Deliveries.one_each(plan),
        1,
        (law(dead_time_s=late), Tuning(0.0, weight), replace(guards, stuck_runs=10**6, outlier_sigma=1e9)),
        late,
        lambda _, setpoint: (offset + ratio * setpoint, setpoint),
    )


@given(
    ratio=st.floats(0.1, 1.9),
    weight=st.floats(0.05, 1.0),
    dead_runs=st.integers(0, 3),
    offset=st.floats(-20, 20),
    step=st.floats(0.5, 50),
)
@settings(max_examples=40, deadline=None)
def test_within_the_stated_range_of_gains_the_deviation_dies_away(
    ratio: float, weight: float, dead_runs: int, offset: float, step: float
) -> None:
    slowest = max(abs(1 - weight) + weight * abs(ratio - 1), 0.05) ** (1 / (dead_runs + 1))
    count = int(np.log(1e-3) / np.log(slowest)) + int(abs(offset) / ratio / step) + 20
    assume(count <= 500)
    course = looped(ratio, weight, dead_runs, offset, replace(WIDE, step=step), count)
    assert abs(course.runs.measured[-1]) <= 0.02 * abs(offset) + 1e-9


def test_beyond_that_range_the_loop_grows_where_there_is_no_limit() -> None:
    assert abs(looped(2.6, 0.9, 0, 1.0, WIDE, 60).runs.measured[-1]) > 1e3


@given(
    offsets=st.lists(st.floats(-50, 50), min_size=30, max_size=60),
    step=st.floats(0.1, 2.0),
    rate=st.floats(0.1, 3.0),
    high=st.floats(0.5, 5.0),
    cooldown_s=st.sampled_from([0.0, 3600.0, 9000.0]),
    moves_per_day=st.integers(1, 30),
    resolution=st.sampled_from([0.0, 0.1, 0.25]),
    ratio=st.floats(-3, 6),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_plant_does_no_limit_is_crossed(
    offsets: list[float],
    step: float,
    rate: float,
    high: float,
    cooldown_s: float,
    moves_per_day: int,
    resolution: float,
    ratio: float,
) -> None:
    guards = Guards(-high, high, step, rate, resolution, cooldown_s, moves_per_day, outlier_sigma=1e9)
    plan = runs(len(offsets), np.array(offsets))
    course = close_loop(
        plan,
        NO_FEED,
        Deliveries.one_each(plan),
        1,
        (law(), Tuning(0.0, 0.5), guards),
        300.0,
        lambda run, setpoint: (offsets[run] + ratio * setpoint, setpoint),
    )
    at_s, size = course.moves.at_s, np.abs(course.moves.size)
    assert np.all(np.abs(course.runs.setpoint) <= high + 1e-9)
    assert np.all(size <= step + 1e-9)
    for moment in at_s:
        assert size[(at_s > moment - 3600) & (at_s <= moment)].sum() <= rate + 1e-9
        assert np.count_nonzero((at_s > moment - 86400) & (at_s <= moment)) <= moves_per_day
    assert np.all(np.diff(at_s) >= cooldown_s)
    if resolution:
        assert np.allclose(course.runs.setpoint / resolution, np.round(course.runs.setpoint / resolution))


def test_an_offset_is_answered_and_a_small_one_left_alone() -> None:
    assert told(2.0).proposed == pytest.approx(-1.0, abs=0.01)
    past = runs(40, 0.1 + 1e-3 * np.arange(40))
    quiet = decide(law(), Tuning(0.0, 0.5, price=2.0), WIDE, 1.1e5, past, NO_FEED, Moves.none(), 0.0)
    assert (quiet.reason, quiet.proposed) == ("on_target", 0.0)


@pytest.mark.parametrize(
    ("advice", "reason"),
    [
        (told(2.0, guards=replace(WIDE, max_age_s=600), age_s=700), "stale"),
        (told(2.0, guards=replace(WIDE, outlier_sigma=1.5)), "unstable"),
        (told([2.0] * 5), "stuck"),
        (told(2.0, guards=replace(WIDE, cooldown_s=1e4), moves=Moves(np.array([1.05e5]), np.array([0.1]))), "wait"),
        (told(2.0, guards=replace(WIDE, low=0.0)), "at_limit"),
    ],
)
def test_nothing_is_moved_when(advice: Advice, reason: str) -> None:
    assert (advice.reason, advice.proposed) == (reason, 0.0)


def test_nothing_is_moved_where_gain_or_setpoint_are_not_known() -> None:
    past = runs(40, np.sin(np.arange(40)))
    vague = law(gain_low=-0.1, gain_high=2.1)
    assert decide(vague, Tuning(0, 0.5), WIDE, 1.1e5, past, NO_FEED, Moves.none(), 0.0).reason == "gain_unknown"
    assert decide(law(), Tuning(0, 0.5), WIDE, 1.1e5, past, NO_FEED, Moves.none(), np.nan).reason == "setpoint_unknown"
    past.moved[-10:] += 3.0  # somebody else moved it
    assert decide(law(), Tuning(0, 0.5), WIDE, 1.1e5, past, NO_FEED, Moves.none(), 0.0).reason == "setpoint_unknown"


def test_what_is_known_later_is_not_seen() -> None:
    past = runs(40, np.sin(np.arange(40)))
    now_s = float(past.known_s[-2])
    before = decide(law(), Tuning(0, 0.5), WIDE, now_s, past, NO_FEED, Moves.none(), 0.0)
    past.measured[-1] = 1e6
    assert decide(law(), Tuning(0, 0.5), WIDE, now_s, past, NO_FEED, Moves.none(), 0.0) == before


def test_a_setpoint_outside_tightened_limits_is_only_moved_towards_them() -> None:
    guards = Guards(-1.0, 1.0, 0.5, 10.0, 0.1)
    past = runs(40, np.sin(np.arange(40)) - 9)
    past.setpoint[:] = past.moved[:] = 3.0
    advice = decide(law(), Tuning(0, 0.5), guards, 1.1e5, past, NO_FEED, Moves.none(), 3.0)
    assert advice.proposed == 2.5


def made(count: int, seed: int = 0, gain: float = 0.4) -> tuple[Runs, Feed]:
    """A plant whose measured quantity follows from a scattering actuator and from batches of three runs."""
    rng = np.random.default_rng(seed)
    batches = rng.normal(60.0, 0.3, count // 3 + 1)
    plan = replace(runs(count), item=np.arange(count) // 3)
    moved = 100 + rng.normal(0, 0.7, count)
    measured = 210 + gain * (moved - 100) + 2.0 * (batches[plan.item] - 60) + rng.normal(0, 0.3, count)
    ready: Floats = CYCLE_S * (3.0 * np.arange(len(batches), dtype=np.float64) - 15)
    feed = Feed(ready, ready + 1800, batches[:, None], np.full(len(batches), np.inf))
    return replace(plan, measured=measured, moved=moved, setpoint=np.full(count, 100.0)), feed


def test_gain_and_feed_are_learnt_with_an_interval_that_covers() -> None:
    learnt = [found for seed in range(20) if (found := learn(*made(300, seed), dead_time_s=CYCLE_S / 2)) is not None]
    covered = np.mean([each.gain_low <= 0.4 <= each.gain_high for each in learnt])
    assert len(learnt) == 20
    assert covered >= 0.8
    first = learnt[0]
    assert first.feed_gain[0] == pytest.approx(2.0, abs=0.3)
    assert (first.per_item, first.cycle_s, first.is_gain_known) == (3, CYCLE_S, True)
    assert learn(*made(300, gain=0.0)).is_gain_known is False  # type: ignore[union-attr]
    assert learn(*made(29)) is None


def test_what_is_fed_is_answered_before_it_is_measured_and_only_where_that_helped() -> None:
    past, feed = made(300)
    guards = Guards(90, 110, 20, 100, 0.1, outlier_sigma=1e9)
    found = fit(past, feed, guards, 210.0, dead_time_s=300.0)
    assert found is not None
    assert found.helps
    assert found.law.feed_gain.any()
    assert found.deviation < 0.75 * found.still
    noise = replace(feed, values=np.random.default_rng(1).normal(60, 0.3, feed.values.shape))
    lost = fit(past, noise, guards, 210.0, dead_time_s=300.0)
    assert lost is not None
    assert lost.deviation > 0.9 * lost.still


def test_the_next_run_is_made_of_what_is_first_in_the_queue() -> None:
    past, feed = made(9)
    now_s = float(past.known_s[-1])
    assert next_items(past.take(np.arange(8)), feed, now_s, ahead=1, per_item=3, count=1).tolist() == [2]
    assert next_items(past, feed, now_s, ahead=1, per_item=3, count=1).tolist() == [3]
    gone = replace(feed, gone_s=np.where(np.arange(len(feed.ready_s)) == 3, 0.0, np.inf))
    assert next_items(past, gone, now_s, ahead=1, per_item=3, count=1).tolist() == [-1], (
        "the fourth batch is the last one"
    )
    assert next_items(past, feed, float(feed.known_s[3]) - 1, ahead=1, per_item=3, count=1).tolist() == [-1], (
        "not known to be ready"
    )


def test_a_run_under_way_that_nobody_has_told_of_yet_counts_in_the_queue() -> None:
    past, feed = made(9)
    fed = replace(law(feed_gain=np.ones(1), feed_mean=np.array([60.0])), dead_time_s=1.1 * CYCLE_S)
    last_s = float(past.at_s[-1])

    def item(after_s: float) -> int:
        return decide(fed, Tuning(210, 0.5), WIDE, last_s + after_s, past, feed, Moves.none(), 100.0).item

    # Nine runs of three batches are known: the next three are of batch 3, then nobody can say.
    assert (item(60), item(1.3 * CYCLE_S), item(1.7 * CYCLE_S), item(3.0 * CYCLE_S), item(4.0 * CYCLE_S)) == (
        3,
        3,
        3,
        -1,
        -1,
    )
