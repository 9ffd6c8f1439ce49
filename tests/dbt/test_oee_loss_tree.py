"""equipment/oee_loss_tree beside the same figures worked out from raw rows, by walking through them one by one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestration.catalogue import find
from orchestration.night import solve
from orchestration.plant import Plant
from orchestration.solving import PREDICTIONS, Outcome
from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PROJECT
from pipelines.curation.report import CurateReport
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.publish import publish

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
DAY_BEGINS, ZONE = timedelta(hours=6), ZoneInfo("Asia/Shanghai")
# Reasons of a state by what they cost; whatever is not named here costs nothing or is unknown.
PLANNED, SETUP, FAILED = {"Stopped"}, {("Held", "changeover")}, {"Aborted"}
pytestmark = pytest.mark.slow


@dataclass
class Shift:
    """What a machine did in a shift, added up."""

    seconds: dict[tuple[str, str | None], float] = field(default_factory=lambda: defaultdict(float))
    produced: float = 0.0
    good: float = 0.0
    failures: int = 0


@dataclass
class Told:
    """Records of the line, and what the night of the solution told of them."""

    states: list[dict[str, Any]]
    outcome: Outcome
    answers: list[dict[str, Any]]
    figures: list[dict[str, Any]]
    losses: list[dict[str, Any]]
    kpis: list[dict[str, Any]]


@pytest.fixture(scope="module")
def told(home: Home, run_all: Callable[[Home], list[CurateReport]]) -> Told:
    run_all(home)
    with writer(home, why="test") as con:
        publish(con, "equipment", "test")
    spec = find("equipment/oee_loss_tree")
    outcome = solve(spec, Plant(SITE, home), parts=[PREDICTIONS], domain="equipment", full_search=False, actor="test")
    newest = "QUALIFY row_number() OVER (PARTITION BY machine_id, event_at ORDER BY known_at DESC) = 1"
    with reader(home) as con:
        tables = [
            f"raw.scada__machine_state {newest} ORDER BY machine_id, event_at",
            "solutions.oee_loss_tree",
            "solutions.oee_loss_tree_figure",
            "solutions.oee_loss_tree_loss",
            "marts.kpi_day",
        ]
        states, *rest = [con.execute(f"SELECT * FROM {table}").to_arrow_table().to_pylist() for table in tables]
    return Told(states, outcome, *rest)


def shift_at(moment: datetime) -> tuple[date, str, datetime]:
    """Production day and shift of a UTC moment, and when that shift ends; shifts begin at 6, 14 and 22 o'clock."""
    local = moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZONE).replace(tzinfo=None)
    day = (local - DAY_BEGINS).date()
    place = int((local - datetime.combine(day, time(6))) / timedelta(hours=8))
    ends = datetime.combine(day, time(6)) + timedelta(hours=8) * (place + 1)
    return (
        day,
        ("early", "late", "night")[place],
        ends.replace(tzinfo=ZONE).astimezone(ZoneInfo("UTC")).replace(tzinfo=None),
    )


def walked(states: list[dict[str, Any]]) -> dict[tuple[str, date, str], Shift]:
    """Each machine's shifts: a state that lasts beyond a shift is shared out by its time."""
    found: dict[tuple[str, date, str], Shift] = defaultdict(Shift)
    before: dict[str, dict[str, Any]] = {}
    for state in states:
        machine = state["machine_id"]
        if not SITE.machines_by_id[machine].is_in_oee:
            continue
        at, ended = state["event_at"], state["ended_at"]
        whole = (ended - at).total_seconds()
        fails = state["state_code"] in FAILED
        last = before.get(machine)
        if fails and not (last and last["state_code"] in FAILED and last["ended_at"] >= at):
            found[(machine, *shift_at(at)[:2])].failures += 1
        before[machine] = state
        while at < ended:
            day, code, ends = shift_at(at)
            shift, until = found[machine, day, code], min(ends, ended)
            part = (until - at).total_seconds()
            shift.seconds[state["state_code"], state["reason_code"]] += part
            shift.produced += state["produced_count"] * part / whole
            shift.good += state["good_count"] * part / whole
            at = until
    return found


def added(shifts: dict[tuple[str, date, str], Shift]) -> dict[str, float]:
    """The figures of some shifts of some machines, by the definitions of ISO 22400-2."""
    calendar = 8 * 3600.0 * len(shifts)
    spent: dict[tuple[str, str | None], float] = defaultdict(float)
    ideal = good = 0.0
    for (machine, _, _), shift in shifts.items():
        for state, seconds in shift.seconds.items():
            spent[state] += seconds
        cycle_s = 3600 / SITE.machines_by_id[machine].ideal_rate_per_h
        could = min(shift.produced * cycle_s, shift.seconds["Execute", None])
        ideal += could
        good += could * shift.good / shift.produced if shift.produced else 0.0
    production = sum(seconds for (state, _), seconds in spent.items() if state == "Execute")
    planned = sum(seconds for (state, _), seconds in spent.items() if state in PLANNED)
    setup = sum(seconds for state, seconds in spent.items() if state in SETUP)
    repair = sum(seconds for (state, _), seconds in spent.items() if state in FAILED)
    busy = calendar - planned
    failures = sum(shift.failures for shift in shifts.values())
    effectiveness, quality = ideal / production, (good / ideal if ideal else None)
    return {
        "calendar_s": calendar,
        "planned_busy_s": busy,
        "production_s": production,
        "availability": production / busy,
        "effectiveness": effectiveness,
        "quality": quality,
        "failure_count": failures,
        "mtbf_h": production / 3600 / failures if failures else None,
        "mttr_h": repair / 3600 / failures if failures else None,
        "oee": production / busy * effectiveness * (quality or 0.0),
        "nee": (production + setup) / busy * effectiveness * (quality or 0.0),
        "teep": production / calendar * effectiveness * (quality or 0.0),
    }


