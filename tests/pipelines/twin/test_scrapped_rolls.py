"""Mother rolls and batches are scrapped at times: for a cause, and another one takes their place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.twin.losses import is_lost
from pipelines.twin.simulate import simulate
from pipelines.twin.world import World

pytestmark = pytest.mark.slow

Read = Callable[[Home, str], pd.DataFrame]


@pytest.mark.parametrize(
    ("level", "cause"),
    [
        ("cathode_roll", "cathode_pump_pulsation_pct"),
        ("anode_roll", "anode_pump_pulsation_pct"),
        ("cathode_batch", "cathode_gel_index"),
        ("anode_batch", "anode_gel_index"),
    ],
)
def test_the_share_is_the_configured_one_and_a_worse_driver_raises_it(site: Site, level: str, cause: str) -> None:
    shares, numbers = [], np.arange(20_000)
    for seed in range(1, 6):
        usual = World(site, seed, "baseline", 1.0)
        world, memo = usual.of_lost(level), {}  # type: ignore[var-annotated]
        first = numbers * world.cells_per(level)
        lost = is_lost(world, level, numbers, lambda code: world.z(code, first, memo))  # noqa: B023 - called at once
        shares.append(lost.mean())
        assert memo[cause][lost].mean() > memo[cause][~lost].mean() + 0.3
        # It is another roll than the one that took its place.
        assert abs(np.corrcoef(memo[cause], usual.z(cause, first, {}))[0, 1]) < 0.9
    assert np.mean(shares) == pytest.approx(World(site, 1, "baseline", 1.0).p(f"scrap.{level}_ratio"), rel=0.3)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Home:
    home = Home(tmp_path_factory.mktemp("plant"))
    simulate(site, home, days=9, seed=10, scale=0.01, telemetry_days=0)  # scrapped batches of both electrodes
    return home


@pytest.mark.slow
def test_a_scrapped_roll_is_recorded_by_the_coater_and_by_nobody_after_it(plant: Home, delivered: Read) -> None:
    scrap = delivered(plant, "mes__scrap").query("entity_type_code == 'mother_roll'")
    rolls = delivered(plant, "mes__mother_roll")
    lost = rolls[rolls["mother_roll_id"].isin(scrap["entity_id"])]
    assert 3 <= len(lost) == len(scrap) <= 0.03 * len(rolls)
    assert set(scrap["step_code"]) == {"coating"}
    assert not rolls["mother_roll_id"].duplicated().any()
    for feed in ("lims__roll_result", "mes__calendering", "mes__daughter_roll"):
        used = delivered(plant, feed)["mother_roll_id"]
        assert not used.isin(lost["mother_roll_id"]).any()
        assert set(rolls["mother_roll_id"]) - set(lost["mother_roll_id"]) >= set(used)
    cells = delivered(plant, "mes__stacking")
    for column in ("cathode_roll_id", "anode_roll_id"):
        assert not cells[column].str.rsplit("-", n=1).str[0].isin(lost["mother_roll_id"]).any()


@pytest.mark.slow
def test_a_scrapped_batch_is_recorded_by_the_mixer_and_coated_by_nobody(plant: Home, delivered: Read) -> None:
    scrap = delivered(plant, "mes__scrap").query("entity_type_code == 'slurry_batch'")
    assert 2 <= len(scrap) <= 8
    assert set(scrap["step_code"]) == {"mixing"}
    assert scrap["entity_id"].isin(delivered(plant, "mes__slurry_batch")["slurry_batch_id"]).all()
    assert scrap["entity_id"].isin(delivered(plant, "mes__batch_material")["slurry_batch_id"]).all()
    assert not delivered(plant, "mes__mother_roll")["slurry_batch_id"].isin(scrap["entity_id"]).any()


@pytest.mark.slow
def test_a_coater_loses_the_metres_of_its_scrapped_rolls(plant: Home, delivered: Read) -> None:
    scrap = delivered(plant, "mes__scrap").query("entity_type_code == 'mother_roll'")
    rolls = delivered(plant, "mes__mother_roll")
    lost = rolls["mother_roll_id"].isin(scrap["entity_id"]).groupby(rolls["machine_id"]).mean()
    states = delivered(plant, "scada__machine_state")
    sums = states.groupby("machine_id")[["produced_count", "good_count"]].sum().loc[lost.index]
    assert (1 - sums["good_count"] / sums["produced_count"]).to_dict() == pytest.approx(lost.to_dict(), abs=0.004)
    others = states[states["machine_id"].str.startswith(("calender", "slitter", "notcher"))]
    assert (others["good_count"] == others["produced_count"]).all()
