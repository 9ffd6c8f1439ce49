"""A section alone is the plant's own: the same rolls, values and moments, with a set-point moved or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time

import numpy as np
import pandas as pd
import pytest

from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.twin.decisions import SetPoint
from pipelines.twin.names import entity_id
from pipelines.twin.section import Electrode, Section
from pipelines.twin.simulate import simulate

pytestmark = pytest.mark.slow

Read = Callable[[Home, str], pd.DataFrame]
SEED, SCALE, DAYS = 5, 0.03, 3
PUMP, LOAD = "cathode_pump_speed_ratio_pct", "cathode_line_load_n_mm"
AT = {"day": date(2026, 9, 2), "at": time(12)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Home:
    made = Home(tmp_path_factory.mktemp("section"))
    moves = [SetPoint(kind="setpoint", code=code, value=value, **AT) for code, value in ((PUMP, 102.0), (LOAD, 1640.0))]
    simulate(site, made, days=DAYS, seed=SEED, scale=SCALE, telemetry_days=0, decisions=moves)
    return made


@pytest.fixture(scope="module")
def cathode(site: Site) -> Electrode:
    line = Section(site, SEED, DAYS, scale=SCALE).electrode("cathode")
    for step, code, value in (("coating", PUMP, 102.0), ("calendering", LOAD, 1640.0)):
        rolls = line.rolls(step)  # type: ignore[arg-type]
        at_s = line.world.clock.seconds_at(AT["day"], AT["at"])  # type: ignore[arg-type]
        line.move(code, rolls, int(np.searchsorted(rolls.at_s, at_s)), value)
    return line


@pytest.mark.parametrize(
    ("step", "feed", "columns"),
    [
        ("coating", "mes__mother_roll", ["areal_weight_g_m2", "pump_speed_ratio_pct"]),
        ("calendering", "mes__calendering", ["density_g_cm3", "line_load_n_mm"]),
    ],
)
def test_a_section_gives_the_records_that_the_plant_delivers(
    home: Home, cathode: Electrode, delivered: Read, step: str, feed: str, columns: list[str]
) -> None:
    records = delivered(home, feed)
    records = records[records["electrode_code"] == "cathode"].sort_values("known_at").reset_index(drop=True)
    rolls = cathode.rolls(step)  # type: ignore[arg-type]
    found = cathode.deliveries(step, rolls)  # type: ignore[arg-type]
    # What is known by the end of the last day; a late record is not delivered yet.
    is_due = found["known_s"] <= cathode.world.clock.bounds(DAYS - 1)[1]
    rows, factor = found["row"][is_due], found["factor"][is_due]
    known_at = cathode.world.clock.utc(found["known_s"][is_due])
    assert len(records) == len(rows) > 60
    assert np.abs(pd.to_datetime(records["known_at"]).to_numpy() - known_at).max() <= np.timedelta64(1, "ms")
    for no, column in enumerate(columns):
        shown = cathode.shown(f"cathode_{column}", rolls, rows) * (factor if no == 0 else 1.0)
        np.testing.assert_allclose(records[column], shown, rtol=1e-12)
    names = entity_id("cathode", "R", rolls.number[rows[~rolls.is_lost[rows]]])
    assert set(names) <= set(records["mother_roll_id"])


def test_a_moved_setpoint_changes_later_rolls_only_and_by_its_effect(site: Site, cathode: Electrode) -> None:
    still = Section(site, SEED, DAYS, scale=SCALE).electrode("cathode")
    rolls = still.rolls("coating")
    every = np.arange(len(rolls))
    change = cathode.true(PUMP, rolls, every) - still.true(PUMP, rolls, every)
    begin = int(np.searchsorted(rolls.at_s, still.world.clock.seconds_at(AT["day"], AT["at"])))  # type: ignore[arg-type]
    assert np.allclose(change[:begin], 0.0)
    assert np.allclose(change[begin:], 2.0)
    heavier = cathode.true("cathode_areal_weight_g_m2", rolls, every) - still.true(
        "cathode_areal_weight_g_m2", rolls, every
    )
    assert np.allclose(heavier[:begin], 0.0)
    assert (heavier[begin:] > 0).all()


def test_batches_are_those_of_the_plant(home: Home, cathode: Electrode, delivered: Read) -> None:
    records = delivered(home, "mes__slurry_batch")
    records = records[records["electrode_code"] == "cathode"]
    batches = cathode.batches()
    assert len(records) == len(batches.number)
    np.testing.assert_allclose(
        np.sort(records["solids_pct"]), np.sort(cathode.batch_values("cathode_solids_pct", batches)), rtol=1e-12
    )