def same(row: dict[str, Any], by_hand: dict[str, Any]) -> None:
    for name, value in by_hand.items():
        assert row[name] == (value if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), (
            name,
            row["level"],
        )


def test_the_night_told_every_check_and_every_machine_and_day(told: Told) -> None:
    assert told.outcome.failure == ""
    assert {check.name: check.passed for check in told.outcome.checks} == dict.fromkeys(
        ("stands", "adds_up", "all_mapped", "plausible", "complete"), True
    )
    machines = [machine for machine in SITE.machines_by_id.values() if machine.is_in_oee]
    assert len(told.answers) == len(machines) * 10
    assert {row["model_version"][:5] for row in told.answers} == {"rule-"}


def test_figures_of_every_level_are_those_of_the_raw_rows(told: Told) -> None:
    shifts = walked(told.states)
    step = {each.id: each.step for each in SITE.machines_by_id.values()}
    parts: dict[tuple[Any, ...], dict[tuple[str, date, str], Shift]] = defaultdict(dict)
    for (machine, day, code), shift in shifts.items():
        for level in (
            ("machine_id x production_day x shift_code", machine, day, code),
            ("machine_id x production_day", machine, day),
            ("step_code x production_day", step[machine], day),
            ("step_code", step[machine]),
            ("machine_id", machine),
            ("all",),
        ):
            parts[level][machine, day, code] = shift
    compared = 0
    for row in told.figures:
        key = (row["level"], *(row[name] for name in row["level"].split(" x ") if name != "all"))
        if key in parts:
            same(row, added(parts[key]))
            compared += 1
    assert compared == len(parts)


def test_losses_add_up_to_the_calendar_and_are_those_of_the_raw_rows(told: Told) -> None:
    whole = [row for row in told.losses if row["level"] == "all"]
    (figures,) = [row for row in told.figures if row["level"] == "all"]
    assert sum(row["lost_s"] for row in whole) == pytest.approx(figures["calendar_s"], rel=1e-9)
    by_hand: dict[str, float] = defaultdict(float)
    for shift in walked(told.states).values():
        for (state, reason), seconds in shift.seconds.items():
            by_hand[reason or state] += seconds
    for row in whole:
        if row["loss"] in by_hand:
            assert row["lost_s"] == pytest.approx(by_hand[row["loss"]], rel=1e-9)
    named = {row["loss"] for row in whole}
    assert set(by_hand) - {"Execute"} <= named
    assert {"speed", "quality", "not_recorded", "fully_productive"} <= named


def test_what_the_plants_key_figures_say_of_the_bottleneck_is_the_same(told: Told) -> None:
    stacking = {
        row["production_day"]: row
        for row in told.figures
        if row["level"] == "step_code x production_day" and row["step_code"] == "stacking"
    }
    assert told.kpis
    for kpi in told.kpis:
        assert stacking[kpi["production_day"]]["availability"] == pytest.approx(kpi["availability"], rel=1e-9)
        assert stacking[kpi["production_day"]]["effectiveness"] == pytest.approx(kpi["performance"], rel=1e-9)


def test_an_answer_names_the_largest_losses_of_its_day(told: Told) -> None:
    for answer in told.answers[::97]:
        own = [
            row
            for row in told.losses
            if row["level"] == "machine_id x production_day"
            and (row["machine_id"], row["production_day"]) == (answer["machine_id"], answer["production_day"])
            and row["element"] not in ("planned_stop", "not_recorded", "fully_productive")
        ]
        largest = sorted(own, key=lambda row: -row["lost_s"])[:3]
        assert answer["class"] == largest[0]["loss"]
        reasons = json.loads(answer["reasons"])
        assert [each["feature"].split("/")[1] for each in reasons] == [
            row["loss"] for row in largest if row["lost_s"] > 0
        ]


def test_a_second_night_over_the_same_rows_tells_nothing_new(told: Told, home: Home) -> None:
    again = solve(
        find("equipment/oee_loss_tree"),
        Plant(SITE, home),
        parts=[PREDICTIONS],
        domain="equipment",
        full_search=False,
        actor="test",
    )
    assert again.results[PREDICTIONS]["rows"] == 0
    with reader(home) as con:
        assert con.execute("SELECT count(*) FROM solutions.oee_loss_tree").fetchone() == (len(told.answers),)
    picture = home.report_dir("oee_loss_tree") / "loss_waterfall.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
