"""`cellworks evaluate` of the search for a dew point: what it learns from, what it moves, what counts against it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from orchestration.catalogue import find
from orchestration.environment import default_site
from orchestration.evaluation import dry_room
from orchestration.evaluation.dry_room import Arms, hours_table, judged
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.optimizer import evaluate
from orchestration.evaluation.outcome import Evaluation
from pipelines.control_plan.site import Site, load_site
from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.dry_room import hours
from pipelines.twin.energy import weather
from pipelines.twin.world import World


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(default_site())


@pytest.fixture(scope="module")
def searched(site: Site) -> Evaluation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dry_room, "CONTROL_DAYS", 4)
        # Plants whose rooms are moved within these days; others wait until the load of 30 days leaves them something.
        return evaluate(find("energy/dry_room_optimizer"), Ground(site, seeds=(102, 108)))


def test_rooms_are_moved_within_what_the_plan_allows_and_their_cells_stay_dry(searched: Evaluation) -> None:
    assert searched.figures["crossed"] == []
    assert searched.figures["moves_a_day"] > 0
    assert -60 <= searched.figures["last_setpoint"] <= -45
    assert searched.figures["a_day"]["kwh_moved"] != searched.figures["a_day"]["kwh_fixed"]
    mean, beyond = searched.figures["moisture"]["mean_ppm"], searched.figures["moisture"]["beyond_pct"]
    assert (mean[1] > mean[0]) == (searched.figures["last_setpoint"] > -52)
    assert beyond[0] == beyond[1] == 0


def test_a_label_is_known_four_hours_later_and_is_the_worst_of_them(site: Site) -> None:
    world = World(site, 3, "baseline", 1.0)
    outdoor = weather(world, 0)
    rows = hours(world, 0, outdoor, {})
    same = {name: np.tile(outdoor[name], 3) for name in ("outdoor_temp_c", "outdoor_dew_point_c")}
    now_s = 12 * HOUR + 120.0
    table = hours_table(rows | same | {"day": np.zeros(72, dtype=int)}, now_s).to_pandas()
    own = table[table["machine_id"] == "dry_room_2"].reset_index(drop=True)
    assert len(own) == 12
    assert own["dew_point_max_next_4h_c"].notna().sum() == 8
    for hour in range(8):
        assert own["dew_point_max_next_4h_c"][hour] == own["zone_dew_point_max_c"][hour + 1 : hour + 5].max()
    assert (own["label_known_at"] - own["hour_at"] == timedelta(hours=5, seconds=60)).all()


@pytest.mark.parametrize(
    ("saved", "outside", "moist", "crossed", "verdict"),
    [
        (0.01, (0, 0), 0.0, [], "working"),
        (-0.01, (0, 0), 0.0, [], "failing"),
        (0.01, (0, 5), 0.0, [], "failing"),
        (0.01, (0, 0), 1.0, [], "failing"),
        (0.01, (0, 0), 0.0, ["a move larger than allowed"], "failing"),
    ],
)
def test_what_saves_by_letting_a_limit_go_does_not_work(
    site: Site, saved: float, outside: tuple[int, int], moist: float, crossed: list[str], verdict: str
) -> None:
    arms = [
        Arms(
            seed, saved + seed / 1e5, (DAY, DAY), outside, 1000,
            {"mean_ppm": (250.0, 251.0), "beyond_pct": (0.0, moist)}, {"dry_room_1": -50.0}, 3, crossed, {"move": 3},
        )
        for seed in (1, 2, 3)
    ]  # fmt: skip
    assert judged(Ground(site, seeds=(1, 2, 3)), arms).verdict == verdict
