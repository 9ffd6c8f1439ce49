"""A batch while it is mixed: agglomerates break by first-order kinetics, and the mixer's power falls to its plateau.

How fast depends on the powder's surface, the solids, the temperature and the tool's speed (domain 1.2), and on what
nobody sees. A batch ends with the fineness of its own record. A sampler draws a little of it at fixed moments; the
laboratory tells its fineness hours later.
"""

from __future__ import annotations

import numpy as np

from pipelines.control_plan.derive import characteristics
from pipelines.twin.clock import HOUR
from pipelines.twin.rng import hash_normal, hash_uniform
from pipelines.twin.table import Array, Floats, Ints, Table
from pipelines.twin.world import World

FEED, SAMPLE_FEED = "mes__mixing_moment", "lims__mixing_sample"
_POWDER = {"cathode": "lfp", "anode": "graphite"}


class MixingCurve:
    """Batches of one electrode from their first moment to their last.

    Args:
        world: the plant, as it made these batches.
        electrode: cathode or anode.
        first: first cell that each batch goes into.
    """

    def __init__(self, world: World, electrode: str, first: Ints) -> None:
        self._world, self._electrode, self._first = world, electrode, first
        self._batch = world.numbers(f"{electrode}_batch", first)
        self._memo: dict[str, Floats] = {}
        p = world.p
        last = round(p("lead.mixing_h") * 60)
        self.minutes: Ints = np.arange(int(p("mixing.first_min")), last + 1, int(p("mixing.every_min")))
        self._elapsed_h = self.minutes / 60

    def _z(self, name: str) -> Floats:
        code = name if name in self._world.site.plan.by_code else f"{self._electrode}_{name}"
        return self._world.z(code, self._first, self._memo)

    def _value(self, name: str) -> Floats:
        row = self._world.site.plan.by_code[f"{self._electrode}_{name}"]
        return self._world.value(row, self._z(name))

    def _hashed(self, name: str, *keys: Ints) -> Floats:
        return hash_normal(self._world.salt(f"mixing_{self._electrode}_{name}"), *keys)

    def _noise(self, name: str) -> Floats:
        return self._hashed(name, self._batch[:, None], self.minutes)

    @property
    def rate_per_h(self) -> Floats:
        """Of the kinetics, shape (batches,)."""
        p = self._world.p
        log = (
            -p("mixing.slower_by_surface") * self._z(f"{_POWDER[self._electrode]}_bet_m2_g")
            + p("mixing.faster_by_solids") * self._z("solids_pct")
            + p("mixing.faster_by_heat") * self._z("slurry_temp_c")
            + p("mixing.faster_by_speed") * self._z("disperser_speed_rpm")
            + p("mixing.rate_sd") * self._hashed("rate", self._batch)
        )
        found: Floats = p("mixing.rate_per_h") * np.exp(log)
        return found

    @property
    def left(self) -> Floats:
        """Share of the agglomerates that is left at each moment, shape (batches, moments)."""
        found: Floats = np.exp(-self.rate_per_h[:, None] * self._elapsed_h)
        return found

    @property
    def fineness_um(self) -> Floats:
        """True fineness at each moment, shape (batches, moments); that of the record when the batch ends."""
        p = self._world.p
        raw = p("mixing.raw_um") * np.exp(p("mixing.raw_sd") * self._hashed("raw", self._batch))
        end = np.exp(-self.rate_per_h * p("lead.mixing_h"))
        broken = (self._value("fineness_um") - raw * end) / (1 - end)
        found: Floats = broken[:, None] + (raw - broken)[:, None] * self.left
        return found

    def shown(self) -> dict[str, Floats]:
        """What drive, sensors and laboratory show, by name of the characteristic, shape (batches, moments)."""
        p, rows = self._world.p, self._world.site.plan.by_code
        plateau = (rows[f"{self._electrode}_mixing_power_kw"].nominal or 0.0) * np.exp(
            p("mixing.power_by_viscosity") * self._z("viscosity_mpa_s")
            + p("mixing.power_by_speed") * self._z("disperser_speed_rpm")
            + p("mixing.power_sd") * self._hashed("plateau", self._batch)
        )
        higher = p("mixing.power_of_agglomerates") * np.exp(p("mixing.power_sd") * self._hashed("higher", self._batch))
        power = plateau[:, None] * (1 + higher[:, None] * self.left)
        seen = power * np.exp(p("mixing.power_noise") * self._noise("power"))
        slope = -plateau[:, None] * higher[:, None] * self.left * self.rate_per_h[:, None]
        trend = 100 * slope * p("mixing.every_min") / 60 / power
        begun = plateau * (1 + higher)
        begun = begun * np.exp(p("mixing.power_noise") * self._hashed("begun", self._batch))
        warmer = p("mixing.warming_c") * (self.left - self.left[:, -1:])
        shown = {
            "mixing_power_kw": seen,
            "power_trend_pct": trend + p("mixing.trend_noise_pct") * self._noise("trend"),
            "power_fall_pct": 100 * (1 - seen / begun[:, None]),
            "vessel_temp_c": self._value("slurry_temp_c")[:, None] + warmer,
            "tool_speed_rpm": np.broadcast_to(self._value("disperser_speed_rpm")[:, None], seen.shape),
            "sample_fineness_um": self.fineness_um,
        }
        return {name: self._read(name, value) for name, value in shown.items()}

    def _read(self, name: str, value: Floats) -> Floats:
        row = self._world.site.plan.by_code[f"{self._electrode}_{name}"]
        seen = value + row.gauge_sd * self._noise(f"{name}@gauge")
        seen = np.round(np.round(seen / row.resolution) * row.resolution, 12)
        found: Floats = np.clip(seen, row.physical_min, row.physical_max)
        return found


def mixing_records(world: World, electrode: str, first: Ints, batches: Table) -> dict[str, Table]:
    """Records of batches at fixed moments, and of the samples drawn then, by feed.

    Args:
        world: the plant, as it made these batches.
        electrode: cathode or anode.
        first: first cell that each batch goes into.
        batches: columns of the batches' own records that the moments have too; `started_s` among them.
    """
    curve = MixingCurve(world, electrode, first)
    count, shown = len(curve.minutes), curve.shown()
    repeated: dict[str, Array] = {name: np.repeat(values, count) for name, values in batches.items()}
    minute = np.tile(curve.minutes, len(first))
    at_s = repeated["started_s"] + minute * 60.0
    keys = {name: repeated[name] for name in ("slurry_batch_id", "electrode_code")}
    keys |= {"minute_no": minute.astype(np.int32), "event_s": at_s}
    laboratory = {row.name for row in characteristics(world.site, SAMPLE_FEED)}
    in_line = {name: values.ravel() for name, values in shown.items() if name not in laboratory}
    read = {name: values.ravel() for name, values in shown.items() if name in laboratory}
    least, most = world.p("mixing.sample_least_h"), world.p("mixing.sample_most_h")
    batch = np.repeat(world.numbers(f"{electrode}_batch", first), count)
    late_h = least + (most - least) * hash_uniform(world.salt(f"mixing_{electrode}_sample"), batch, minute)
    return {
        FEED: {**repeated, **keys, **in_line, "known_s": at_s + 60.0},
        SAMPLE_FEED: {**keys, **read, "known_s": at_s + late_h * HOUR},
    }
