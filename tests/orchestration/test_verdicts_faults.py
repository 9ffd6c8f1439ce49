"""Monitors: faults put into a plant's rows, and the lines that monitors must meet."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from orchestration.environment import default_site
from orchestration.evaluation import (
    monitors,
    waste,
)
from orchestration.evaluation.faults import Fault, Plant, Stacked
from pipelines.control_plan.site import load_site
from pipelines.twin.world import World

AT = datetime(2026, 9, 30, 22)  # noqa: DTZ001 - the plant's times are naive UTC


@pytest.fixture(scope="module")
def plant() -> Plant:
    """Eight days of 40 cells, one every 36 minutes, on four stackers in turn."""
    number = np.arange(320)
    machines = np.array([f"stacker_{each % 4 + 1}" for each in number], dtype=object)
    at = np.datetime64("2026-09-01T00", "us") + number * np.timedelta64(36, "m")
    return Plant(
        World(load_site(default_site()), 5, "baseline", 0.01), range(0, 320, 40), Stacked(number, machines, at)
    )


def test_a_fault_moves_its_machines_rows_from_its_day_on_and_what_follows_from_it(plant: Plant) -> None:
    names = np.array([f"C{each:09d}" for each in range(320)], dtype=object)
    members = plant.members("marts.cell_at_grading", {"cell_id": names})
    assert members is not None
    columns = ["overhang_mm", "ocv_mv", "stack_mass_g", "leakage_ua", "not_a_characteristic"]
    moved = plant.moved(Fault("overhang_mm", "stacker_2", 2, shift=2.0), members, columns, 320)
    touched = np.flatnonzero(moved["overhang_mm"])
    assert set(touched % 4) == {1}
    assert touched.min() >= 80
    assert touched.max() < 80 + 5 * 40
    assert len(touched) == 50
    # Two standard deviations of the characteristic, wherever physics does not hold it.
    assert np.ptp(moved["overhang_mm"][touched]) < 0.02
    assert moved["overhang_mm"][touched[0]] > 0
    assert "stack_mass_g" not in moved
    drift = plant.moved(Fault("overhang_mm", "stacker_2", 2, ramp=-0.4), members, columns, 320)["overhang_mm"]
    assert drift[touched[-1]] < 3 * drift[touched[0]] < 0


def test_rows_of_an_hour_are_moved_by_the_mean_of_their_cells(plant: Plant) -> None:
    hours = plant.stacked.at.astype("datetime64[h]").astype("datetime64[us]")
    keys = {"machine_id": plant.stacked.machine, "hour_at": hours}
    members = plant.members("marts.stacker_hour", keys)
    assert members is not None
    assert plant.members("marts.material_lot", {"material_lot_id": hours}) is None
    assert members.row.tolist() == list(range(320))  # a cell of each machine and hour


def test_faults_are_as_many_for_each_characteristic_and_lie_within_the_days(plant: Plant) -> None:
    found = plant.faults(["overhang_mm", "stack_mass_g", "cell_count"], 1, seed=3)
    assert [each.code for each in found] == ["overhang_mm"] * 4 + ["stack_mass_g"] * 4
    assert all(1 <= each.day <= 3 for each in found)
    assert found == plant.faults(["overhang_mm", "stack_mass_g", "cell_count"], 1, seed=3)


def test_a_fault_is_told_by_a_row_that_would_not_have_been_in_alarm_without_it() -> None:
    without = np.array([False, False, True, False, False])
    alarms = np.array([True, False, True, False, True])
    since_h = np.array([np.nan, 0.0, 1.0, 2.0, 3.0])
    delay_h, rows = monitors.delay_h(alarms, without, since_h)
    assert (delay_h, rows.tolist()) == (3.0, [4])
    delay_h, rows = monitors.delay_h(without, without, since_h)
    assert (delay_h, rows.tolist()) == (120.0, [])
    assert monitors.delay_h(alarms, without, since_h, 3.0)[0] == 3.0


def test_the_chart_is_set_to_alarm_no_more_often_than_the_monitor() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    limit = monitors.limit_for(7, values, np.count_nonzero)
    assert 5 <= np.count_nonzero(values > limit) <= 7
    assert np.count_nonzero(values > monitors.limit_for(0, values, np.count_nonzero)) == 0


def test_waste_is_added_to_one_meter_within_the_horizon_and_to_nothing_else() -> None:
    hours = np.datetime64("2026-09-01", "h") + np.tile(np.arange(24 * 20), 2)
    meters = np.repeat(np.array(["a", "b"], dtype=object), 24 * 20)
    energy_kwh = np.random.default_rng(0).normal(100, 3, len(hours))
    since = np.datetime64("2026-09-08T00:00:00")
    wastes = list(waste.put_in({"meter_id": meters}, hours.astype("datetime64[s]"), energy_kwh, since, seed=1))
    assert len(wastes) == 16
    for fault, moved in wastes:
        added, mine = moved["energy_kwh"], meters == fault.machine_id
        begin = since + fault.day * np.timedelta64(1, "D")
        assert not added[~mine].any()
        assert not added[mine & (hours <= begin)].any()
        assert not added[mine & (hours >= begin + np.timedelta64(5, "D"))].any()
        # At once by so many standard deviations, and each further day by the ramp: on the fifth day four times.
        assert added.max() == pytest.approx(energy_kwh[mine].std() * (fault.shift + 4 * fault.ramp))
    late = np.datetime64("2026-09-18T00:00:00")
    assert list(waste.put_in({"meter_id": meters}, hours.astype("datetime64[s]"), energy_kwh, late, seed=1)) == []


def told(delay_h: float = 5.0, chart_h: float = 10.0, named: int = 9) -> list[monitors.Told]:
    fault = Fault("overhang_mm", "stacker_2", 3, shift=0.5)
    return [monitors.Told(fault, delay_h, chart_h, is_named=number < named) for number in range(10)]


@pytest.mark.parametrize(
    ("found", "a_day", "said"),
    [(told(delay_h=10.0), 1.0, "Shewhart"), (told(named=7), 1.0, "named"), (told(), 3.1, "alarms a day")],
)
def test_a_monitor_must_meet_each_line(found: list[monitors.Told], a_day: float, said: str) -> None:
    assert monitors.judged(told(), 1.0, 20).verdict == "working"
    failing = monitors.judged(found, a_day, 20)
    assert failing.verdict == "failing"
    assert said in failing.reason
    assert monitors.judged(told()[:4], 1.0, 20).verdict == "not_run"
