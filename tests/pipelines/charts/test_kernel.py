"""The compiled loop against the definitions in plain Python, and against the run lengths of theory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.charts.kernel import Charts, signals
from pipelines.charts.rules import CUSUM, DEFAULT, EWMA, NELSON, RULES, WESTERN_ELECTRIC, mask_of, names_of
from pipelines.charts.run_length import cusum_arl, ewma_arl, shewhart_arl
from pipelines.control_plan.errors import CellworksError

EVERY = mask_of(rule.name for rule in RULES)


def dense(values, starts, charts, begins=None, n_threads=1):
    found = signals(np.asarray(values), np.asarray(starts), charts, begins, n_threads)
    out = np.zeros(len(values), dtype=np.int64)
    out[found.point] = found.bits
    return out


def by_runs(run, charts):
    """Rules of points on the same side that signal at the last point of a run, word by word."""
    for rule in RULES:
        if rule.run:
            level = charts.limit_sigmas if rule.name == "beyond_limit" else rule.run.beyond_sigmas
            for side in (1, -1):
                out = [side * each > level for each in run[-rule.run.of :]]
                if out[-1] and sum(out) >= rule.run.count:
                    yield rule.name


def by_shape(run):
    """The other rules of Nelson."""
    steps, last = np.diff(run), run[-8:]
    if len(run) >= 6 and ((steps[-5:] > 0).all() or (steps[-5:] < 0).all()):
        yield "six_rising_or_falling"
    if len(run) >= 14 and (steps[-13:-1] * steps[-12:] < 0).all():
        yield "fourteen_alternating"
    if len(run) >= 15 and all(abs(each) <= 1 for each in run[-15:]):
        yield "fifteen_within_1_sigma"
    if len(last) == 8 and all(abs(each) > 1 for each in last) and min(last) < 0 < max(last):
        yield "eight_beyond_1_sigma"


def by_memory(run, charts):
    """EWMA and CUSUM."""
    weight, mean = charts.ewma_weight, 0.0
    for each in run:
        mean = weight * each + (1 - weight) * mean
    share = 1 - (1 - weight) ** (2 * len(run)) if charts.is_ewma_exact else 1.0
    if abs(mean) > charts.ewma_sigmas * np.sqrt(weight / (2 - weight) * share):
        yield "ewma_high" if mean > 0 else "ewma_low"
    for side, name in ((1, "cusum_high"), (-1, "cusum_low")):
        total, is_out = 0.0, False
        for each in run:
            total = max(0.0, total + side * each - charts.cusum_slack)
            is_out = total > charts.cusum_decision
            total = 0.0 if is_out else total
        if is_out:
            yield name


def naive(values, begins, charts):
    run, out = [], []
    for value, begin in zip(values, begins, strict=True):
        run = [] if begin else run
        if np.isfinite(value):
            run = [*run, (value - charts.centre) / charts.sigma]
            out.append({*by_runs(run, charts), *by_shape(run), *by_memory(run, charts)})
        else:
            out.append(set())
    return out


points = st.one_of(
    # Steps of a quarter meet the levels and each other; none of it is rounded.
    st.integers(-14, 14).map(lambda each: each / 4),
    st.sampled_from([-1.25, 1.25]),
    st.sampled_from([-0.5, 0.25, 0.5]),
    st.sampled_from([np.nan, np.inf, 9.0]),
)
series = st.one_of(
    st.lists(points, max_size=30),
    st.lists(st.sampled_from([-1.5, 1.5]), max_size=20),
    st.lists(st.sampled_from([0.25, 0.5, 0.75, -0.25]), max_size=20),
    st.integers(1, 30).map(lambda n: [0.5 * (-1) ** place for place in range(n)]),
    st.integers(1, 30).map(lambda n: [place / 16 - 1 for place in range(n)]),
)
charted = st.builds(
    Charts,
    centre=st.sampled_from([0.0, 2.0]),
    sigma=st.sampled_from([1.0, 4.0]),
    rules=st.just(EVERY),
    limit_sigmas=st.sampled_from([2.5, 3.0]),
    ewma_weight=st.sampled_from([0.1, 0.25, 1.0]),
    ewma_sigmas=st.sampled_from([1.4, 2.7]),
    is_ewma_exact=st.booleans(),
    cusum_slack=st.sampled_from([0.25, 0.5]),
    cusum_decision=st.sampled_from([1.9, 4.1]),
)


@settings(max_examples=100, deadline=None)
@given(run=series, charts=charted, data=st.data())
def test_every_signal_is_that_of_the_definitions(run, charts, data):
    values = np.asarray(run, dtype=np.float64) * charts.sigma + charts.centre
    begins = np.zeros(len(run), dtype=np.bool_)
    begins[data.draw(st.lists(st.integers(0, len(run) - 1), max_size=2)) if run else []] = True
    found = dense(values, [0, len(values)], charts, begins)
    assert [set(names_of(int(bits))) for bits in found] == naive(values, begins, charts)


@pytest.mark.parametrize(
    ("name", "run", "where"),
    [
        ("beyond_limit", [0, 2.9, 3.0, 3.1, -3.1, 0], [3, 4]),
        ("two_of_three", [2.1, 0, 2.1, 0, 0, -2.1, 2.1, -2.1], [2, 7]),
        ("two_of_three", [2.0, 2.0, 2.0], []),
        ("four_of_five", [1.1, 1.1, 0, 1.1, 1.1, 1.1, 0, 0, 1.1], [4, 5]),
        ("eight_on_a_side", [0.1] * 9 + [0.0] + [0.1] * 7, [7, 8]),
        ("nine_on_a_side", [-0.1] * 10, [8, 9]),
        ("six_rising_or_falling", [0, 1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1], [5, 6, 12]),
        ("fourteen_alternating", [0, 1] * 7 + [0, 0], [13, 14]),
        ("fifteen_within_1_sigma", [1.0, -1.0] * 8 + [1.1], [14, 15]),
        ("eight_beyond_1_sigma", [1.1] * 8 + [-1.1], [8]),
        ("ewma_high", [0.0, 2.9, -2.9], [1]),
        ("cusum_low", [-2.0] * 6, [3]),
    ],
)
def test_rules_by_hand(name, run, where):
    charts = Charts(0.0, 1.0, mask_of([name]), ewma_weight=1.0)
    assert np.flatnonzero(dense(np.asarray(run, dtype=np.float64), [0, len(run)], charts)).tolist() == where


@settings(max_examples=50, deadline=None)
@given(run=st.lists(points, max_size=80), offset=st.integers(-64, 64), factor=st.sampled_from([0.5, 1.0, 8.0]))
def test_signals_do_not_depend_on_the_unit(run, offset, factor):
    values = np.asarray(run, dtype=np.float64)
    starts = [0, len(values)]
    one = dense(values, starts, Charts(0.0, 1.0, EVERY))
    other = dense(values * factor + offset, starts, Charts(float(offset), factor, EVERY))
    assert one.tolist() == other.tolist()


@settings(max_examples=50, deadline=None)
@given(first=st.lists(points, max_size=40), second=st.lists(points, min_size=1, max_size=40))
def test_a_run_that_begins_anew_is_a_series_of_its_own(first, second):
    values = np.asarray(first + second, dtype=np.float64)
    begins = np.zeros(len(values), dtype=np.bool_)
    begins[len(first)] = True
    charts = Charts(0.0, 1.0, EVERY)
    together = dense(values, [0, len(values)], charts, begins)
    assert together.tolist() == dense(values, [0, len(first), len(values)], charts).tolist()


@settings(max_examples=50, deadline=None)
@given(run=st.lists(points, max_size=60))
def test_a_missing_point_is_as_if_it_had_not_been_there(run):
    values = np.asarray(run, dtype=np.float64)
    there = np.isfinite(values)
    charts = Charts(0.0, 1.0, EVERY)
    found = dense(values, [0, len(values)], charts)
    assert found[there].tolist() == dense(values[there], [0, int(there.sum())], charts).tolist()
    assert not found[~there].any()


def test_many_series_each_with_its_own_chart_are_charted_as_one_by_one():
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 4000, 300)
    starts = np.concatenate([[0], np.cumsum(lengths)])  # over half a million points: several chunks
    centre, sigma = rng.normal(size=300), rng.uniform(0.5, 2, 300)
    values = (rng.normal(size=starts[-1]) * np.repeat(sigma, lengths) + np.repeat(centre, lengths)).astype(np.float32)
    masks = rng.choice([DEFAULT, NELSON, WESTERN_ELECTRIC, CUSUM], 300)
    weights = rng.uniform(0.05, 1, 300)
    together = dense(values, starts, Charts(centre, sigma, masks, ewma_weight=weights))
    threaded = dense(values, starts, Charts(centre, sigma, masks, ewma_weight=weights), n_threads=2)
    assert together.any()
    assert (together == threaded).all()
    for place in range(0, 300, 10):
        own = values[starts[place] : starts[place + 1]]
        charts = Charts(centre[place], sigma[place], int(masks[place]), ewma_weight=weights[place])
        assert (dense(own, [0, len(own)], charts) == together[starts[place] : starts[place + 1]]).all()
        assert not (together[starts[place] : starts[place + 1]] & ~masks[place]).any()


SERIES, LENGTH = 2500, 4000


@pytest.fixture(scope="module")
def healthy():
    """Points of a process in which nothing happens."""
    return np.random.default_rng(7).standard_normal(SERIES * LENGTH, dtype=np.float32)


def first_signals(values, charts):
    """Points until the first signal of each of many series, and how many had none."""
    found = signals(values, np.arange(SERIES + 1) * LENGTH, charts)
    which, first = np.unique(found.point // LENGTH, return_index=True)
    return found.point[first] - which * LENGTH + 1, SERIES - len(which)


@pytest.mark.parametrize(
    ("charts", "arl"),
    # A centre below that of the points is a shift upwards.
    [
        (Charts(0, 1, mask_of(["beyond_limit"])), shewhart_arl(0.0)),
        (Charts(0, 1, WESTERN_ELECTRIC), 91.75),
        (Charts(0, 1, mask_of(["nine_on_a_side"])), 2**9 - 1),
        (Charts(-0.5, 1, CUSUM), cusum_arl(0.5, 0.5, 5.0)),
        (Charts(0, 1, EWMA, ewma_weight=0.05, ewma_sigmas=2.3), ewma_arl(0.0, 0.05, 2.3, is_exact=True)),
        (Charts(-0.5, 1, EWMA, is_ewma_exact=False), ewma_arl(0.5, 0.1, 2.814)),
        (Charts(0, 1, DEFAULT), ewma_arl(0.0, 0.1, 2.814, is_exact=True, limit_sigmas=3.0)),
    ],
    ids=["rule 1", "Western Electric", "nine", "CUSUM", "exact EWMA", "asymptotic EWMA", "default"],
)
def test_run_lengths_are_those_of_theory(healthy, charts, arl):
    lengths, silent = first_signals(healthy, charts)
    assert silent <= 3
    # Three standard errors of the mean of 2,500 run lengths.
    assert lengths.mean() == pytest.approx(arl, abs=3 * lengths.std() / np.sqrt(len(lengths)))


def test_a_series_that_cannot_be_charted_is_named():
    with pytest.raises(CellworksError, match="cannot be charted") as refused:
        signals(np.zeros(4), np.asarray([0, 2, 4]), Charts(0.0, np.asarray([1.0, 0.0])))
    assert refused.value.where == "series 1"


@pytest.mark.parametrize(
    ("values", "starts", "begins"),
    [
        (np.zeros(4, dtype=np.int64), [0, 4], None),
        (np.zeros(8)[::2], [0, 4], None),
        (np.zeros(4), [0, 5], None),
        (np.zeros(4), [0, 3, 2], None),
        (np.zeros(4), [0, 4], np.zeros(3, dtype=np.bool_)),
        (np.zeros(4), [0, 4], np.zeros(4)),
    ],
)
def test_arrays_that_the_loop_would_misread_are_refused(values, starts, begins):
    with pytest.raises(ValueError, match=r"values are|starts rise|begins are"):
        signals(values, np.asarray(starts), Charts(0.0, 1.0), begins)


def test_no_series_give_no_signals():
    found = signals(np.zeros(0), np.asarray([0]), Charts(0.0, 1.0))
    assert len(found.point) == len(found.bits) == 0


def test_numba_is_imported_where_a_chart_is_run_and_not_before():
    code = (
        "import sys; import pipelines.charts.kernel, pipelines.charts.limits, pipelines.charts.run_length, "
        "pipelines.charts.capability, pipelines.charts.gauge, pipelines.charts.autocorrelation; "
        "print([name for name in ('numba', 'scipy', 'sklearn', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
