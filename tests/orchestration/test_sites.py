"""A plant of one's own beside the demo's: other parameters, another seed, another home; nothing is shared."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.cli.simulate import next_days

DEMO = Path(__file__).parents[2] / "infra" / "sites" / "demo"
SMALL = ("--days", "2", "--scale", "0.02", "--telemetry-days", "0", "--json")
Here = Callable[..., Any]


@pytest.fixture
def my_site(tmp_path: Path) -> Path:
    """A copy of the demo's folder with another name, calendar and scrap rate."""
    folder = tmp_path / "my_site"
    shutil.copytree(DEMO, folder)
    site = folder / "site.yaml"
    text = site.read_text()
    for old, new in (
        ("name: demo", "name: mine"),
        ("start_day: 2026-09-01", "start_day: 2027-01-04"),
        ("time_zone: Asia/Shanghai", "time_zone: Europe/Berlin"),
    ):
        assert old in text
        text = text.replace(old, new)
    site.write_text(text)
    return folder


def _deliveries(home: Path) -> dict[str, str]:
    files = sorted(each for each in (home / "drop").rglob("*") if each.is_file())
    return {str(each.relative_to(home)): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


@pytest.mark.slow
def test_two_plants_live_side_by_side(
    here: Here, my_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = {name: tmp_path / name for name in ("demo", "mine", "again")}
    told = {}
    for name, home in homes.items():
        monkeypatch.setenv("CELLWORKS_HOME", str(home))
        options = [] if name == "demo" else ["--site", "my_site", "--seed", "1234", "--scenario", "bad_lfp_lot"]
        monkeypatch.setenv("CELLWORKS_SITE", "")
        done = here("simulate", *options, *SMALL)
        assert done.returncode == 0, done.stderr
        told[name] = json.loads(done.stdout)
    assert (told["demo"]["first_day"], told["demo"]["seed"]) == ("2026-09-01", 1)
    assert (told["mine"]["first_day"], told["mine"]["seed"], told["mine"]["scenario"]) == (
        "2027-01-04",
        1234,
        "bad_lfp_lot",
    )
    delivered = {name: _deliveries(home) for name, home in homes.items()}
    assert delivered["mine"] == delivered["again"]
    assert not set(delivered["mine"].values()) & set(delivered["demo"].values())
    assert all("2027-01-0" in name for name in delivered["mine"])


@pytest.mark.slow
def test_a_plant_that_goes_on_keeps_its_seed_scenario_and_size(here: Here, tmp_path: Path) -> None:
    assert here("simulate", "--seed", "7", "--scenario", "dryer_drift", *SMALL).returncode == 0
    told = json.loads(here("simulate", "--telemetry-days", "0", "--json").stdout)
    assert {name: told[name] for name in ("seed", "scenario", "scale", "first_day", "days")} == {
        "seed": 7,
        "scenario": "dryer_drift",
        "scale": 0.02,
        "first_day": "2026-09-03",
        "days": 1,
    }


@pytest.mark.slow
def test_a_month_that_was_interrupted_is_brought_to_its_end_and_then_one_day_at_a_time(here: Here) -> None:
    assert here("simulate", *SMALL).returncode == 0
    told = next_days(5, 0.02)
    assert (str(told["first_day"]), told["days"], told["scale"]) == ("2026-09-03", 3, 0.02)
    assert here("init").returncode == 0  # a night begins with the lake
    told = next_days(9, 0.02)
    assert (str(told["first_day"]), told["days"]) == ("2026-09-06", 1)


@pytest.mark.slow
def test_a_home_takes_no_data_of_a_second_site(here: Here, my_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here("simulate", *SMALL).returncode == 0
    refused = here("simulate", "--site", str(my_site))
    assert refused.returncode == 2
    assert "this home belongs to another site" in refused.stderr
    monkeypatch.setenv("CELLWORKS_SITE", "")
    assert here("status").returncode == 0


def test_a_site_that_moved_keeps_its_home(here: Here, my_site: Path) -> None:
    assert here("init", "--site", str(my_site)).returncode == 0
    moved = my_site.rename(my_site.parent / "moved")
    again = here("init", "--site", str(moved))
    assert again.returncode == 0, again.stderr
