"""Intervals that follow the labels: what must hold whatever the values do, and that judged and acting ones agree."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.adaptive import width_per_level, widths_at
from models.evaluation.evaluate import evaluate
from models.fitting import fit
from models.prepare import prepare
from models.scoring.errors import errors_seen
from models.scoring.score import rows_table

START = np.datetime64("2026-03-01T00:00:00", "us")
HOUR = np.timedelta64(1, "h")
BASE = {"below": 1.0, "above": 1.0, "coverage": 0.9, "groups": 20, "design_effect": 1.0}


def _stream(seed, count=400, days=10):
    rng = np.random.default_rng(seed)
    acts = START + np.sort(rng.integers(0, days * 24 * 3600, count)).astype("timedelta64[s]")
    known = acts + rng.integers(0, 3 * 24 * 3600, count).astype("timedelta64[s]")
    return rng, np.abs(rng.standard_t(3, count)) * rng.uniform(0.2, 5), known, acts


@given(
    st.lists(st.floats(0.05, 20), min_size=1, max_size=200), st.floats(0.001, 0.5), st.sampled_from([0.5, 0.9, 0.95])
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_in_the_long_run_the_promised_share_holds_whatever_the_errors_are(errors, rate, coverage):
    """Labels known before the next row acts: the gap is no more than the way of the width over the steps."""
    score = np.tile(errors, 1 + 400 // len(errors))
    acts = START + np.arange(len(score)) * HOUR
    width = widths_at({**BASE, "coverage": coverage}, rate, score, acts + HOUR, acts)
    gap = abs(float(np.mean(score > width)) - (1 - coverage))
    step = width_per_level(coverage) * rate
    furthest = max(abs(math.log(0.05)), abs(math.log(20))) + step
    assert gap <= furthest / (step * len(score)) + 1e-12


@given(st.integers(0, 10_000), st.floats(0, 10))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_label_that_is_not_known_yet_moves_an_interval(seed, day):
    rng, score, known, acts = _stream(seed)
    now = START + np.timedelta64(round(day * 24 * 3600), "s")
    other = np.where(known > now, score * rng.uniform(0.0, 50, len(score)), score)
    shown = acts <= now
    width = widths_at(BASE, 0.05, score, known, acts)
    assert np.array_equal(width[shown], widths_at(BASE, 0.05, other, known, acts)[shown])
    kept = known <= now
    assert np.array_equal(width[shown], widths_at(BASE, 0.05, score[kept], known[kept], acts[shown]))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_without_a_known_label_the_interval_is_the_learnt_one(seed):
    _, score, known, acts = _stream(seed)
    assert (widths_at(BASE, 0.05, score[:0], known[:0], acts) == 1.0).all()
    assert (widths_at(BASE, 0.0, score, known, acts) == 1.0).all()
    assert (widths_at(BASE, 0.05, score, known, np.full(len(acts), np.datetime64("NaT", "us"))) == 1.0).all()
    assert (widths_at(BASE, 0.05, score, known, acts)[acts < known.min()] == 1.0).all()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_the_order_of_the_rows_does_not_matter(seed):
    rng, score, known, acts = _stream(seed)
    mixed = rng.permutation(len(score))
    one, other = widths_at(BASE, 0.05, score, known, acts), widths_at(BASE, 0.05, score[mixed], known[mixed], acts)
    assert other == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.8])
def test_a_width_that_was_learnt_wrong_comes_right(scale):
    fixed, moved = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        score = np.abs(rng.normal(0, scale / 1.645, 600))
        acts = START + np.arange(600) * HOUR
        width = widths_at(BASE, 0.02, score, acts + 8 * HOUR, acts)
        fixed.append(np.mean(score <= 1.0))
        moved.append(np.mean(score <= width))
    assert abs(np.mean(moved) - 0.9) <= min(0.02, abs(np.mean(fixed) - 0.9) + 0.005)


def test_what_is_judged_is_what_acts(ctx, table_file, cells, solution):
    search = {"trials": 1, "max_rounds": 40, "libraries": ["lightgbm"]}
    spec = solution(table_file(cells(800)), "regression", search=search, interval_rate=0.1)
    prepared = prepare(spec, ctx)
    scorer = fit(spec, ctx, prepared).scorer
    rows = prepared.split.holdout
    judged = evaluate(spec, prepared, scorer, rows).outputs.finished
    now = (prepared.frame.known_at.max() + HOUR).item()
    seen = errors_seen(spec, replace(ctx, as_of=now), scorer)
    answers, _ = rows_table(spec, prepared.frame.take(rows), scorer, now, (1, None), seen)
    for name in ("value", "low", "high"):
        assert answers.column(name).to_numpy() == pytest.approx(judged[name], rel=1e-12)
    half = judged["high"] - judged["value"]
    assert half.std() > 0, "the interval has moved"
    # A night earlier there was less to see, and what had acted by then had the same interval.
    then = prepared.frame.time[rows][len(rows) // 2]
    early = errors_seen(spec, replace(ctx, as_of=then.item()), scorer)
    before, _ = rows_table(spec, prepared.frame.take(rows), scorer, then.item(), (1, None), early)
    acted = prepared.frame.time[rows] <= then
    assert before.column("high").to_numpy()[acted] == pytest.approx(judged["high"][acted], rel=1e-12)
    still = errors_seen(spec.model_copy(update={"interval_rate": 0.0}), ctx, scorer)
    assert still is None
