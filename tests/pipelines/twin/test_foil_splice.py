"""A lot of foil ends within a roll where the coater counted a splice; what there was before stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.control_plan.site import Site
from pipelines.twin.course import SPARE, Course
from pipelines.twin.foil_splice import FEED, foil_of, is_spliced
from pipelines.twin.names import entity_id, lot_id
from pipelines.twin.table import Table, take
from pipelines.twin.truth import splice_truth
from pipelines.twin.upstream import COATING_H, Upstream
from pipelines.twin.world import World

ROLLS = 1500
CELLS = np.arange(ROLLS * 108)


@pytest.fixture(scope="module")
def world(site: Site) -> World:
    return World(site, 3, "baseline", 1.0)


@pytest.fixture(scope="module")
def records(world: World) -> dict[str, Table]:
    return Upstream(world, CELLS, CELLS * 18.0 + 1e6).records()


def test_a_lot_ends_on_its_last_roll_or_between_two(world: World, records: dict[str, Table]) -> None:
    splices, rolls = records[FEED], records["mes__mother_roll"]
    ends = ROLLS // 30
    for electrode in ("cathode", "anode"):
        own = take(splices, splices["electrode_code"] == electrode)
        last = entity_id(electrode, "R", np.arange(1, ends + 1) * 30 - 1)
        at = {roll: no for no, roll in enumerate(rolls["mother_roll_id"])}
        counted = np.rint(rolls["splice_count"][[at[roll] for roll in last]])
        # The coater that counted no splice changed the lot between two rolls.
        assert own["mother_roll_id"].tolist() == last[counted >= 1].tolist()
        assert 0.6 * ends < len(own["at_m"]) < ends
        here = [at[roll] for roll in own["mother_roll_id"]]
        assert (rolls["foil_lot_id"][here] == own["ended_lot_id"]).all()
        following = [at[roll] for roll in entity_id(electrode, "R", (np.flatnonzero(counted >= 1) + 1) * 30)
                     if roll in at]  # fmt: skip
        assert (rolls["foil_lot_id"][following] == own["begun_lot_id"][: len(following)]).all()
        assert (own["ended_lot_id"] == lot_id(foil_of(electrode), np.flatnonzero(counted >= 1))).all()


def test_a_splice_lies_anywhere_on_the_roll_and_its_metre_is_told_to_half_a_metre(records: dict[str, Table]) -> None:
    splices = records[FEED]
    off, true = splices["at_m"] - splices["true_at_m"], splices["true_at_m"]
    assert np.abs(off).max() <= 0.5
    assert np.abs(off).max() > 0.4
    assert abs(off.mean()) < 0.1
    assert ((true >= 40) & (true <= 1960)).all()
    assert np.histogram(true, bins=4, range=(40, 1960))[0].min() > 0.12 * len(true)
    assert ((splices["scrap_m"] >= 30) & (splices["scrap_m"] <= 100)).all()
    of = {name: true[splices["electrode_code"] == name][:30] for name in ("cathode", "anode")}
    assert abs(np.corrcoef(of["cathode"], of["anode"])[0, 1]) < 0.5  # the electrodes know nothing of each other


def test_it_happens_while_the_roll_is_coated_and_is_known_with_it(records: dict[str, Table]) -> None:
    splices, rolls = records[FEED], records["mes__mother_roll"]
    at = {roll: no for no, roll in enumerate(rolls["mother_roll_id"])}
    here = [at[roll] for roll in splices["mother_roll_id"]]
    since_s = splices["event_s"] - rolls["started_s"][here]
    assert np.allclose(since_s, COATING_H * 3600 * splices["true_at_m"] / rolls["length_m"][here])
    assert (splices["known_s"] == rolls["known_s"][here]).all()


def test_the_truth_holds_what_the_record_does_not(records: dict[str, Table]) -> None:
    truth = splice_truth(records[FEED])
    assert set(truth) == {"mother_roll_id", "true_at_m", "ended_lot_id", "begun_lot_id"}
    assert splice_truth({}) == {}


def test_a_held_lot_is_changed_between_rolls_and_a_scrapped_roll_has_no_splice(site: Site, world: World) -> None:
    first = np.arange(1, 41) * 30 * 108 - 108
    spliced = is_spliced(world, "cathode", first)
    assert spliced.any()
    held = World(site, 3, "baseline", 1.0)
    number = int(np.flatnonzero(spliced)[0])
    next_lot = number + 1
    held.course = replace(Course(), holds={"lot:aluminium_foil": ((next_lot, 0),)})
    assert held.numbers("lot:aluminium_foil", first[[number]] + 108).tolist() == [next_lot + SPARE]
    changed = is_spliced(held, "cathode", first)
    assert not changed[number]
    assert not changed[next_lot]
    others = np.setdiff1d(np.arange(len(first)), [number, next_lot])
    assert (changed[others] == spliced[others]).all()
    assert not is_spliced(world.of_lost("cathode_roll"), "cathode", first).any()
