"""Certificates beside limits and measurements: each fault, what is waited for, and the same by plain arithmetic."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.decision_rule.conformance import decide
from models.decision_rule.rows import Decisions, Rows
from models.decision_rule.sampling import decide as sample
from models.decision_rule.spec import Conformance, DecisionSpec, Sampling
from pipelines.control_plan.errors import CellworksError

AT = datetime(2026, 9, 1)  # noqa: DTZ001 - the lake's times are UTC without a zone
COLUMNS = {
    "certified": "stated",
    "unit": "unit",
    "lower": "low",
    "upper": "high",
    "measured": "found",
    "gauge_sd": "gauge",
}
RULE = Conformance.model_validate(COLUMNS | {"most_deviations": 4.0, "missing_after_h": 24.0})
GOOD = {"stated": 10.0, "unit": "um", "low": 9.0, "high": 11.0, "found": 10.1, "gauge": 0.1}


def judged(rows: list[dict[str, Any]], after_h: float = 48) -> Decisions:
    numbers = {
        name: pa.array([row[name] for row in rows], pa.float64())
        for name in ("stated", "low", "high", "found", "gauge")
    }
    table = pa.table({"unit": pa.array([row["unit"] for row in rows], pa.string()), **numbers})
    time = np.full(len(rows), np.datetime64(AT, "us"))
    return decide(RULE, Rows(table, {}, time), AT + timedelta(hours=after_h))


@pytest.mark.parametrize(
    ("changes", "after_h", "expected", "feature", "limit"),
    [
        ({}, 1, "conforms", "found", "within 0.5657 of the certificate's 10"),
        ({"found": 10.6}, 1, "differs", "found", "within 0.5657 of the certificate's 10"),
        ({"found": None}, 48, None, "found", "our own measurement and its gauge's deviation are needed"),
        ({"gauge": None}, 48, None, "found", "our own measurement and its gauge's deviation are needed"),
        ({"stated": 11.5}, 1, "out_of_limits", "stated", "at least 9.0 and at most 11.0"),
        ({"stated": 8.5, "high": None, "found": None}, 1, "out_of_limits", "stated", "at least 9.0"),
        ({"stated": None, "unit": None}, 48, "missing", "stated", "the certificate does not tell it"),
        ({"stated": None, "unit": None}, 1, None, "stated", "the certificate is waited for"),
        ({"stated": None, "unit": "inch"}, 1, "unit", "stated", "given in inch, which is not known here"),
    ],
)
def test_each_fault_of_a_certificate_is_told_with_its_reason(
    changes: dict[str, Any], after_h: float, expected: str | None, feature: str, limit: str
) -> None:
    found = judged([GOOD | changes], after_h)
    assert found.classes.to_pylist() == [expected]
    assert found.is_flagged.tolist() == [expected not in (None, "conforms")]
    (reason,) = json.loads(found.reasons.to_pylist()[0])
    assert (reason["feature"], reason["limit"]) == (feature, limit)


NUMBER = st.one_of(st.none(), st.floats(-100, 100).map(lambda x: round(x, 3)))
ROW = st.fixed_dictionaries(
    {
        "stated": NUMBER,
        "unit": st.sampled_from(["um", None]),
        "low": NUMBER,
        "high": NUMBER,
        "found": NUMBER,
        "gauge": st.one_of(st.none(), st.floats(0.001, 50).map(lambda x: round(x, 3))),
    }
)


def by_hand(row: dict[str, Any]) -> str | None:
    """The same decision, one row at a time."""
    stated = row["stated"]
    if stated is None:
        return "missing" if row["unit"] is None else "unit"
    if (row["low"] is not None and stated < row["low"]) or (row["high"] is not None and stated > row["high"]):
        return "out_of_limits"
    if row["found"] is None or row["gauge"] is None:
        return None
    return "differs" if abs(stated - row["found"]) > 4 * math.sqrt(2) * row["gauge"] else "conforms"


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(ROW, min_size=1, max_size=20))
def test_decisions_are_those_of_plain_arithmetic(rows: list[dict[str, Any]]) -> None:
    assert judged(rows).classes.to_pylist() == [by_hand(row) for row in rows]


def test_a_certificate_that_cannot_be_waited_for_is_refused() -> None:
    said = {"stage": "incoming", "slug": "c", "question": "?", "table": "t.parquet", "keys": ["id"]}
    with pytest.raises(ValidationError, match="conformance needs `time`"):
        DecisionSpec.model_validate(said | {"conformance": COLUMNS})


# Level II, 4,400 units: letter L, 200 of them; Ac 3 at 0.65 %, 7 at 1.5 % (domain tables of ISO 2859-1).
BY_CLASS = {"lot_size": "units", "inspected": "n", "nonconforming": "bad", "of": ["supplier", "kind"]}
AQL = {"column": "kind", "of": {"major": 0.65, "minor": 1.5}}


def lots(kinds: list[str], bad: list[float]) -> Rows:
    count = len(kinds)
    table = pa.table(
        {
            "supplier": ["S"] * count,
            "kind": kinds,
            "units": [4400.0] * count,
            "n": [200.0] * count,
            "bad": bad,
        }
    )
    return Rows(table, {}, np.datetime64(AT, "us") + np.arange(count) * np.timedelta64(1, "D"))


def test_each_kind_of_nonconformity_has_its_own_limit_and_its_own_switching() -> None:
    rule = Sampling.model_validate(BY_CLASS | {"aql": AQL})
    found = sample(rule, lots(["major", "minor"] * 3, [4, 4, 4, 7, 3, 8]))
    # Two rejected major lots tighten inspection of majors alone: 3 are too many for the third.
    assert found.classes.to_pylist() == ["rejected", "accepted", "rejected", "accepted", "rejected", "rejected"]
    states = {row["lots_of"]: row["state"] for row in found.further["state"].to_pylist()}
    assert states == {"S/major": "tightened", "S/minor": "normal"}


def test_a_kind_without_a_limit_and_a_limit_by_another_column_are_refused() -> None:
    rule = Sampling.model_validate(BY_CLASS | {"aql": AQL})
    with pytest.raises(CellworksError, match="no acceptance quality limit by their 'kind'") as told:
        sample(rule, lots(["critical"], [0]))
    assert told.value.found == "critical"
    with pytest.raises(ValidationError, match=r"aql\.column is one of `of`"):
        Sampling.model_validate(BY_CLASS | {"aql": AQL | {"column": "colour"}})
    with pytest.raises(ValidationError, match="aql is one of"):
        Sampling.model_validate(BY_CLASS | {"aql": {"column": "kind", "of": {"major": 0.7}}})
