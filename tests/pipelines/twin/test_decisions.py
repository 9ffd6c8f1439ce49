"""Decisions as inputs: each acts through its causes from its moment on, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.twin.decisions import Decision, Hold, Maintenance, Schedule, SetPoint, read_decisions
from pipelines.twin.simulate import simulate

pytestmark = pytest.mark.slow

Read = Callable[[Home, str], pd.DataFrame]
SEED, SCALE = 5, 0.03
SECOND = date(2026, 9, 2)


THIRD = date(2026, 9, 3)
DOOMED = "mixer_c2"  # fails on the third day, with warning, unless it is served


class Plants:
    """The same plant of four days: as it is, tuned and served, with things held, and stopped for half a day."""

    def __init__(self, folder: Path, site: Site) -> None:
        def run(*decisions: Decision) -> Home:
            home = Home(folder / str(len(list(folder.iterdir()))))
            simulate(site, home, days=4, seed=SEED, scale=SCALE, telemetry_days=0, decisions=decisions)
            return home

        folder.mkdir(exist_ok=True)
        self.usual = run()
        self.tuned = run(
            SetPoint(kind="setpoint", day=THIRD, at=time(12), code="bake_temp_c", value=93.0),
            SetPoint(kind="setpoint", day=SECOND, code="weld_pressure_mpa", value=0.27, machine_id="tab_welder_2"),
            SetPoint(kind="setpoint", day=SECOND, code="cathode_pump_speed_ratio_pct", value=102.0),
            Maintenance(kind="maintenance", day=SECOND, machine_id="slitter_c1"),
            Maintenance(kind="maintenance", day=SECOND, machine_id=DOOMED),
        )
        self.held = run(
            Hold(kind="hold", day=SECOND, entity_id="lfp-00004"),
            Hold(kind="hold", day=THIRD, at=time(9), entity_id="electrolyte-00000"),
            Hold(kind="hold", day=SECOND, at=time(14), entity_id="CR000050"),
        )
        self.stopped = run(
            Schedule(kind="schedule", day=THIRD, at=time(8), machine_id="line", is_running=False),
            Schedule(kind="schedule", day=THIRD, at=time(20), machine_id="line", is_running=True),
        )


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Plants:
    return Plants(tmp_path_factory.mktemp("plants"), site)


def both(read: Read, homes: Sequence[Home], feed: str, key: str) -> pd.DataFrame:
    """First records of two plants side by side, by their key."""
    tables = [read(home, feed).drop_duplicates(key).set_index(key) for home in homes]
    joined = tables[0].join(tables[1], rsuffix="_decided", how="inner")
    assert len(joined) > 10
    return joined


def utc(local: str) -> pd.Timestamp:
    """A local time of the site as UTC."""
    return pd.Timestamp(local, tz="Asia/Shanghai").tz_convert("UTC").tz_localize(None)


def test_a_hotter_oven_dries_the_cells_baked_from_then_on(plants: Plants, delivered: Read) -> None:
    cells = both(delivered, (plants.usual, plants.tuned), "mes__filling", "cell_id")
    baked_at = cells["event_at"] - pd.Timedelta(hours=8)
    earlier = baked_at < utc("2026-09-03 12:00")
    later = baked_at >= utc("2026-09-03 15:00")  # a batch that was begun before keeps its recipe
    assert earlier.sum() > 20
    assert later.sum() > 20
    change = cells["bake_cathode_moisture_ppm_decided"] - cells["bake_cathode_moisture_ppm"]
    assert (change[earlier] == 0).all()
    assert change[later].mean() < -20
    assert (cells["bake_temp_c_decided"] - cells["bake_temp_c"])[later].mean() == pytest.approx(3.0, abs=0.3)


def test_a_set_point_of_one_machine_leaves_the_others_alone(plants: Plants, delivered: Read) -> None:
    cells = both(delivered, (plants.usual, plants.tuned), "mes__assembly", "cell_id")
    moved = cells["weld_pressure_mpa_decided"] != cells["weld_pressure_mpa"]
    assert set(cells.loc[moved, "tab_welder_id"]) == {"tab_welder_2"}
    resistance = cells["weld_resistance_uohm_decided"] - cells["weld_resistance_uohm"]
    assert resistance[moved].mean() < -1.0


def test_a_faster_pump_makes_the_rolls_heavier_that_are_coated_from_then_on(plants: Plants, delivered: Read) -> None:
    rolls = both(delivered, (plants.usual, plants.tuned), "mes__mother_roll", "mother_roll_id")
    change = rolls["areal_weight_g_m2_decided"] - rolls["areal_weight_g_m2"]
    later = (rolls["event_at"] >= utc("2026-09-02 06:00")) & (rolls["electrode_code"] == "cathode")
    assert (change[~later] == 0).all()
    assert change[later].mean() > 0.4


def test_maintenance_avoids_the_coming_failure_for_a_planned_stop(plants: Plants, delivered: Read, truth: Read) -> None:
    doomed = truth(plants.usual, "machine_life").query("machine_id == @DOOMED and ended_at > '2026-09-02'").iloc[0]
    assert doomed["is_failure"]
    orders = delivered(plants.tuned, "cmms__work_order").query("machine_id == @DOOMED")
    assert "preventive" in set(orders["type_code"])
    assert not ((orders["type_code"] == "breakdown") & (orders["opened_at"] > "2026-09-02")).any()
    life = truth(plants.tuned, "machine_life").query("machine_id == @DOOMED and not is_failure")
    assert life["would_fail_at"].tolist() == [doomed["would_fail_at"]]
    last_h = (doomed["ended_at"] - pd.Timedelta(hours=10), doomed["ended_at"])
    hours = [delivered(home, "historian__machine_hour") for home in (plants.usual, plants.tuned)]
    near = [each[(each["machine_id"] == DOOMED) & each["event_at"].between(*last_h)] for each in hours]
    assert near[1]["vibration_mm_s"].mean() < near[0]["vibration_mm_s"].mean() - 0.5


def test_maintenance_stops_its_machine_as_planned_and_no_other(plants: Plants, delivered: Read) -> None:
    states = [delivered(home, "scada__machine_state") for home in (plants.usual, plants.tuned)]
    planned = states[1][states[1]["reason_code"] == "maintenance"]
    length = pd.to_datetime(planned["ended_at"]) - pd.to_datetime(planned["event_at"])
    assert set(planned["machine_id"]) == {"slitter_c1"}
    assert set(planned["state_code"]) == {"Stopped"}
    assert length.sum() == pd.Timedelta(hours=1.5)
    # Other decisions of this plant change which cells are lost, and with them what machines count.
    times = [each.drop(columns=["produced_count", "good_count"]) for each in states]
    others = [each[each["machine_id"] != "slitter_c1"].reset_index(drop=True) for each in times]
    pd.testing.assert_frame_equal(*others)


def test_maintenance_of_the_slitter_brings_new_knives(plants: Plants, delivered: Read) -> None:
    rolls = both(delivered, (plants.usual, plants.tuned), "mes__daughter_roll", "daughter_roll_id")
    later = (rolls["event_at"] >= utc("2026-09-02 06:00")) & (rolls["electrode_code"] == "cathode")
    change = rolls["knife_km_decided"] - rolls["knife_km"]
    assert (change[~later] == 0).all()
    first = rolls[later].sort_values("event_at").iloc[:4]
    assert (first["knife_km_decided"] < 150).all()
    assert (first["knife_id_decided"] != first["knife_id"]).all()


@pytest.mark.parametrize(
    ("entity_id", "feed", "column", "at", "since"),
    [
        ("lfp-00004", "mes__slurry_batch", "active_material_lot_id", "started_at", "2026-09-02 06:00"),
        ("electrolyte-00000", "mes__filling", "electrolyte_lot_id", "event_at", "2026-09-03 09:00"),
        ("CR000050", "mes__stacking", "cathode_roll_id", "event_at", "2026-09-02 14:00"),
    ],
)
def test_what_is_held_is_not_used_and_another_takes_its_place(
    plants: Plants, delivered: Read, entity_id: str, feed: str, column: str, at: str, since: str
) -> None:
    usual, held = (delivered(home, feed) for home in (plants.usual, plants.held))

    def uses(table: pd.DataFrame) -> pd.Series:
        return table[table[column].str.startswith(entity_id)][at]

    assert (uses(usual) >= utc(since)).any()
    assert (uses(held) < utc(since)).all()
    assert set(uses(held)) == {moment for moment in uses(usual) if moment < utc(since)}
    spare = {each.split("-1")[0].split("-2")[0] if feed == "mes__stacking" else each for each in held[column]}
    usual_ids = {each.split("-1")[0].split("-2")[0] if feed == "mes__stacking" else each for each in usual[column]}
    assert len(spare - usual_ids) == 1
    assert len(held) == len(usual)


def test_a_planned_stop_of_the_line_costs_its_cells_and_a_start_ends_it(plants: Plants, delivered: Read) -> None:
    usual, stopped = (delivered(home, "mes__stacking")["event_at"] for home in (plants.usual, plants.stopped))
    begin, end = utc("2026-09-03 08:00"), utc("2026-09-03 20:00")
    assert stopped.between(begin, end).sum() == 0
    assert usual.between(begin, end).sum() > 20
    assert stopped.between(end, end + pd.Timedelta(hours=6)).sum() > 5
    states = delivered(plants.stopped, "scada__machine_state")
    assert (states["reason_code"] == "scheduled").sum() >= 20


def test_before_a_decision_everything_is_as_without_it(plants: Plants, files) -> None:
    usual, stopped = files(plants.usual), files(plants.stopped)
    names = [name for name in usual if "2026-09-01" in name or "2026-09-02" in name]
    assert len(names) > 20
    assert all(usual[name] == stopped[name] for name in names)


def test_days_one_by_one_with_their_decisions_are_the_same_plant(tmp_path: Path, site: Site, files) -> None:
    decisions = (
        SetPoint(kind="setpoint", day=SECOND, code="bake_temp_c", value=93.0),
        Maintenance(kind="maintenance", day=SECOND, at=time(9), machine_id="stacker_1"),
        Hold(kind="hold", day=THIRD, entity_id="electrolyte-00000"),
        Schedule(kind="schedule", day=THIRD, machine_id="stacker_2", is_running=False),
    )
    whole, cut = Home(tmp_path / "whole"), Home(tmp_path / "cut")
    simulate(site, whole, days=3, seed=SEED, scale=0.02, telemetry_days=0, decisions=decisions)
    for day in range(3):
        known = [each for each in decisions if each.day <= date(2026, 9, 1 + day)]
        simulate(site, cut, days=1, seed=SEED, scale=0.02, telemetry_days=0, decisions=known)
    assert files(whole) == files(cut)
    with pytest.raises(CellworksError, match="comes too late"):
        late = Schedule(kind="schedule", day=SECOND, machine_id="line", is_running=False)
        simulate(site, cut, days=1, seed=SEED, scale=0.02, telemetry_days=0, decisions=[late])


def test_a_good_file_of_decisions_is_read(tmp_path: Path, site: Site) -> None:
    file = tmp_path / "decisions.yaml"
    file.write_text(
        "decisions:\n"
        "  - {day: 2026-09-02, at: '14:00', kind: setpoint, code: bake_temp_c, value: 91.5}\n"
        "  - {day: 2026-09-03, kind: hold, entity_id: lfp-00002}\n",
        encoding="utf-8",
    )
    assert read_decisions(file, site) == (
        SetPoint(kind="setpoint", day=SECOND, at=time(14), code="bake_temp_c", value=91.5),
        Hold(kind="hold", day=THIRD, entity_id="lfp-00002"),
    )


@pytest.mark.parametrize(
    ("entry", "place", "expected"),
    [
        ("kind: setpoint\n    code: bake_temp_c\n    value: 900", "decisions.yaml:5: decisions.0.value", "0 to 150 C"),
        ("kind: setpoint\n    code: capacity_ah\n    value: 9", "decisions.yaml:4: decisions.0.code", "bake_temp_c"),
        (
            "kind: setpoint\n    code: bake_temp_c\n    value: hot",
            "decisions.yaml:5: decisions.0.value",
            "finite number",
        ),
        ("kind: maintenance\n    machine_id: oven_99", "decisions.yaml:4: decisions.0.machine_id", "a machine of site"),
        ("kind: hold\n    entity_id: lfp_7", "decisions.yaml:4: decisions.0.entity_id", "lfp-00012"),
        ("kind: hold\n    entity_id: lfp-00007\n    why: x", "decisions.yaml:5: decisions.0.why", "not a known name"),
        ("kind: stop\n    machine_id: line", "decisions.yaml:2: decisions.0", "'schedule'"),
    ],
)
def test_a_wrong_decision_is_refused_with_line_field_and_what_was_expected(
    tmp_path: Path, site: Site, entry: str, place: str, expected: str
) -> None:
    file = tmp_path / "decisions.yaml"
    file.write_text(f"decisions:\n  - day: 2026-09-02\n    {entry}\n", encoding="utf-8")
    with pytest.raises(CellworksError) as refusal:
        read_decisions(file, site)
    assert place in str(refusal.value)
    assert expected in str(refusal.value)


def test_a_date_that_is_none_is_told_with_its_line(tmp_path: Path, site: Site) -> None:
    file = tmp_path / "decisions.yaml"
    file.write_text("decisions:\n  - {day: 2026-13-02, kind: hold, entity_id: lfp-00004}\n", encoding="utf-8")
    with pytest.raises(CellworksError, match=r"decisions.yaml:2: .*month must be"):
        read_decisions(file, site)


def test_truth_says_what_would_have_been_without_the_decision(tmp_path: Path, site: Site, truth: Read) -> None:
    cold = SetPoint(kind="setpoint", day=date(2026, 9, 1), code="weld_pressure_mpa", value=0.05)
    simulate(site, Home(tmp_path), days=11, seed=SEED, scale=SCALE, telemetry_days=0, decisions=[cold])
    cells = truth(Home(tmp_path), "cell")
    premium = np.mean(cells["grade_code"] == "A")
    assert premium < np.mean(cells["counterfactual_grade_code"] == "A") - 0.1
