"""The night after the first: the whole plant again, on what one more day brought."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.lake.connection import reader
from tests.end_to_end.conftest import FirstNight

pytestmark = pytest.mark.slow


def test_the_next_night_takes_in_the_next_day_and_every_folder_stands(first_night: FirstNight, tmp_path: Path) -> None:
    first = {each["slug"]: each for each in json.loads(first_night.night.out)["solutions"]}
    # A copy of a home shares its servers, so there it is the plant itself whose days go on.
    plant = first_night.plant if first_night.servers else first_night.plant.copied(tmp_path)
    with reader(plant.home) as con:
        (cells,) = con.execute("SELECT count(*) FROM marts.cell").fetchone() or (0,)
    made = plant.run("simulate", "--days", "1", "--telemetry-days", "0")
    assert made.code == 0, made.err
    night = plant.run("nightly", "--json")
    assert night.code == 0, (night.err + night.out)[-3000:]
    told = json.loads(night.out)
    assert (told["success"], told["failed_steps"]) == (True, {})
    assert told["rows"]["in"] > 0
    assert {each["slug"]: each["reason"] for each in told["solutions"] if each["state"] != "working"} == {}
    with reader(plant.home) as con:
        assert con.execute("SELECT count(*) > ? FROM marts.cell", [cells]).fetchone() == (True,)
    lost = {each["slug"] for each in told["solutions"] if first[each["slug"]]["champion_version"] is not None}
    lost -= {each["slug"] for each in told["solutions"] if each["champion_version"] is not None}
    assert not lost, "a solution that had a champion has none any more"
    # The model that learnt in the first night learns again, on the copy's own place.
    (learnt,) = [each for each in told["models"] if each["solution"] == "line/weld_resistance"]
    assert int(learnt["version"]) > 1
    own = (plant.home.root / "mlflow" / "artifacts" / "line.weld_resistance").is_dir()
    assert own == (not first_night.servers)
