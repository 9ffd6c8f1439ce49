"""The loss tree of ISO 22400: a day worked out by hand, what adds up whatever the states are, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.features.source import Tables
from models.indicator.oee import LossTree, checks, loss_tree
from models.indicator.oee_spec import Oee
from models.indicator.waterfall import bars
from pipelines.control_plan.errors import CellworksError

DAY = datetime(2026, 9, 1)  # noqa: DTZ001 - the lake's times are UTC without a zone
ELEMENTS = {
    "production": ["Execute"],
    "setup": ["Held/changeover"],
    "delay": ["Held", "Suspended", "Aborted", "Clearing"],
    "planned_stop": ["Stopped"],
}
KEYS = ["machine_id", "production_day"]


def oee(**changes: Any) -> Oee:
    content = {"kind": "oee", "elements": ELEMENTS, "failures": ["Aborted", "Clearing"], "roll_up": [["step_code"]]}
    return Oee.model_validate(content | changes)


def state(begin_h: float, end_h: float, code: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A state of machine m from one hour of the day to another; the day has two shifts of twelve hours."""
    late = begin_h >= 12
    return {
        "machine_id": "m",
        "step_code": "stacking",
        "production_day": DAY.date(),
        "shift_code": "late" if late else "early",
        "shift_from_at": DAY + timedelta(hours=12 * late),
        "shift_to_at": DAY + timedelta(hours=12 + 12 * late),
        "begun_at": DAY + timedelta(hours=begin_h),
        "ended_at": DAY + timedelta(hours=end_h),
        "state_code": code,
        "reason_code": reason,
        "produced_count": 0.0,
        "good_count": 0.0,
        "ideal_rate_per_h": 50.0,
        **more,
    }


def tree(rows: Iterable[dict[str, Any]], spec: Oee | None = None, now_h: float = 24) -> LossTree:
    con = duckdb.connect(config={"threads": 1})
    con.register("states", pa.Table.from_pylist(list(rows)))
    tables = Tables(con, None, {"states": "states"})
    return loss_tree(tables, "states", spec or oee(), KEYS, DAY + timedelta(hours=now_h))


def figures(found: LossTree, level: str, **by: Any) -> dict[str, Any]:
    rows = [row for row in found.figures.to_pylist() if row["level"] == level]
    (row,) = [row for row in rows if all(row[name] == value for name, value in by.items())]
    return row


def lost_h(found: LossTree, level: str = "all") -> dict[str, float]:
    rows = [row for row in found.losses.to_pylist() if row["level"] == level and row["lost_s"] > 0]
    return {f"{row['element']}/{row['loss']}": row["lost_s"] / 3600 for row in rows}


# Calendar 24 h, of which 2 h planned: PBT 22 h. APT 16 h, ideal 50/h x 16 h = 800, made 600 of which 540 good:
# A = 16/22, E = 600/800, Q = 540/600. Fully productive 540/50 = 10.8 h. Two failures of 1 h together.
BY_HAND = [
    state(0, 2, "Stopped", "shift_meeting"),
    state(2, 10, "Execute", produced_count=400.0, good_count=360.0),
    state(10, 11, "Held", "changeover"),
    state(11, 11.5, "Aborted", "breakdown"),
    state(11.5, 12, "Suspended", "starved"),
    state(12, 20, "Execute", produced_count=200.0, good_count=180.0),
    state(20, 20.25, "Aborted", "breakdown"),
    state(20.25, 20.5, "Clearing"),
    state(20.5, 24, "Held", "jam"),
]


