"""The twin through its door: the same plant however it is cut into calls, and nothing told before its time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
from pipelines.twin.simulate import simulate

SITE = load_site(Path(__file__).parents[3] / "infra" / "sites" / "demo")


def _files(home: Home) -> dict[str, bytes]:
    return {str(p.relative_to(home.drop_dir)): p.read_bytes() for p in sorted(home.drop_dir.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_days_in_one_call_and_in_many_are_the_same_plant(tmp_path: Path) -> None:
    whole, cut = Home(tmp_path / "whole"), Home(tmp_path / "cut")
    simulate(SITE, whole, days=3, seed=5, scale=0.02, telemetry_days=2)
    for day in range(3):
        simulate(SITE, cut, days=1, seed=5, scale=0.02, telemetry_days=int(day > 0))
    assert _files(whole) == _files(cut)


@pytest.mark.slow
def test_another_seed_is_another_plant(tmp_path: Path) -> None:
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    simulate(SITE, one, days=1, seed=5, scale=0.02, telemetry_days=0)
    simulate(SITE, other, days=1, seed=6, scale=0.02, telemetry_days=0)
    assert _files(one) != _files(other)


def test_a_plant_can_not_change_its_seed_half_way(tmp_path: Path) -> None:
    simulate(SITE, Home(tmp_path), days=1, seed=5, scale=0.02, telemetry_days=0)
    with pytest.raises(CellworksError, match="seed 5"):
        simulate(SITE, Home(tmp_path), days=1, seed=6, scale=0.02, telemetry_days=0)


def test_an_unknown_scenario_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CellworksError, match="there is no scenario 'no_such'"):
        simulate(SITE, Home(tmp_path), days=1, scenario="no_such", scale=0.02)


@pytest.mark.slow
def test_nothing_is_delivered_before_it_is_known(tmp_path: Path) -> None:
    home = Home(tmp_path)
    simulate(SITE, home, days=2, seed=5, scale=0.02, telemetry_days=0)
    end = datetime(2026, 9, 1, 22)  # noqa: DTZ001 - UTC; 06:00 the next morning in Shanghai
    newest = {}
    for file in home.drop_dir.rglob("*_2026-09-01.*"):
        if file.name.endswith((".csv", ".csv.gz")):
            newest[file.parent.name] = max(pa_csv.read_csv(file)["known_at"].to_pylist())
        elif file.suffix == ".parquet":
            newest[file.parent.name] = max(pq.read_table(file)["known_at"].to_pylist())
    assert {"mes__mother_roll", "mes__stacking", "scada__machine_state"} <= newest.keys()
    assert {feed: at for feed, at in newest.items() if at > end} == {}
