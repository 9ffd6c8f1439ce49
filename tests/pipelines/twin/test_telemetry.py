"""The historian's minutes show what the machines did: causes, decisions, scenarios and stops, on the right machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.derive import chart_limits
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.home import Home
from pipelines.twin.decisions import Decision, Schedule, SetPoint
from pipelines.twin.graph import load_graph
from pipelines.twin.simulate import simulate
from pipelines.twin.world import World

pytestmark = pytest.mark.slow

Read = Callable[[Home, str], pd.DataFrame]
Plant = Callable[..., Home]
SEED, SCALE, DAYS = 5, 0.2, 3
LAST = date(2026, 9, 3)
SHIFT = 3.0
NODES = ("formation_tray_temp_c", "fill_dew_point_c", "cathode_line_load_n_mm")
SHIFTED = (
    f"  shifted: {{title: three causes, from_day: 0, shift: {{{', '.join(f'{node}: {SHIFT}' for node in NODES)}}}, "
    "source: E}"
)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Plant:
    """A plant of three days, the last by the minute, with what is decided and with what a scenario shifts."""
    made: dict[str, Home] = {}

    def of(name: str = "usual", *decisions: Decision) -> Home:
        if name not in made:
            home, own = Home(tmp_path_factory.mktemp(name)), site
            if name == "shifted":
                own = changed(site, tmp_path_factory.mktemp("site"), "\nscenarios:\n", f"\nscenarios:\n{SHIFTED}\n")
            scenario = "shifted" if name == "shifted" else "baseline"
            simulate(
                own, home, days=DAYS, seed=SEED, scale=SCALE, telemetry_days=1, decisions=decisions, scenario=scenario
            )
            made[name] = home
        return made[name]

    return of


@pytest.fixture(scope="module")
def minutes(site: Site) -> Callable[[Home], pd.DataFrame]:
    """Minute values with machine, characteristic and position."""
    points = site.plan.control_points().select(
        ["control_point_no", "machine_id", "characteristic_code", "position", "physical_min", "physical_max"]
    )

    def read(home: Home) -> pd.DataFrame:
        source = f"read_parquet('{home.drop_dir}/historian__telemetry/*.parquet')"
        assert points.num_rows
        return duckdb.sql(f"SELECT * FROM {source} JOIN points USING (control_point_no) ORDER BY 1, event_at").df()

    return read


def changed(site: Site, folder: Path, old: str, new: str) -> Site:
    """A site whose twin.yaml says something else."""
    shutil.copytree(site.folder, folder, dirs_exist_ok=True)
    text = (folder / "twin.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / "twin.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return load_site(folder)


def utc(local: str) -> pd.Timestamp:
    """A local time of the site as UTC."""
    return pd.Timestamp(local, tz="Asia/Shanghai").tz_convert("UTC").tz_localize(None)


def runs(states: pd.DataFrame, machine: str, at: pd.Series) -> np.ndarray:
    """Whether a machine ran at moments."""
    own = states[states["machine_id"] == machine].sort_values("event_at")
    index = np.searchsorted(pd.to_datetime(own["event_at"]).to_numpy(), at.to_numpy(), side="right") - 1
    return (own["state_code"].to_numpy() == "Execute")[index]


def test_a_stopped_stacker_rests_and_a_running_one_does_not(plant: Plant, minutes, delivered: Read) -> None:
    stop = (Schedule(kind="schedule", day=LAST, at=time(8), machine_id="stacker_2", is_running=False),
            Schedule(kind="schedule", day=LAST, at=time(20), machine_id="stacker_2", is_running=True))  # fmt: skip
    home = plant("stopped", *stop)
    values, states = minutes(home), delivered(home, "scada__machine_state")
    current = values[values["characteristic_code"] == "stacker_servo_current_a"]
    for machine, own in current.groupby("machine_id"):
        is_on = runs(states, str(machine), own["event_at"])
        assert own["value"][is_on].mean() > 4.0
        assert own["value"][~is_on].max() < 1.5
    planned = current["event_at"].between(utc("2026-09-03 08:00"), utc("2026-09-03 19:59"))
    assert current["value"][planned & (current["machine_id"] == "stacker_2")].max() < 1.5
    # The vacuum of its cups holds on, and what others draw is no matter of this stop.
    cups = values[(values["characteristic_code"] == "stacker_cup_pressure_kpa") & (values["machine_id"] == "stacker_2")]
    assert cups["value"].max() < -60
    usual = minutes(plant())
    other = usual["characteristic_code"].eq("stacker_servo_current_a") & usual["machine_id"].ne("stacker_2")
    pd.testing.assert_series_equal(usual["value"][other], values["value"][other])


def test_a_shift_of_a_cause_moves_the_points_that_show_it_and_no_others(site: Site, plant: Plant, minutes) -> None:
    usual, shifted = minutes(plant()), minutes(plant("shifted"))
    change = (shifted["value"] - usual["value"]).groupby(usual["characteristic_code"]).median()
    for name, effect in (
        ("tray_point_temp_c", 0.9), ("cabinet_air_temp_c", 0.5), ("filler_zone_dew_point_c", 0.9),
        ("room_dew_point_c", 0.6), ("cathode_calender_side_load_n_mm", 0.9),
    ):  # fmt: skip
        limits = chart_limits(site.plan.by_code[name])
        assert limits is not None
        assert change.pop(name) == pytest.approx(SHIFT * effect * limits.sigma, rel=0.1), name
    own = change.index.str.startswith("cathode_calender_")
    assert (change[~own] == 0).all()
    assert {"grading_tray_temp_c", "nozzle_pressure_mpa", "oven_layer_temp_c"} <= set(change.index)


def test_a_set_point_shows_from_its_moment_on_and_on_its_machine_only(plant: Plant, minutes) -> None:
    hotter = SetPoint(kind="setpoint", day=LAST, at=time(12), code="bake_temp_c", value=93.0, machine_id="bake_oven_3")
    usual, decided = minutes(plant()), minutes(plant("decided", hotter))
    change = decided["value"] - usual["value"]
    moved, at = change != 0, usual["event_at"]
    assert set(usual["machine_id"][moved]) == {"bake_oven_3"}
    assert set(usual["characteristic_code"][moved]) == {"oven_layer_temp_c"}
    assert not (moved & (at < utc("2026-09-03 12:00"))).any()
    later = at >= utc("2026-09-03 20:00")  # each oven ends its batch first
    layers = usual["machine_id"].eq("bake_oven_3") & usual["characteristic_code"].eq("oven_layer_temp_c")
    assert change[layers & later].mean() == pytest.approx(0.9 * 3.0, abs=0.2)


@pytest.mark.parametrize(
    ("feed", "point", "node", "machine", "hours_before", "least"),
    [
        ("mes__filling", "oven_layer_temp_c", "bake_temp_c", "oven_id", 8.0, 0.8),
        ("tester__formation", "tray_point_temp_c", "formation_tray_temp_c", "machine_id", 9.0, 0.8),
        ("mes__stacking", "stacker_offset_mm", "sheet_offset_mm", "machine_id", 0.0, 0.6),
    ],
)
def test_a_point_follows_the_true_value_of_what_is_in_work(
    site: Site, plant: Plant, minutes, delivered: Read, feed: str, point: str, node: str, machine: str,
    hours_before: float, least: float,
) -> None:  # fmt: skip
    """Each cell's own value against what a point of its machine shows in the minute in which it is in work."""
    home = plant()
    cells = delivered(home, feed).drop_duplicates("cell_id")
    numbers = cells["cell_id"].str[1:].astype(int).to_numpy()
    cells["true_z"] = World(site, SEED, "baseline", SCALE).z(node, numbers, {})
    cells["at"] = (pd.to_datetime(cells["event_at"]) - pd.Timedelta(hours=hours_before)).dt.ceil("min")
    values = minutes(home)
    values = values[values["characteristic_code"] == point].rename(columns={"machine_id": machine})
    both = values.merge(cells, left_on=[machine, "event_at"], right_on=[machine, "at"])
    if "tray" in both["position"].iloc[0]:
        tray = both["position"].str.extract(r"tray(\d+)")[0].astype(int)
        both = both[tray == both["channel_id"].str.split("-").str[1].astype(int).sub(1) // 12 + 1]
    assert len(both) > 20
    assert np.corrcoef(both["value"], both["true_z"])[0, 1] > least


def test_values_are_possible_sorted_and_of_lasting_level(plant: Plant, minutes) -> None:
    values = minutes(plant())
    assert (values["value"] >= values["physical_min"].astype(np.float32)).all()
    assert (values["value"] <= values["physical_max"].astype(np.float32)).all()
    raw = duckdb.sql(
        f"SELECT control_point_no, event_at FROM read_parquet('{plant().drop_dir}/historian__telemetry/*.parquet')"
    ).df()
    pd.testing.assert_frame_equal(raw, raw.sort_values(["control_point_no", "event_at"]).reset_index(drop=True))
    free = values[values["characteristic_code"] == "platen_temp_c"]
    half = free["event_at"] < free["event_at"].median()
    early, late = (free[part].groupby("control_point_no")["value"].mean() for part in (half, ~half))
    assert len(early) > 4
    assert early.corr(late) > 0.3


@pytest.mark.parametrize(
    ("old", "new", "place", "found"),
    [
        ("  oven_layer_temp_c: {bake_temp_c:", "  oven_lair_temp_c: {bake_temp_c:", "telemetry_causes.oven_lair_temp_c",
         "oven_lair_temp_c"),
        ("oven_layer_temp_c: {bake_temp_c:", "oven_layer_temp_c: {bake_tmp_c:", "telemetry_causes.oven_layer_temp_c",
         "bake_tmp_c"),
        ("oven_layer_temp_c: {bake_temp_c: 0.9, source: E}", "oven_layer_temp_c: {bake_temp_c: 0.9}",
         "telemetry_causes.oven_layer_temp_c", "no source"),
        ("      mm/s: {", "      m/s: {", "parameters.telemetry.rest", "m/s"),
    ],
)  # fmt: skip
def test_a_name_that_the_plan_lacks_is_refused_with_its_place(
    site: Site, tmp_path: Path, old: str, new: str, place: str, found: str
) -> None:
    with pytest.raises(CellworksError) as refused:
        load_graph(changed(site, tmp_path, old, new))
    assert place in str(refused.value)
    assert found in str(refused.value)
    assert "twin.yaml" in str(refused.value)