def test_a_day_worked_out_by_hand() -> None:
    found = tree(BY_HAND)
    day = figures(found, "machine_id x production_day")
    expected = {
        "calendar_s": 24 * 3600,
        "planned_busy_s": 22 * 3600,
        "production_s": 16 * 3600,
        "availability": 16 / 22,
        "effectiveness": 0.75,
        "quality": 0.9,
        "oee": 16 / 22 * 0.75 * 0.9,
        "nee": 17 / 22 * 0.75 * 0.9,
        "teep": 16 / 22 * 0.75 * 0.9 * 22 / 24,
        "mtbf_h": 8.0,
        "mttr_h": 0.5,
    }
    assert {name: day[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert lost_h(found) == pytest.approx(
        {
            "planned_stop/shift_meeting": 2.0,
            "setup/changeover": 1.0,
            "delay/breakdown": 0.75,
            "delay/Clearing": 0.25,
            "delay/starved": 0.5,
            "delay/jam": 3.5,
            "speed/speed": 4.0,
            "quality/quality": 1.2,
            "fully_productive/fully_productive": 10.8,
        },
        rel=1e-12,
    )
    (answer,) = found.answers.to_pylist()
    assert (answer["machine_id"], answer["class"], answer["is_flagged"]) == ("m", "speed", False)
    assert answer["value"] == pytest.approx(10.8 / 22, rel=1e-12)
    assert answer["event_at"] == DAY + timedelta(hours=24)
    assert json.loads(answer["reasons"])[0] == {"feature": "speed/speed", "value": 4.0, "contribution": -0.1818}
    assert all(passed for passed, _ in checks(found).values())


def test_the_waterfall_steps_down_from_the_calendar_to_what_is_left() -> None:
    drawn = bars(*(tree(BY_HAND).figures, tree(BY_HAND).losses))
    assert drawn[0] == ("calendar", 0.0, 1.0)
    assert drawn[-1] == ("fully productive", 0.0, pytest.approx(10.8 / 24))
    ends = [begin for name, begin, _ in drawn if begin > 0]
    assert ends == sorted(ends, reverse=True)
    assert ends[-1] == pytest.approx(10.8 / 24)


def test_a_machine_that_says_nothing_for_a_shift_lost_it_unrecorded_and_is_told() -> None:
    quiet = [row | {"machine_id": "quiet"} for row in BY_HAND if row["shift_code"] == "early"]
    found = tree([*BY_HAND, *quiet])
    assert figures(found, "machine_id x production_day", machine_id="quiet")["not_recorded_s"] == 12 * 3600
    assert found.unrecorded == {"quiet": 0.5}
    assert checks(found)["complete"] == (False, "time without a state: quiet (50.00%)")


def test_a_wrong_ideal_cycle_is_capped_and_told() -> None:
    found = tree([row | {"ideal_rate_per_h": 30.0} for row in BY_HAND])
    early = figures(found, "machine_id x production_day x shift_code", shift_code="early")
    assert (early["effectiveness"], early["effectiveness_uncapped"]) == (1.0, pytest.approx(400 / 30 / 8))
    day = figures(found, "machine_id x production_day")
    # The late shift made 200 where 240 were possible: what the early one made too much does not hide that.
    assert day["effectiveness"] == pytest.approx((8 + 200 / 30) / 16)
    assert found.too_fast == {"m": pytest.approx(600 / 30 / 16)}
    assert not checks(found)["plausible"][0]


def test_a_failure_that_the_end_of_a_shift_cuts_is_one() -> None:
    rows = [
        state(0, 11, "Execute", produced_count=100.0, good_count=100.0),
        state(11, 12, "Aborted"),
        state(12, 13, "Aborted"),
        state(13, 24, "Execute", produced_count=100.0, good_count=100.0),
    ]
    found = tree(rows)
    assert figures(found, "all")["failure_count"] == 1
    assert figures(found, "all")["mttr_h"] == pytest.approx(2.0)
    late = figures(found, "machine_id x production_day x shift_code", shift_code="late")
    assert (late["failure_count"], late["mttr_h"], late["mtbf_h"]) == (0, None, None)


def test_a_state_that_nobody_mapped_is_lost_time_and_told() -> None:
    found = tree([*BY_HAND[:-1], state(20.5, 24, "Idle", "no_order")])
    assert lost_h(found)["unmapped/Idle/no_order"] == 3.5
    assert found.unmapped == ["Idle/no_order"]
    assert figures(found, "all")["planned_busy_s"] == 22 * 3600


def test_a_day_under_way_lasts_until_now_and_is_not_judged_yet() -> None:
    found = tree(BY_HAND[:6], oee(below=0.9), now_h=18)
    (answer,) = found.answers.to_pylist()
    assert (answer["class"], answer["is_flagged"]) == (None, False)
    assert figures(found, "all")["calendar_s"] == 18 * 3600
    assert tree(BY_HAND, oee(below=0.9)).answers.to_pylist()[0]["is_flagged"]


def test_overlapping_states_and_impossible_counts_are_refused() -> None:
    with pytest.raises(CellworksError, match="do not add up"):
        tree([*BY_HAND, state(3, 4, "Held", "jam")])
    with pytest.raises(CellworksError, match="do not add up"):
        tree([BY_HAND[1] | {"good_count": 500.0}, *BY_HAND[2:]])
    with pytest.raises(CellworksError, match="no ideal rate"):
        tree([row | {"ideal_rate_per_h": None} for row in BY_HAND])


def test_what_does_not_count_is_left_out_and_a_missing_column_is_named() -> None:
    rows = [row | {"is_in_oee": True} for row in BY_HAND]
    other = [row | {"machine_id": "lamp", "is_in_oee": False, "ideal_rate_per_h": None} for row in BY_HAND]
    found = tree([*rows, *other], oee(only="is_in_oee"))
    assert figures(found, "all")["calendar_s"] == 24 * 3600
    with pytest.raises(CellworksError, match="lacks columns") as told:
        tree(rows, oee(only="is_counted"))
    assert told.value.found == "is_counted"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"elements": {"setup": ["Held"]}}, "production names the state"),
        ({"elements": {"production": ["Execute"], "delay": ["Held"], "setup": ["Held"]}}, "found twice: Held"),
        ({"reason": None}, "write `reason`"),
        ({"kind": "alarms"}, "oee"),
    ],
)
def test_a_wrong_spec_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        oee(**changes)


