"""Missing, late, duplicated and corrected records come as often as twin.yaml says, and look as such records do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import binom

from pipelines.control_plan.site import Site
from pipelines.twin.clock import HOUR
from pipelines.twin.delivery import with_flaws
from pipelines.twin.energy import meters, weather
from pipelines.twin.world import World

SEEDS, DAYS = range(1, 6), 30
FEED, KEYS = "ems__meter_interval", ["meter_id", "event_s"]  # the feed whose usual records a clock alone decides


def _records(world: World) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Intervals of all days as measured, and as delivered."""
    tables = []
    for day in range(DAYS):
        energy = meters(world, day, np.zeros(0), weather(world, day), {})
        tables.append(energy | {"known_s": energy["event_s"] + energy["interval_s"]})
    delivered = [pd.DataFrame(with_flaws(world, day, FEED, dict(table))) for day, table in enumerate(tables)]
    return pd.concat(map(pd.DataFrame, tables)), pd.concat(delivered)


def _sorted_out(measured: pd.DataFrame, delivered: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Delivered records by what is wrong with them, each beside its original (`_0`); the missing as measured."""
    both = delivered.merge(measured, on=KEYS, suffixes=("", "_0"), validate="many_to_one")
    both["delay_s"] = both["known_s"] - both["known_s_0"]
    is_corrected = both["energy_kwh"] != both["energy_kwh_0"]
    plain = both[~is_corrected]
    again = plain.duplicated(KEYS)
    found = measured.merge(delivered[KEYS].drop_duplicates(), on=KEYS, how="left", indicator=True)
    return {
        "missing": found[found["_merge"] == "left_only"],
        "late": plain[~again & (plain["delay_s"] > 0)],
        "duplicate": plain[again],
        "corrected": both[is_corrected],
    }


def _is_near(counts: Mapping[str, int], of: int, world: World) -> bool:
    """Whether each kind is as frequent as chance allows in 9,999 cases of 10,000."""
    bounds = {kind: binom.interval(0.9999, of, world.p(f"records.{kind}_ratio")) for kind in counts}
    return all(bounds[kind][0] <= count <= bounds[kind][1] for kind, count in counts.items())


def test_each_flaw_is_as_frequent_as_configured_over_five_seeds(site: Site) -> None:
    total, of, delays_s = dict.fromkeys(("missing", "late", "duplicate", "corrected"), 0), 0, []
    for seed in SEEDS:
        world = World(site, seed, "baseline", 0.02)
        measured, delivered = _records(world)
        found = _sorted_out(measured, delivered)
        counts = {kind: len(rows) for kind, rows in found.items()}
        assert _is_near(counts, len(measured), world), (seed, counts)
        assert all(counts.values())
        total = {kind: total[kind] + counts[kind] for kind in total}
        of += len(measured)
        delays_s.append(found["late"]["delay_s"])
        _looks_right(found)
    assert _is_near(total, of, world), total
    mean_h = pd.concat(delays_s).mean() / HOUR
    usual_h = world.p("records.late_mean_h")
    assert abs(mean_h - usual_h) < 4 * usual_h / np.sqrt(total["late"])


def _looks_right(found: Mapping[str, pd.DataFrame]) -> None:
    corrected, twice = found["corrected"], found["duplicate"]
    assert np.allclose(corrected["energy_kwh"] / corrected["energy_kwh_0"], 1.001, rtol=1e-9)
    assert (corrected["delay_s"] >= 5 * HOUR).all()
    assert (twice["energy_kwh"] == twice["energy_kwh_0"]).all()
