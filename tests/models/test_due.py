"""What is due again: calibrations worked out by hand, and what must hold of any."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decision_rule.due import CLASSES, decide
from models.decision_rule.rows import Decisions, Rows
from models.decision_rule.spec import Due

AT = datetime(2026, 9, 1)  # noqa: DTZ001 - the lake's times are UTC without a zone
RULE = Due.model_validate({"of": ["gauge"], "due": "due_at", "found": "error", "tolerance": "tolerance"})
Done = tuple[str, float, float, float | None]
"""Gauge, day, days until it is due again, error as found; the tolerance is 1."""


def judged(done: list[Done], now_d: float, *, in_order: bool = True) -> Decisions:
    if in_order:
        done = sorted(done, key=lambda each: each[1])
    table = pa.table(
        {
            "gauge": pa.array([gauge for gauge, *_ in done], pa.string()),
            "due_at": pa.array([str(AT + timedelta(days=day + until)) for _, day, until, _ in done], pa.string()),
            "error": pa.array([error for *_, error in done], pa.float64()),
            "tolerance": pa.array(np.ones(len(done))),
        }
    )
    time = np.array([np.datetime64(AT + timedelta(days=day), "us") for _, day, *_ in done])
    return decide(RULE, Rows(table, {}, time), AT + timedelta(days=now_d))


@pytest.mark.parametrize(
    ("error", "now_d", "expected", "flagged", "limit"),
    [
        (0.5, 20, None, False, "is not near yet"),
        (0.5, 23, None, True, "is near"),
        (0.5, 30.5, None, True, "has passed"),
        (0.5, 31.1, "overdue", True, "has passed"),
        (-1.1, 1, "off", True, "within 1"),
        (None, 1, None, False, "is not near yet"),
    ],
)
def test_a_gauge_is_called_for_before_it_is_due_and_told_when_it_is_off(
    error: float | None, now_d: float, expected: str | None, flagged: bool, limit: str
) -> None:
    found = judged([("G", 0, 30, error)], now_d)
    assert found.classes.to_pylist() == [expected]
    assert found.is_flagged.tolist() == [flagged]
    assert json.loads(found.reasons[0].as_py())[0]["limit"] == limit
    assert found.value.to_pylist() == [None if error is None else pytest.approx(abs(error))]


def test_what_was_done_again_is_kept_or_overdue_and_calls_for_nothing_more() -> None:
    found = judged([("G", 0, 30, 0.1), ("G", 29, 30, 2.0), ("G", 60, 30, 0.1), ("H", 0, 10, 0.1)], 61)
    assert found.classes.to_pylist() == ["kept", "overdue", "off", None]
    assert found.is_flagged.tolist() == [False, True, False, False]


def test_what_follows_what_is_told_by_its_moment_and_not_by_its_place() -> None:
    done = [("G", 60, 30, 0.1), ("G", 0, 30, 0.1), ("G", 29, 30, 2.0)]
    assert judged(done, 61, in_order=False).classes.to_pylist() == [None, "kept", "off"]


done = st.tuples(st.sampled_from("GH"), st.integers(0, 60).map(float), st.integers(5, 40).map(float), st.floats(-2, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(done, min_size=1, max_size=12, unique_by=lambda each: each[:2]), st.integers(60, 120))
def test_nothing_that_was_said_is_taken_back_and_one_flag_a_gauge_at_most(rows: list[Any], now_d: int) -> None:
    before, after = judged(rows, now_d), judged(rows, now_d + 30)
    for first, then in zip(before.classes.to_pylist(), after.classes.to_pylist(), strict=True):
        assert first is None or first == then
        assert then in (None, *CLASSES)
    assert after.is_flagged.sum() <= len({gauge for gauge, *_ in rows})
    assert len(json.loads(before.reasons[0].as_py())) >= 1
