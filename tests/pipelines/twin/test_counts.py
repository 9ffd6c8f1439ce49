"""Machines count the cells that went through them: their states beside the records and the scrap of the same days."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.twin.simulate import simulate

pytestmark = pytest.mark.slow

Read = Callable[[Home, str], pd.DataFrame]
# Feeds of which some records are lost, or come after these days: twin.yaml's missing_ratio and late_ratio.
FLAWED_SHARE = 0.004
BY_RECORD = [
    ("hot_press", "mes__stacking", "hot_press_id", 0.0),
    ("hipot", "mes__stacking", "hipot_tester_id", 0.0),
    ("tab_welding", "mes__assembly", "tab_welder_id", FLAWED_SHARE),
    ("baking", "mes__filling", "oven_id", FLAWED_SHARE),
    ("filling", "mes__filling", "filler_id", FLAWED_SHARE),
    ("formation", "tester__formation", "machine_id", FLAWED_SHARE),
]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Home:
    home = Home(tmp_path_factory.mktemp("line"))
    simulate(site, home, days=4, seed=5, telemetry_days=0)
    return home


@pytest.fixture(scope="module")
def states(line: Home, delivered: Read) -> pd.DataFrame:
    return delivered(line, "scada__machine_state")


def on_days(table: pd.DataFrame, site: Site) -> pd.DataFrame:
    """With the production day, and without the last one simulated: some of its records are still to come."""
    local = table["event_at"].dt.tz_localize("UTC").dt.tz_convert(site.time_zone).dt.tz_localize(None)
    begin = pd.Timestamp.combine(site.start_day, site.day_starts_at)
    return table.assign(day=(local - begin).dt.days).query("day < 3")


def counted(states: pd.DataFrame, site: Site, step: str) -> pd.DataFrame:
    """Produced and good counts by day and machine of a step, of those that made something."""
    states = on_days(states, site)
    states = states[[site.machines_by_id[each].step == step for each in states["machine_id"]]]
    sums = states.groupby(["day", "machine_id"])[["produced_count", "good_count"]].sum()
    return sums[sums["produced_count"] > 0]


@pytest.mark.parametrize(("step", "feed", "column", "share"), BY_RECORD)
def test_a_machine_counts_the_cells_that_name_it(
    line: Home, delivered: Read, states: pd.DataFrame, site: Site, step: str, feed: str, column: str, share: float
) -> None:
    cells = on_days(delivered(line, feed), site).drop_duplicates("cell_id")
    named = cells.groupby(["day", cells[column].rename("machine_id")]).size()
    produced = counted(states, site, step)["produced_count"]
    excess = (produced - named).fillna(produced)
    assert len(produced) >= 4
    by_day = excess.groupby("day").sum()
    assert by_day.between(0, share * produced.groupby("day").sum()).all()
    # Some cells of a machine that broke down are counted by its neighbours.
    assert (excess.between(0, 2 * share * produced + 3)).mean() > 0.75


@pytest.mark.parametrize("step", ["hipot", "tab_welding", "leak_test", "filling", "formation"])
def test_what_is_not_good_is_what_the_step_lost(
    line: Home, delivered: Read, states: pd.DataFrame, site: Site, step: str
) -> None:
    scrap = on_days(delivered(line, "mes__scrap").query("step_code == @step"), site)
    counts = counted(states, site, step)
    assert len(scrap) >= 3
    assert (counts["produced_count"] - counts["good_count"]).sum() == pytest.approx(len(scrap), abs=1)  # round midnight


def test_what_is_good_at_one_step_is_what_the_next_one_gets(states: pd.DataFrame, site: Site) -> None:
    sums = {
        step: counted(states, site, step)[["produced_count", "good_count"]].sum()
        for step in ("hot_press", "hipot", "tab_welding", "sealing", "leak_test", "formation", "degassing")
    }
    pairs = [("hot_press", "hipot"), ("tab_welding", "sealing"), ("sealing", "leak_test"), ("formation", "degassing")]
    for before, after in pairs:
        assert sums[before]["good_count"] == sums[after]["produced_count"] > 1000


def test_only_running_machines_count_and_no_more_than_they_can(
    line: Home, delivered: Read, states: pd.DataFrame, site: Site
) -> None:
    assert (states.loc[states["state_code"] != "Execute", ["produced_count", "good_count"]] == 0).all(axis=None)
    assert (states["good_count"] <= states["produced_count"]).all()
    runs = states[states["state_code"] == "Execute"]
    hours = (runs["ended_at"] - runs["event_at"]).dt.total_seconds() / 3600
    rate = runs["machine_id"].map(lambda each: site.machines_by_id[each].ideal_rate_per_h)
    assert (runs["produced_count"] <= hours * rate + 1).all()
    stacked = on_days(delivered(line, "mes__stacking"), site).groupby(["day", "machine_id"]).size()
    assert (counted(states, site, "stacking")["produced_count"] == stacked).all()


def test_at_grading_good_is_what_the_first_test_graded_premium(tmp_path: Path, site: Site, delivered: Read) -> None:
    """In a plant of a twentieth, each cell stands for twenty."""
    home = Home(tmp_path)
    simulate(site, home, days=10, seed=5, scale=0.05, telemetry_days=0)
    cells = delivered(home, "tester__grading").query("test_no == 1")
    states = delivered(home, "scada__machine_state")
    sums = states.groupby("machine_id")[["produced_count", "good_count"]].sum()
    cabinets = sums[sums.index.str.startswith("grading_cabinet")]
    premium = (cells["grade_code"] == "A").sum()
    assert 100 < premium < len(cells)
    assert cabinets.sum().tolist() == [20 * len(cells), 20 * premium]
    # 132 channels at a time, of the few cells of a small plant: more than a cabinet can do on a day.
    assert (cabinets["produced_count"] > 0).sum() > cells["machine_id"].nunique()
