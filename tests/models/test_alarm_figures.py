"""Figures of an alarm system: a log worked out by hand, and any log beside the same figures worked out row by row."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import ValidationError

from models.features.source import Tables
from models.indicator.alarms import alarm_figures
from models.indicator.alarms_spec import Alarms
from models.indicator.levels import Figures
from orchestration.evaluation.indicators import alarms as evaluation

START = datetime(2026, 9, 1)  # noqa: DTZ001 - the lake's times are UTC without a zone
KEYS = ["machine_id", "alarm_code", "production_day"]
SPEC = Alarms.model_validate({"kind": "alarms", "roll_up": [["machine_id"]]})
WINDOW = timedelta(minutes=10)
Log = list[dict[str, Any]]


def alarm(
    at: datetime, code: str = "A", machine: str = "m", stands_s: float | None = 30, **more: Any
) -> dict[str, Any]:
    returned = None if stands_s is None else at + timedelta(seconds=stands_s)
    row = {"machine_id": machine, "alarm_code": code, "priority_code": "low", "production_day": at.date()}
    return row | {"raised_at": at, "returned_at": returned} | more


def figures(log: Log, spec: Alarms = SPEC, now: datetime = START + timedelta(days=3)) -> Figures:
    con = duckdb.connect(config={"threads": 1})
    con.register("log", pa.Table.from_pylist(log))
    return alarm_figures(Tables(con, None, {"log": "log"}), "log", spec, KEYS, now)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def level(found: pa.Table, name: str, **by: Any) -> list[dict[str, Any]]:
    rows = [row for row in found.to_pylist() if row["level"] == name]
    return [row for row in rows if all(row[key] == value for key, value in by.items())]


# Windows of ten minutes from midnight on: 12, 5, 4 and 1 alarms. The flood is the first two, for 5 are not below 5.
BY_HAND = [
    *(alarm(at(0.5 * number), f"A{number:02d}") for number in range(12)),
    *(alarm(at(10 + number), f"A{number:02d}") for number in range(5)),
    *(alarm(at(20 + number), "B") for number in range(4)),
    alarm(at(35), "S", stands_s=None, priority_code="high"),
]


def test_a_flood_begins_with_ten_and_ends_before_the_first_window_below_five() -> None:
    found = figures(BY_HAND)
    (flood,) = found.current["flood"].to_pylist()
    assert (flood["began_at"], flood["ended_at"]) == (at(0), at(20))
    assert (flood["alarm_count"], flood["peak_count"]) == (17, 12)
    natures = {row["nature"]: row["alarm_count"] for row in level(found.current["nature"], "all")}
    assert natures == {"flood": 17, "single": 4, "stale": 1}
    (load,) = level(found.current["load"], "all")
    windows = 3 * 24 * 6 + 1
    assert load["alarms_per_operator_window"] == pytest.approx(22 / windows, rel=1e-12)
    assert load["flooded_ratio"] == pytest.approx(2 / windows, rel=1e-12)
    assert all(passed for passed, _ in found.checks.values())


def test_two_operators_bear_twice_as_much() -> None:
    found = figures(BY_HAND, SPEC.model_copy(update={"operators": 2}))
    assert found.current["flood"].num_rows == 0
    assert level(found.current["load"], "all")[0]["peak_per_operator_window"] == 6.0


@pytest.mark.parametrize(("gaps_s", "chattering"), [([30, 30], 3), ([30, 31], 0), ([20, 20, 20, 61], 4), ([59], 0)])
def test_three_within_a_minute_chatter(gaps_s: list[float], chattering: int) -> None:
    moments = [START + timedelta(seconds=float(s)) for s in np.cumsum([0, *gaps_s])]
    found = figures([alarm(moment, stands_s=1) for moment in moments])
    assert level(found.current["figure"], "all")[0]["chattering_count"] == chattering
    (answer,) = found.answers.to_pylist()
    assert (answer["class"], answer["is_flagged"]) == (("chattering", True) if chattering else ("single", False))


def test_nothing_is_said_of_a_day_while_an_alarm_may_become_stale() -> None:
    log = [alarm(at(0), stands_s=None)]
    assert figures(log, now=at(60 * 23)).answers.to_pylist()[0]["class"] is None
    assert figures(log, now=at(60 * 25)).answers.to_pylist()[0]["class"] == "stale"


def test_a_chain_is_what_follows_what_in_several_floods() -> None:
    floods = [start + timedelta(hours=2 * n) for n, start in enumerate([START] * 3)]
    order = [["pump", "flow", *(f"X{n}{k}" for k in range(9))] for n in range(3)]
    log = [
        alarm(begin + timedelta(seconds=5 * place), code)
        for begin, codes in zip(floods, order, strict=True)
        for place, code in enumerate(codes)
    ]
    (chain,) = figures(log).current["chain"].to_pylist()
    assert (chain["first_alarm"], chain["then_alarm"]) == ("m/pump", "m/flow")
    assert (chain["flood_count"], chain["of_floods_ratio"], chain["median_gap_s"]) == (3, 1.0, 5.0)


def test_unknown_priorities_and_alarms_that_return_before_they_came_are_told() -> None:
    found = figures([alarm(at(0), priority_code="urgent", stands_s=-5)])
    assert found.checks["all_mapped"] == (False, "priorities that the YAML does not name: urgent")
    assert not found.checks["plausible"][0]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"flood_below": 11}, "a flood ends below what it begins with"),
        ({"priorities": {"low": 0.8, "high": 0.3}}, r"add up to 1; found 1\.1"),
        ({"alarm": []}, "at least 1 item"),
    ],
)
def test_a_wrong_spec_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        Alarms.model_validate({"kind": "alarms"} | changes)


def random_log(seed: int) -> Log:
    """Three days of alarms of ten machines: bursts, chatter, some that stand for days."""
    rng = np.random.default_rng(seed)
    moments = np.sort(
        np.concatenate([rng.uniform(0, 3 * 86_400, 400), *(rng.normal(m, 200, 40) for m in (2e4, 1e5, 2e5))])
    )
    moments = np.clip(moments, 0, 3 * 86_400 - 1)
    log = []
    for second in moments:
        moment = START + timedelta(seconds=round(float(second), 3))
        stands_s = None if rng.random() < 0.02 else float(np.round(rng.exponential(20_000), 3))
        code, machine = f"A{rng.integers(4)}", f"m{rng.integers(3)}"
        priority = rng.choice(["low", "medium", "high"], p=[0.8, 0.15, 0.05])
        log.append(alarm(moment, code, machine, stands_s, priority_code=str(priority)))
    return log


def frame(log: Log) -> pd.DataFrame:
    return pd.DataFrame(log).astype({"raised_at": "datetime64[us]", "returned_at": "datetime64[us]"})


def test_the_means_of_evaluation_tell_the_log_by_hand_likewise() -> None:
    now = START + timedelta(days=3)
    found = evaluation.natures(frame(BY_HAND), SPEC, now)
    assert found.tolist() == ["flood"] * 17 + ["single"] * 4 + ["stale"]
    twice = evaluation.natures(frame(BY_HAND), SPEC.model_copy(update={"operators": 2}), now)
    assert twice.tolist() == ["single"] * 21 + ["stale"]
    burst = [alarm(START + timedelta(seconds=second), stands_s=1) for second in (0, 20, 40, 60, 61, 200)]
    assert evaluation.natures(frame(burst), SPEC, now).tolist() == ["chattering"] * 5 + ["single"]
    open_day = evaluation.alarms_of(frame([alarm(at(0), stands_s=None)]), SPEC, KEYS, at(60 * 23))
    assert open_day["class"].isna().all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_figure_is_that_of_the_rows(seed: int) -> None:
    log, now = random_log(seed), START + timedelta(days=4)
    found = figures(log, now=now)
    natures, window = evaluation.natures(frame(log), SPEC, now), evaluation.windows_of(frame(log), SPEC)
    flooded = evaluation.flooded(window, SPEC)
    assert flooded
    assert {"stale", "flood", "single"} <= set(natures)
    by_level: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for row, nature in zip(log, natures, strict=True):
        for key in (("all",), ("machine_id", row["machine_id"]), ("production_day", row["production_day"])):
            by_level[key][nature] += 1
    for (name, *value), expected in by_level.items():
        rows = level(found.current["nature"], name, **dict(zip([name], value, strict=False)))
        assert {row["nature"]: row["alarm_count"] for row in rows} == dict(expected)
    (whole,) = level(found.current["figure"], "all")
    for name in ("low", "medium", "high"):
        share = sum(row["priority_code"] == name for row in log) / len(log)
        assert whole[f"{name}_ratio"] == pytest.approx(share, rel=1e-9)
    (load,) = level(found.current["load"], "all")
    windows = (now - datetime(1970, 1, 1)) // WINDOW - int(window.min()) + 1  # noqa: DTZ001 - as START
    assert load["alarms_per_operator_window"] == pytest.approx(len(log) / windows, rel=1e-9)
    assert load["flooded_ratio"] == pytest.approx(len(flooded) / windows, rel=1e-9)
    ranked = Counter(f"{row['machine_id']}/{row['alarm_code']}" for row in log).most_common()
    assert load["top_ratio"] == pytest.approx(sum(count for _, count in ranked[:10]) / len(log), rel=1e-9)
    assert [row["alarm_count"] for row in found.current["top"].to_pylist()] == [count for _, count in ranked[:10]]
    told = found.answers.to_pandas().set_index(KEYS).sort_index()
    anew = evaluation.alarms_of(frame(log), SPEC, KEYS, now).sort_index()
    assert told["value"].tolist() == anew["value"].tolist()
    assert told["class"].fillna("").tolist() == anew["class"].fillna("").tolist()
