"""The night after the first, on what one more day brought: the whole plant, or one solution of each family."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pipelines.lake.connection import reader
from tests.end_to_end.conftest import FirstNight, SmallPlant

pytestmark = pytest.mark.slow
LEARNT = "line/weld_resistance"


def _name(solution: dict[str, Any]) -> str:
    return f"{solution['stage']}/{solution['slug']}"


def _cells(plant: SmallPlant) -> int:
    with reader(plant.home) as con:
        (cells,) = con.execute("SELECT count(*) FROM marts.cell").fetchone() or (0,)
    return int(cells)


def _goes_on(first: FirstNight, plant: SmallPlant, names: Iterable[str], *options: str) -> None:
    """One more day, and a night that takes it in, in which these solutions stand as they did or better."""
    before = _cells(plant)
    made = plant.run("simulate", "--days", "1", "--telemetry-days", "0")
    assert made.code == 0, made.err
    night = plant.run("nightly", *options, "--json")
    assert night.code == 0, (night.err + night.out)[-3000:]
    told = json.loads(night.out)
    assert (told["success"], told["failed_steps"]) == (True, {})
    assert told["rows"] is not None, "nothing was taken in"
    assert told["rows"]["in"] > 0
    assert _cells(plant) > before
    now = {_name(each): each for each in told["solutions"]}
    assert {name: now[name]["reason"] for name in names if now[name]["state"] != "working"} == {}
    had = {_name(each) for each in json.loads(first.night.out)["solutions"] if each["champion_version"] is not None}
    lost = {name for name in had if now[name]["champion_version"] is None}
    assert not lost, "a solution that had a champion has none any more"
    # The model that learnt in the first night learns again, on the plant's own place.
    (learnt,) = [each for each in told["models"] if each["solution"] == LEARNT]
    assert int(learnt["version"]) > 1
    own = (plant.home.root / "mlflow" / "artifacts" / LEARNT.replace("/", ".")).is_dir()
    assert own == (not first.servers)


@pytest.mark.long
def test_the_next_night_takes_in_the_next_day_and_every_folder_stands(first_night: FirstNight, tmp_path: Path) -> None:
    # A copy of a home shares its servers, so there it is the plant itself whose days go on.
    plant = first_night.plant if first_night.servers else first_night.plant.copied(tmp_path)
    _goes_on(first_night, plant, [_name(each) for each in json.loads(first_night.night.out)["solutions"]])


@pytest.mark.embedded
def test_the_next_night_takes_in_the_next_day_and_one_of_each_family_stands(
    first_night: FirstNight, tmp_path: Path
) -> None:
    answered = [each for each in json.loads(first_night.night.out)["solutions"] if each["rows_scored"]]
    of_each = {each["family"]: _name(each) for each in sorted(answered, key=_name, reverse=True)}
    assert len(of_each) > 5
    names = {LEARNT, *of_each.values()}
    chosen = [word for name in sorted(names) for word in ("--only", name)]
    _goes_on(first_night, first_night.plant.copied(tmp_path), names, *chosen, "--take-in")
