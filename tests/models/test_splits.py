"""Cuts go forward in time, keep groups whole, and give the same row the same side every night."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.frame import Frame
from models.features.select import Selection
from models.prepare import prepare
from models.spec import PredictiveSpec
from models.splits.splits import Cut, inner_folds, make_order, make_split
from pipelines.control_plan.errors import CellworksError

DAY = 86_400_000_000


def _spec(task="binary", time=True, group=True, folds=3):
    split = {"time": "t" if time else None, "group": "g" if group else None, "folds": folds}
    return PredictiveSpec(
        stage="a", slug="b", question="?", table="t.csv", keys=["k"], target={"column": "y"}, task=task, split=split
    )


def _frame(n, time=None, known=None, group=None):
    keys = pa.table({"__key_k": [f"k{i}" for i in range(n)]})
    return Frame(
        keys,
        Selection(),
        ["k"],
        known_at=known,
        time=time,
        group=None if group is None else pa.chunked_array([pa.array(group)]),
    )


@given(st.integers(0, 10_000), st.integers(80, 400), st.integers(10, 40), st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_no_group_is_cut_and_nothing_later_is_learnt_from(seed, n, lots, delay_h):
    rng = np.random.default_rng(seed)
    time = np.datetime64("2026-01-01", "us") + np.sort(rng.integers(0, 30 * DAY, n)).astype("timedelta64[us]")
    known = time + rng.integers(0, delay_h * 3600 * 1_000_000 + 1, n).astype("timedelta64[us]")
    lot = np.minimum(np.arange(n) * lots // n + rng.integers(0, 2, n), lots - 1)
    y = (rng.random(n) < 0.3).astype(float)
    y[rng.random(n) < 0.1] = np.nan
    spec = _spec()
    order = make_order(_frame(n, time, known, [f"L{value}" for value in lot]), y, spec)
    split = make_split(order, y, spec)
    assert not np.isnan(y[split.development]).any()
    assert known[split.development].max() < known[split.holdout].min()
    if split.cut.is_grouped:
        assert not set(lot[split.development]) & set(lot[split.holdout])
    np.testing.assert_array_equal(np.flatnonzero(split.cut.holds_out(order) & ~np.isnan(y)), split.holdout)
    again = Cut(**split.cut.as_json())
    np.testing.assert_array_equal(again.holds_out(order), split.cut.holds_out(order))
    folds, notes = inner_folds(order, split.development, y, spec, split.cut)
    for train, valid in folds:
        assert set(train) | set(valid) <= set(split.development)
        assert not set(train) & set(valid)
        if split.cut.is_grouped and not notes:
            assert not set(lot[train]) & set(lot[valid])
            assert known[train].max() < known[valid].max()


@pytest.mark.parametrize(("holed", "column"), [("time", "'t'"), ("known", "'t' or 'known'")])
def test_rows_without_time_are_left_out_and_counted_and_the_others_still_go_forward(holed, column):
    n = 600
    time = np.datetime64("2026-01-01", "us") + (np.arange(n) * 3600 * 1_000_000).astype("timedelta64[us]")
    known = time + np.timedelta64(5, "h") if holed == "known" else None
    undated = np.arange(n) % 40 == 0
    (time if known is None else known)[undated] = np.datetime64("NaT")
    y = (np.arange(n) % 7 == 0).astype(float)
    y[40] = np.nan  # a row that is out anyway is not counted
    spec = _spec()
    if known is not None:
        spec = spec.model_copy(update={"target": spec.target.model_copy(update={"known_at": "known"})})
    order = make_order(_frame(n, time, known, group=[f"L{i // 20}" for i in range(n)]), y, spec)
    split = make_split(order, y, spec)
    assert split.notes == [f"14 of 599 labelled rows are left out: {column} is missing"]
    assert split.cut.kind == "time"
    assert split.cut.is_grouped
    sides = np.concatenate([split.development, split.holdout])
    assert set(sides) == set(np.flatnonzero(~undated & ~np.isnan(y)))
    assert time[split.development].max() < time[split.holdout].min()
    np.testing.assert_array_equal(np.flatnonzero(split.cut.holds_out(order) & ~np.isnan(y)), split.holdout)
    for train, valid in inner_folds(order, split.development, y, spec, split.cut)[0]:
        assert time[train].max() < time[valid].min()


@pytest.mark.parametrize("n_dated", [0, 1, 99])
def test_a_time_that_most_rows_miss_is_refused_and_never_a_draw(n_dated):
    time = np.full(200, np.datetime64("NaT", "us"))
    time[:n_dated] = np.datetime64("2026-01-01", "us") + np.arange(n_dated).astype("timedelta64[D]")
    y = (np.arange(200) % 3 == 0).astype(float)
    order = make_order(_frame(200, time), y, _spec(group=False))
    with pytest.raises(CellworksError, match=f"{200 - n_dated} of 200 labelled rows without it"):
        make_split(order, y, _spec(group=False))


def test_machines_that_run_all_the_time_are_cut_by_time_with_a_remark():
    n = 600
    time = np.datetime64("2026-01-01", "us") + (np.arange(n) * 3600 * 1_000_000).astype("timedelta64[us]")
    spec = _spec()
    y = (np.arange(n) % 7 == 0).astype(float)
    order = make_order(_frame(n, time, group=[f"M{i % 4}" for i in range(n)]), y, spec)
    split = make_split(order, y, spec)
    assert not split.cut.is_grouped
    assert "groups reach over the whole period" in split.notes[0]
    assert time[split.development].max() < time[split.holdout].min()
    assert len(split.holdout) == 120


def test_rows_without_a_group_belong_to_their_day():
    n = 480
    time = np.datetime64("2026-01-01", "us") + (np.arange(n) * 3600 * 1_000_000).astype("timedelta64[us]")
    group = [None] * n
    group[100:110] = ["failure"] * 10
    order = make_order(_frame(n, time, group=group), np.zeros(n), _spec())
    assert len(np.unique(order.group)) == 21
    assert len(np.unique(order.group[100:110])) == 1


@pytest.mark.parametrize("grouped", [False, True])
def test_without_time_a_row_stays_on_its_side_as_the_table_grows(grouped):
    spec = _spec(time=False, group=grouped)
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.05).astype(float)
    groups = [f"g{i // 10}" for i in range(2000)] if grouped else None

    def sides(n):
        order = make_order(_frame(n, group=groups[:n] if groups else None), y[:n], spec)
        return make_split(order, y[:n], spec), order

    small, _ = sides(1500)
    large, order = sides(2000)
    assert abs(len(large.holdout) - 400) <= 20
    if grouped:
        assert not {i // 10 for i in large.holdout} & {i // 10 for i in large.development}
    else:
        assert abs(y[large.holdout].mean() - y.mean()) < 0.003, "classes in proportion"
    common = small.cut.holds_out(order) & large.cut.holds_out(order)
    assert common.sum() >= 0.85 * len(large.holdout)
    assert not set(np.flatnonzero(common)) & set(small.development)


def test_folds_without_time_keep_groups_whole():
    spec = _spec(time=False)
    y = (np.arange(300) % 3 == 0).astype(float)
    order = make_order(_frame(300, group=[f"g{i // 5}" for i in range(300)]), y, spec)
    folds, _ = inner_folds(order, np.arange(300), y, spec, Cut("draw"))
    assert sorted(np.concatenate([valid for _, valid in folds])) == list(range(300))
    for train, valid in folds:
        assert not {i // 5 for i in train} & {i // 5 for i in valid}


def test_of_few_rows_each_is_validated_once_in_fewer_folds():
    spec = _spec("regression", time=False, group=False, folds=10)
    y = np.arange(41.0)
    order = make_order(_frame(41), y, spec)
    folds, notes = inner_folds(order, np.arange(41), y, spec, Cut("draw"))
    assert sorted(np.concatenate([valid for _, valid in folds])) == list(range(41))
    assert len(folds) == 8
    assert not notes


def test_events_at_one_end_only_fall_back_to_drawn_folds():
    n = 200
    time = np.datetime64("2026-01-01", "us") + (np.arange(n) * DAY).astype("timedelta64[us]")
    y = (np.arange(n) < 30).astype(float)
    spec = _spec(group=False)
    order = make_order(_frame(n, time), y, spec)
    folds, notes = inner_folds(order, np.arange(160), y, spec, Cut("time", "2026-06-01"))
    assert "drawn at random" in notes[0]
    assert all(len(np.unique(y[valid])) == 2 for _, valid in folds)


def test_a_column_may_say_what_is_held_out(ctx, table_file, cells, solution):
    columns = cells()
    columns["campaign"] = np.where(np.arange(1600) < 400, "test", "train")
    split = {"time": "started_at", "group": "lot_id", "part": "campaign", "holdout_parts": ["test"]}
    prepared = prepare(solution(table_file(columns), "regression", split=split), ctx)
    held = set(prepared.frame.take(prepared.split.holdout).part.to_pylist())
    assert held == {"test"}
    assert (len(prepared.split.holdout), len(prepared.split.development)) == (400, 1200)
    assert "campaign" in prepared.frame.selection.dropped


def test_a_part_without_its_values_is_refused(solution):
    with pytest.raises(ValueError, match="write both or none"):
        solution("cells.csv", split={"part": "campaign"})
