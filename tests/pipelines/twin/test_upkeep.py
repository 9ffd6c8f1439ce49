"""Spare parts follow from what failed, calibrations from the gauge's drift, slots from who came first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.site import Site
from pipelines.twin.ageing_store import AgeingStore
from pipelines.twin.cells import Cells
from pipelines.twin.clock import DAY, HOUR
from pipelines.twin.equipment import Equipment
from pipelines.twin.interventions import Interventions
from pipelines.twin.upkeep import calibrations, spare_part_counts, spare_part_uses
from pipelines.twin.world import World

LAST = 13


@pytest.fixture(scope="module")
def world(site: Site) -> World:
    return World(site, 3, "baseline", 1.0)


@pytest.fixture(scope="module")
def equipment(world: World) -> Equipment:
    return Equipment(world, Interventions(world, []), until_s=world.clock.bounds(LAST)[1])


def test_each_closed_work_order_took_the_part_of_what_had_failed(
    world: World, equipment: Equipment, site: Site
) -> None:
    uses = pd.DataFrame(spare_part_uses(world, equipment, -150, LAST)).set_index("work_order_id")
    orders = pd.DataFrame(equipment.orders(-150, LAST)).dropna(subset=["closed_s"]).set_index("work_order_id")
    assert sorted(uses.index) == sorted(orders.index)
    orders = orders.loc[uses.index]
    classes = [site.machines_by_id[each].machine_class for each in orders["machine_id"]]
    modes = orders["failure_mode_code"].fillna("service_kit")
    assert list(uses["part_code"]) == [f"{kind}-{mode}" for kind, mode in zip(classes, modes, strict=True)]
    assert (uses["used_s"] == orders["closed_s"]).all()
    assert set(uses["quantity"]) == {1, 2}


def test_a_part_lacks_in_stock_until_its_lead_time_is_over(world: World, equipment: Equipment) -> None:
    counts = pd.DataFrame(spare_part_counts(world, equipment, 0, LAST))
    uses = pd.DataFrame(spare_part_uses(world, equipment, -150, LAST))
    assert counts["counted_s"].nunique() == 2
    lacking = 0
    for part in counts.itertuples():
        own = uses[uses["part_code"] == part.part_code]
        within = own["used_s"].between(part.counted_s - part.lead_time_d * DAY, part.counted_s, inclusive="right")
        used = int(own.loc[within, "quantity"].sum())
        assert part.stock_qty == max(0, world.p("spare.base_stock") - used)
        lacking += used > 0
    assert 0 < lacking < len(counts)


def test_a_gauge_is_calibrated_about_once_in_its_interval_and_found_off_the_same_way(world: World) -> None:
    done = pd.DataFrame(calibrations(world, -300, LAST))
    keys = ["gauge_id", "characteristic_code"]
    done = done.sort_values([*keys, "calibrated_s"])
    interval_d = done["characteristic_code"].map(world.p.under("calibration.interval_d"))
    gap_d = done.groupby(keys)["calibrated_s"].diff() / DAY
    assert (gap_d - interval_d).abs().max() <= world.p("calibration.late_most_d") + 1
    assert (done["due_s"] - done["calibrated_s"]).div(DAY).to_numpy() == pytest.approx(interval_d.to_numpy())
    share = done["as_found_error"] / done["tolerance"]
    by_gauge = share.groupby([done["gauge_id"], done["characteristic_code"]])
    assert by_gauge.mean().std() > 1.5 * by_gauge.std().mean()
    assert 0.001 < (share.abs() > 1).mean() < 0.15


def test_a_cycler_that_drifts_is_found_off_more_and_more_and_the_others_are_not(site: Site) -> None:
    drifting = World(site, 3, "cycler_drift", 1.0)
    usual = World(site, 3, "baseline", 1.0)
    error = {}
    for name, world in (("drift", drifting), ("usual", usual)):
        done = pd.DataFrame(calibrations(world, 0, 110))
        error[name] = done[done["characteristic_code"] == "capacity_ah"].reset_index(drop=True)
    more = error["drift"]["as_found_error"] - error["usual"]["as_found_error"]
    is_ill = error["drift"]["gauge_id"] == drifting.scenario.machine_id
    late = error["drift"]["calibrated_s"] >= drifting.scenario.from_day * DAY
    assert (more[~is_ill | ~late] == 0).all()
    grown = more[is_ill & late].to_numpy()
    assert len(grown) >= 2
    assert (np.diff(grown) < 0).all() and grown[-1] < -10 * usual.site.plan.by_code["capacity_ah"].gauge_sd


def test_days_one_by_one_and_at_once_are_the_same_upkeep(world: World, equipment: Equipment) -> None:
    for made in (
        lambda first, last: calibrations(world, first, last),
        lambda first, last: spare_part_counts(world, equipment, first, last),
        lambda first, last: spare_part_uses(world, equipment, first, last),
    ):
        whole = pd.DataFrame(made(0, LAST))
        days = pd.concat([pd.DataFrame(made(day, day)) for day in range(LAST + 1)])
        order = list(whole.columns)
        assert len(whole)
        pd.testing.assert_frame_equal(
            whole.sort_values(order).reset_index(drop=True),
            days[order].sort_values(order).reset_index(drop=True),
            check_dtype=False,
        )


@pytest.fixture(scope="module")
def stays(world: World) -> pd.DataFrame:
    """Ten days of trays at the line's pace, put in day by day."""
    store = AgeingStore(world, {})
    per_day = 3600
    tables = []
    for day in range(10):
        cells = np.arange(day * per_day, (day + 1) * per_day)
        stacked_s = cells * (DAY / per_day)
        tables.append(pd.DataFrame(store.moves(Cells(world, cells, stacked_s))))
    every = pd.concat(tables, ignore_index=True)
    return every.dropna(subset=["taken_out_s"]).sort_values("put_in_s").reset_index(drop=True)


def test_a_tray_stays_from_formation_to_the_test_in_a_slot_of_its_own(world: World, stays: pd.DataFrame) -> None:
    assert stays["tray_id"].is_unique
    assert len(stays) == 10 * 3600 // world.tray_cells
    hours = (stays["taken_out_s"] - stays["put_in_s"]) / HOUR
    assert hours.max() == pytest.approx(world.p("lead.ageing_h") - world.p("lead.formation_h") - 1.5)
    by_slot = stays.sort_values("put_in_s").groupby(["store_id", "slot_code"])
    assert (by_slot["put_in_s"].shift(-1) >= stays["taken_out_s"]).sum() == len(stays) - by_slot.ngroups


def test_the_first_free_slot_is_taken(stays: pd.DataFrame) -> None:
    place = stays["store_id"] + "/" + stays["slot_code"]
    known = sorted(place.unique())
    number = place.map({each: no for no, each in enumerate(known)}).to_numpy()
    put_s, out_s = stays["put_in_s"].to_numpy(), stays["taken_out_s"].to_numpy()
    for at in range(0, len(stays), 97):
        is_in = (put_s < put_s[at]) & (out_s > put_s[at])
        assert number[at] == min(set(range(len(known))) - set(number[is_in]))
    assert stays["store_id"].iloc[0] == "ageing_store_1"
