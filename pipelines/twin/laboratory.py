"""The twin's laboratory: what a trial mix of a cathode would show, for those who order trials.

A mix is set by its shares of binder and carbon, its solids and the time of mixing. Its response surfaces are estimates
of this open twin (twin.yaml, `laboratory`): binder holds, carbon takes binder and conducts, solids and binder thicken,
and there is a best time to mix. Each seed has effects of its own, as each powder and mixer has.
"""

from __future__ import annotations

import numpy as np

from pipelines.control_plan.site import Site
from pipelines.twin.graph import load_graph
from pipelines.twin.rng import hash_normal, salt
from pipelines.twin.table import Floats

SETTINGS = ("binder_pct", "carbon_pct", "solids_pct", "mixing_time_h")
RESULTS = ("peel_strength_n_m", "sheet_resistivity_ohm_cm", "viscosity_mpa_s", "specific_capacity_mah_g")


class Laboratory:
    """Trials of one seed.

    Args:
        site: gives twin.yaml.
        seed: of the powder and the mixer.
    """

    def __init__(self, site: Site, seed: int) -> None:
        self._p, self._seed = load_graph(site).parameters, seed

    @property
    def standard(self) -> Floats:
        """Settings of today's recipe, shape (4,)."""
        return np.array([self._p(f"laboratory.standard.{name}") for name in SETTINGS])

    def true(self, settings: Floats) -> Floats:
        """Results without the error of measuring, shape (n, 4) to (n, 4).

        Args:
            settings: % binder, % carbon (of the dry mass), % solids, hours of mixing.

        Returns:
            Peel strength N/m, sheet resistivity ohm cm, viscosity mPa s, and capacity in mAh per g of the dry mass.
        """
        off = settings - self.standard
        binder, carbon, solids, mixed = off.T
        peel = self._log("peel", binder, carbon, solids) - self._effect("peel.mixing_curve") * mixed**2
        resistance = self._log("resistivity", binder, carbon, solids)
        resistance = resistance + self._effect("resistivity.mixing_curve") * mixed**2
        viscosity = self._log("viscosity", binder, carbon, solids)
        levels = [self._p(f"laboratory.{name}.level") for name in ("peel", "resistivity", "viscosity")]
        found = [level * np.exp(each) for level, each in zip(levels, (peel, resistance, viscosity), strict=True)]
        active = 1 - (settings[:, 0] + settings[:, 1]) / 100
        lost = self._effect("capacity.lost_per_ohm_cm") * np.maximum(found[1] - levels[1], 0.0)
        return np.column_stack([*found, self._p("laboratory.capacity.level") * active * (1 - lost)])

    def measured(self, settings: Floats, first: int) -> Floats:
        """Results as the laboratory reports them; the error follows from the trial's number.

        Args:
            settings: as of `true`.
            first: number of the first of these trials, from 0.
        """
        number = first + np.arange(len(settings))
        errors = [
            self._p(f"laboratory.{part}.error") * hash_normal(salt(self._seed, f"{part}@trial"), number)
            for part in ("peel", "resistivity", "viscosity", "capacity")
        ]
        found: Floats = self.true(settings) + np.column_stack(errors)
        return found

    def _log(self, part: str, binder: Floats, carbon: Floats, solids: Floats) -> Floats:
        effects = [self._effect(f"{part}.{name}") for name in ("per_binder", "per_carbon", "per_solids")]
        found: Floats = np.column_stack([binder, carbon, solids]) @ np.array(effects)
        return found

    def _effect(self, name: str) -> float:
        """An effect as this powder and mixer have it."""
        own = float(hash_normal(salt(self._seed, f"laboratory.{name}"), np.zeros(1, dtype=np.int64))[0])
        return self._p(f"laboratory.{name}") * float(np.exp(self._p("laboratory.effect_sd") * own))
