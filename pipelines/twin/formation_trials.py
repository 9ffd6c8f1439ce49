"""The twin's formation trials: what a protocol would show on a few trays, for those who look for a better one.

A protocol charges with three currents to a state of charge, at a temperature. Its effects are estimates of this open
twin (twin.yaml, `formation_trial`): a faster first current builds a film that takes more lithium and makes more gas,
and so does one that is left before the film stands; warmth builds a tighter film up to a point and makes more gas;
hours in the cabinet cost lithium by side reactions, and channels; and the colder the coldest tray, the smaller the
current at which lithium plates. Each seed has effects of its own, as each powder and electrolyte has.
"""

from __future__ import annotations

import numpy as np

from pipelines.control_plan.site import Site
from pipelines.twin.graph import load_graph
from pipelines.twin.rng import hash_normal, salt
from pipelines.twin.table import Floats

SETTINGS = ("first_current_c", "second_current_c", "third_current_c", "handover_soc_pct", "tray_temp_c")
RESULTS = (
    "formation_time_h",
    "energy_kwh",
    "first_cycle_efficiency_pct",
    "plating_margin_ratio",
    "gas_ml_ah",
    "cost_usd",
)
_KELVIN, _GAS_KJ = 273.15, 8.314e-3


class FormationTrials:
    """Trials of one seed.

    Args:
        site: gives twin.yaml.
        seed: of powder, electrolyte and cabinets.
    """

    def __init__(self, site: Site, seed: int) -> None:
        self._every, self._seed = load_graph(site).parameters, seed
        self._capacity_ah = site.product.nominal_capacity_ah

    def _p(self, name: str) -> float:
        return self._every(f"formation_trial.{name}")

    @property
    def standard(self) -> Floats:
        """Settings of today's recipe, shape (5,)."""
        return np.array([self._p(f"standard.{name}") for name in SETTINGS])

    def true(self, settings: Floats) -> Floats:
        """Results without the error of measuring, shape (n, 5) to (n, 6).

        Args:
            settings: three currents in C, % state of charge at which the first is left, temperature of the trays in C.

        Returns:
            Hours in the cabinet, kWh of a cell taken from the grid and not given back, % of the first charge that comes
            back, margin to plating in the coldest tray (0: it begins), ml gas per Ah, and US$ per cell: channel, energy
            and the lithium that is lost.
        """
        hours = self._hours(settings)
        found = [hours, self._energy(settings, hours), self._efficiency(settings, hours), self._margin(settings)]
        return np.column_stack([*found, self._gas(settings), self._cost(*found[:3])])

    def measured(self, settings: Floats, first: int) -> Floats:
        """Results as told by the trays of a trial; the error follows from its number, the cost from the other results.

        Args:
            settings: as of `true`.
            first: number of the first of these trials, from 0.
        """
        number = first + np.arange(len(settings))
        errors = [
            self._p(name) / np.sqrt(self._p("trays")) * hash_normal(salt(self._seed, f"{name}@protocol"), number)
            for name in ("time_error_h", "energy.error_kwh", "efficiency.error", "plating.error", "gas.error")
        ]
        shown = self.true(settings)[:, :5] + np.column_stack(errors)
        return np.column_stack([shown, self._cost(*shown[:, :3].T)])

    def _hours(self, settings: Floats) -> Floats:
        first, second, third, handover, _ = settings.T
        between, end = self._p("second_handover_soc_pct"), self._p("end_soc_pct")
        charged = handover / first + (between - handover) / second + (end - between) / third
        hours: Floats = charged / 100 + self._p("rest_h")
        return hours

    def _energy(self, settings: Floats, hours: Floats) -> Floats:
        """Losses of charger, resistance and what is not given back, and the cabinet's heat."""
        first, second, third, handover, warm = settings.T
        between, end = self._p("second_handover_soc_pct"), self._p("end_soc_pct")
        kept = self._p("energy.cell_kwh") * end / 100
        lost = kept * (1 / self._p("energy.charger_ratio") - self._p("energy.regenerated_ratio"))
        stages = ((first, handover), (second, between - handover), (third, end - between))
        # I2 R t with I = C-rate times Ah and t = share over C-rate: in kWh.
        heated = (
            sum(rate * soc / 100 for rate, soc in stages)
            * self._capacity_ah**2
            * self._p("energy.resistance_mohm")
            * 1e-6
        )
        hall = self._p("energy.hall_c")
        cabinet = self._p("energy.heat_w") * (warm - hall) / (self.standard[4] - hall) * hours / 1000
        energy: Floats = lost + heated + cabinet
        return energy

    def _efficiency(self, settings: Floats, hours: Floats) -> Floats:
        first, second, _, handover, warm = settings.T
        off_c = warm - self.standard[4]
        told = self._effect("efficiency.per_log_first_current") * np.log(first / self.standard[0])
        told = told + self._unfinished(first, second, handover) - self._unfinished(*self.standard[[0, 1, 3]])
        told = told + self._effect("efficiency.per_c") * off_c + self._effect("efficiency.curve_c2") * off_c**2
        told = told + self._effect("efficiency.per_h") * (hours - self._hours(self.standard[None])[0])
        efficiency: Floats = self._p("efficiency.level") + told
        return efficiency

    def _unfinished(self, first: Floats, second: Floats, handover: Floats) -> Floats:
        left: Floats = np.exp(-handover / self._p("efficiency.film_soc_pct"))
        return self._effect("efficiency.unfinished") * left * np.maximum(np.log(second / first), 0.0)

    def _margin(self, settings: Floats) -> Floats:
        first, second, third, handover, warm = settings.T
        coldest = warm - self._effect("coldest_below_c") + _KELVIN
        off = 1 / (self.standard[4] + _KELVIN) - 1 / coldest
        limit = self._effect("plating.limit_c") * np.exp(self._p("plating.activation_kj_mol") / _GAS_KJ * off)
        between, end = self._p("second_handover_soc_pct"), self._p("end_soc_pct")
        shares = [
            rate / (limit * (1 + self._p("plating.per_soc_pct") * (end - soc)))
            for rate, soc in ((first, handover), (second, between), (third, end))
        ]
        margin: Floats = 1 - np.max(shares, axis=0)
        return margin

    def _gas(self, settings: Floats) -> Floats:
        faster, off_c = np.log(settings[:, 0] / self.standard[0]), settings[:, 4] - self.standard[4]
        gas: Floats = self._effect("gas.per_log_first_current") * faster + self._effect("gas.per_c") * off_c
        return self._p("gas.level") + gas

    def _cost(self, hours: Floats, energy: Floats, efficiency: Floats) -> Floats:
        cost: Floats = (
            self._p("cost.usd_per_channel_h") * hours
            + self._p("cost.usd_per_kwh") * energy
            + self._p("cost.usd_per_efficiency_pct") * (100 - efficiency)
        )
        return cost

    def _effect(self, name: str) -> float:
        """An effect as this powder, electrolyte and cabinet have it."""
        own = float(hash_normal(salt(self._seed, f"formation_trial.{name}"), np.zeros(1, dtype=np.int64))[0])
        return self._p(name) * float(np.exp(self._p("effect_sd") * own))
