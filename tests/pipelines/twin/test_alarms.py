"""The alarm log tells its causes: trips before what follows them, stops, and sensors that chatter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.site import Site
from pipelines.twin.alarms import Alarms
from pipelines.twin.clock import HOUR
from pipelines.twin.equipment import Equipment
from pipelines.twin.interventions import Interventions
from pipelines.twin.line import run_day
from pipelines.twin.table import Table
from pipelines.twin.world import World

DAYS = 6
OWN = {"drive_not_ready", "guard_interlock", "position_lost", "vacuum_low", "cooling_flow_low", "bus_fault"}
NEIGHBOURS = {"infeed_starved", "outfeed_blocked"}


class Log(NamedTuple):
    alarms: pd.DataFrame
    records: pd.DataFrame
    states: pd.DataFrame
    trips: dict[str, list[tuple[float, float]]]


@pytest.fixture(scope="module")
def log(site: Site) -> Log:
    world = World(site, 3, "baseline", 1.0)
    equipment = Equipment(world, Interventions(world, []), until_s=world.clock.bounds(DAYS)[1])
    records, states = [], []
    for day in range(DAYS):
        of_day = run_day(world, equipment, day).states
        made: dict[str, Table] = {}
        records.append(pd.DataFrame(Alarms(world, equipment, day).records(of_day, equipment.health(day, day), made)))
        states.append(pd.DataFrame({key: of_day[key] for key in ("machine_id", "start_s", "end_s", "reason_code")}))
    every = pd.concat(records, ignore_index=True)
    end = world.clock.bounds(DAYS - 1)[1]
    trips = {machine.id: equipment.breakdowns(machine.id, 0.0, end) for machine in site.machines()}
    return Log(every.dropna(subset=["returned_s"]).sort_values("raised_s"), every, pd.concat(states), trips)


def test_each_breakdown_is_a_trip_of_high_priority_until_it_is_repaired(log: Log) -> None:
    found = log.alarms[log.alarms["alarm_code"] == "machine_trip"]
    assert set(found["priority_code"]) == {"high"}
    wanted = sorted((start, until, machine) for machine, each in log.trips.items() for start, until in each)
    assert len(wanted) > 10
    told = found[["raised_s", "returned_s", "machine_id"]].sort_values("raised_s").itertuples(index=False, name=None)
    assert list(told) == wanted


def test_what_follows_a_trip_is_raised_after_it_and_goes_when_it_is_repaired(log: Log) -> None:
    own = log.alarms[log.alarms["alarm_code"].isin(OWN)]
    assert len(own) > 50
    for alarm in own.itertuples():
        since = [until for start, until in log.trips[alarm.machine_id] if start < alarm.raised_s < start + HOUR]
        assert since, alarm
        assert alarm.returned_s >= since[0]


def test_a_flood_begins_with_its_root(log: Log) -> None:
    """Ten alarms in ten minutes (ISA-18.2), of the machine that tripped and its neighbours; the trip comes first."""
    first = {}
    for machine, trips in log.trips.items():
        for start, _ in trips:
            near = log.alarms[(log.alarms["raised_s"] >= start) & (log.alarms["raised_s"] < start + 600)]
            own = near[(near["machine_id"] == machine) & near["alarm_code"].isin(OWN | {"machine_trip"})]
            first[machine, start] = own.iloc[0]["alarm_code"], len(near)
    assert {code for code, _ in first.values()} == {"machine_trip"}
    in_flood = [count >= 10 for _, count in first.values()]
    quiet = [
        ((log.alarms["raised_s"] >= at) & (log.alarms["raised_s"] < at + 600)).sum()
        for at in np.arange(0, DAYS * 86400, 600)
    ]
    assert np.mean(in_flood) > max(0.5, 4 * np.mean(np.array(quiet) >= 10))


def test_the_neighbours_of_a_lone_machine_are_struck_more_than_those_of_one_of_many(log: Log, site: Site) -> None:
    struck: dict[bool, list[int]] = {True: [], False: []}
    stop_starts = set(log.states["start_s"])
    by_trip = log.alarms[log.alarms["alarm_code"].isin(NEIGHBOURS) & ~log.alarms["raised_s"].isin(stop_starts)]
    for machine, trips in log.trips.items():
        many = len(site.machines(site.machines_by_id[machine].machine_class))
        if not site.machines_by_id[machine].is_in_oee or 2 < many < 8:
            continue
        for start, _ in trips:
            near = (by_trip["raised_s"] > start) & (by_trip["raised_s"] < start + HOUR)
            struck[many <= 2].append(int(near.sum()))
    assert np.mean(struck[True]) > np.mean(struck[False]) + 1


def test_a_short_stop_that_is_told_begins_and_ends_with_the_state(log: Log) -> None:
    jams = log.alarms[log.alarms["alarm_code"] == "jam_detected"]
    stopped = log.states[log.states["reason_code"] == "jam"]
    states = set(zip(stopped["machine_id"], stopped["start_s"], stopped["end_s"], strict=True))
    told = set(zip(jams["machine_id"], jams["raised_s"], jams["returned_s"], strict=True))
    assert told <= states
    assert 0.3 < len(told) / len(states) < 0.5


def test_few_machines_chatter_and_they_do_three_times_in_a_minute(log: Log, site: Site) -> None:
    chatter = log.alarms[
        log.alarms["alarm_code"].isin(["level_switch", "door_contact", "flow_switch", "pressure_switch"])
    ]
    assert 0 < chatter["machine_id"].nunique() < 0.15 * len(site.machines())
    third = chatter.groupby(["machine_id", "alarm_code"])["raised_s"].shift(-2) - chatter["raised_s"]
    assert (third < 60).mean() > 0.5


def test_each_alarm_is_told_when_raised_and_once_more_when_it_is_over(log: Log) -> None:
    raised = log.records[log.records["returned_s"].isna()]
    assert sorted(raised["alarm_id"]) == sorted(log.alarms["alarm_id"])
    assert log.alarms["alarm_id"].is_unique
    over = log.alarms[["acknowledged_s", "returned_s"]].max(axis=1)
    assert (log.alarms["known_s"] >= over).all()
    assert (log.alarms["acknowledged_s"] >= log.alarms["raised_s"]).all()
    assert log.alarms.groupby("priority_code")["raised_s"].count().idxmax() == "low"


def test_a_day_has_thousands_of_alarms_at_most(log: Log) -> None:
    assert 150 < len(log.alarms) / DAYS < 3000