CODES = [
    ("Execute", None),
    ("Held", "changeover"),
    ("Held", "jam"),
    ("Suspended", None),
    ("Aborted", "x"),
    ("Stopped", None),
]
STATE = st.tuples(st.sampled_from(CODES), st.integers(0, 4 * 3600), st.floats(0, 300), st.floats(0, 1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from("abc"), st.lists(STATE, min_size=1, max_size=8), min_size=1))
def test_whatever_the_states_are_every_level_adds_up_to_its_calendar(machines: dict[str, Any]) -> None:
    rows = []
    for machine, states in machines.items():
        at_h = 0.0
        for (code, reason), seconds, produced, good_share in states:
            until_h = min(at_h + seconds / 3600, 12.0 if at_h < 12 else 24.0)
            made = produced if code == "Execute" else 0.0
            count = {"produced_count": made, "good_count": made * good_share}
            rows.append(state(at_h, until_h, code, reason, machine_id=machine, **count))
            at_h = until_h
    found = tree(rows)
    losses = found.losses.to_pylist()
    for row in found.figures.to_pylist():
        own = [
            each["lost_s"]
            for each in losses
            if all(each[name] == row[name] for name in ("level", *KEYS, "step_code", "shift_code"))
        ]
        assert min(own) >= -1e-6
        assert sum(own) == pytest.approx(row["calendar_s"], rel=1e-9)
        if row["oee"] and row["level"] != "all":
            assert row["oee"] == pytest.approx(row["availability"] * row["effectiveness"] * row["quality"], rel=1e-9)
            assert row["teep"] <= row["oee"] <= row["nee"] + 1e-12 <= 1 + 1e-9
