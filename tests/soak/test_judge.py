"""What the soak says of its figures: one that never came is no figure that does not grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.soak.__main__ import JUDGED, grown, judge
from tests.soak.installation import ROOM, Pace
from tests.soak.slopes import FEWEST, Slope, slope

OF_IT = "postgres_mlflow_mb"


def _found(days: int, grown: str = "", lost: str = "") -> dict[str, Any]:
    flat, rising = ({"per_day": a, "low": a, "high": a, "level": 1.0, "days": days} for a in (0.0, 1.0))
    is_judged = days >= FEWEST * 3 / 2
    figures = {name: (rising if name == grown else flat) if is_judged else None for name in JUDGED}
    return {
        "runs": {},
        "days_delivered": days,
        "rows": {"delivered": 1000, "taken_in": 990, "set_aside": 10},
        "trained": [],
        "settled": True,
        **dict.fromkeys(("ended", "more_processes", "left_behind"), ()),
        "samples": [{"day": float(day)} for day in range(1, days + 2)],
        "slopes": figures | ({lost: None} if lost else {}),
    }


def _grows(found: dict[str, Any], days: int) -> dict[str, bool | None]:
    checks = judge(found, Pace(days, 60, 10, 3, 0.05))
    return {name: checks[f"{name} does not grow"] for name in JUDGED}


@pytest.mark.parametrize("name", JUDGED)
def test_a_figure_that_grew_or_never_came_fails_once_there_are_days_enough(name: str) -> None:
    for found in (_found(60, grown=name), _found(60, lost=name)):
        assert _grows(found, 60) == {each: each != name for each in JUDGED}


@pytest.mark.parametrize(
    ("rows", "held"),
    [
        ({}, True),
        ({"taken_in": 17}, False),
        ({"taken_in": 991}, False),
        ({"delivered": 0, "taken_in": 0, "set_aside": 0}, False),
    ],
)
def test_a_single_taking_in_is_not_all_that_was_delivered(rows: dict[str, int], held: bool) -> None:
    found = _found(60)
    found["runs"] = {"new_data": {"SUCCESS": 1}}
    found["rows"] |= rows
    assert judge(found, Pace(60, 60, 10, 3, 0.05))["every row that was delivered was taken in"] is held


def test_days_before_the_first_make_up_for_none_that_was_lost() -> None:
    found = _found(60) | {"runs": {"plant_day": {"SUCCESS": 63}}}
    for delivered, held in ((60, True), (59, False)):
        checks = judge(found | {"days_delivered": delivered}, Pace(60, 60, 10, 3, 0.05))
        assert checks["every day was delivered"] is held


def test_few_days_judge_nothing() -> None:
    assert set(_grows(_found(6), 6).values()) == {None}
    assert slope(range(6), [1.0] * 6, lags=3) is None


def test_the_registry_is_judged_from_the_day_on_which_it_holds_what_is_kept() -> None:
    def slope_of(versions: Callable[[int], float]) -> Slope | None:
        samples = [
            {"day": float(day), "versions": versions(day)} | dict.fromkeys(JUDGED, 1.0) | {OF_IT: versions(day) / 9}
            for day in range(1, 62)
        ]
        return grown(samples, Pace(60, 60, 10, 3, 0.05))[OF_IT]

    filled = slope_of(lambda day: min(ROOM, 3 * (1 + day // 10)))
    assert filled is not None
    assert not filled.grows
    beyond = slope_of(lambda day: 3 * (1 + day // 10))
    assert beyond is not None
    assert beyond.grows
    assert slope_of(lambda day: 3.0) is None, "too few nights say nothing of it"


def test_versions_that_are_never_let_go_are_more_than_there_is_room_for() -> None:
    for beyond, held in ((6, True), (7, False)):
        found = _found(60)
        found["samples"][31]["versions"] = float(ROOM + beyond)
        checks = judge(found, Pace(60, 60, 10, 3, 0.05))
        assert checks["no more versions than are kept and two trainings bring"] is held
