"""How a small LFP cell ages on a cycler: lithium lost to SEI and plating, graphite lost, resistance grown.

As in Severson et al. (Nature Energy 4, 2019): what ends a cell, the loss of graphite until lithium plates, hardly shows
in the capacity of its first cycles, but moves the steps of graphite in its curve of discharge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.twin.table import Floats

Parameter = Callable[[str], float]
_STEP = 2  # cycles from one state of a cell to the next
_POINTS = 240  # of a curve of discharge, denser where it ends
_GAS_J_MOL_K, _KELVIN, _REFERENCE_C = 8.314, 273.15, 25.0


@dataclass(frozen=True)
class Cells:
    """Cells on cyclers, an array each; true values.

    Attributes:
        ratio: N/P of the fresh cell.
        rate_c: of the charge, in C.
        temp_c: of the chamber.
        moisture_ppm: of the cathode.
        additive_pct: vinylene carbonate in the electrolyte.
        efficiency_pct: of the first cycle.
        sei, graphite, plating, resistance: each cell's own factor of that way to age.
    """

    ratio: Floats
    rate_c: Floats
    temp_c: Floats
    moisture_ppm: Floats
    additive_pct: Floats
    efficiency_pct: Floats
    sei: Floats
    graphite: Floats
    plating: Floats
    resistance: Floats


@dataclass(frozen=True)
class Aged:
    """What cells are after some cycles.

    Attributes:
        lithium: that cycles, of the fresh cell's.
        graphite: its capacity, of the fresh cell's lithium.
        resistance: of the fresh cell's.
    """

    lithium: Floats
    graphite: Floats
    resistance: Floats


def aged(p: Parameter, cells: Cells, at: Sequence[int]) -> tuple[dict[int, Aged], Floats]:
    """Age cells until the test's last cycle.

    Args:
        p: parameters of twin.yaml, `cycling`.
        cells: what is cycled.
        at: cycles of which the state is wanted; even numbers.

    Returns:
        State by cycle, and the cycle at which the capacity is 80 % of the rated one, with its part; infinite where the
        last cycle comes first.
    """
    moisture = (cells.moisture_ppm - p("cycling.moisture_ppm")) / 100
    sei = p("cycling.sei.per_root_cycle") * _faster(p, "sei", cells) * cells.sei
    sei = sei * np.exp(p("cycling.sei.per_100ppm") * moisture)
    sei = sei * np.exp(p("cycling.sei.per_pct_additive") * (cells.additive_pct - p("cycling.additive_pct")))
    sei = sei * np.exp(p("cycling.sei.per_pct_efficiency") * (cells.efficiency_pct - p("cycling.efficiency_pct")))
    lost = p("cycling.graphite.per_cycle") * _faster(p, "graphite", cells) * cells.graphite
    lost = lost * np.exp(p("cycling.graphite.per_c") * (cells.rate_c - p("cycling.rate_c")))
    plating, margin = p("cycling.plating.per_cycle") * cells.plating, p("cycling.plating.below_ratio")
    end = p("cycling.end_ratio") / rated(p, cells)
    lithium: Floats = np.ones(len(sei))
    life: Floats = np.full(len(sei), np.inf)
    states = {}
    for cycle in range(_STEP, int(p("cycling.most_cycles")) + 1, _STEP):
        graphite = cells.ratio * np.maximum(1 - lost * cycle, 0.0)
        plated = plating * np.maximum(margin * lithium - graphite, 0.0) * _STEP
        later = np.maximum(lithium - sei * (np.sqrt(cycle) - np.sqrt(cycle - _STEP)) - plated, 0.0)
        ends = (later < end) & np.isinf(life)
        part = (lithium - end) / np.maximum(lithium - later, 1e-12)
        life = np.where(ends, cycle - _STEP + _STEP * part, life)
        lithium = later
        if cycle in at:
            film = cells.resistance * sei / p("cycling.sei.per_root_cycle")
            grown = 1 + p("cycling.resistance_per_root_cycle") * film * np.sqrt(cycle)
            states[cycle] = Aged(lithium, graphite, grown)
    return states, life


def rated(p: Parameter, cells: Cells) -> Floats:
    """Capacity of the fresh cells, of the rated one: what the first cycle takes is lost."""
    share: Floats = 1 + (cells.efficiency_pct - p("cycling.efficiency_pct")) / 100
    return share


def discharged(p: Parameter, cells: Cells, state: Aged, voltages_v: Floats) -> Floats:
    """Ah that a full cell gives until its voltage has fallen to each value, shape (cells, voltages).

    The voltage is that of LFP (Afshar 2017) less that of graphite (Chen 2020) and what the resistance takes.
    """
    fresh_ah = (p("cycling.nominal_ah") * rated(p, cells))[:, None]
    full = state.lithium[:, None] * fresh_ah
    share = 1 - (1 - np.linspace(0.0, 1.0, _POINTS)) ** 2
    given = full * share
    in_cathode = p("cycling.cathode.begin") + given / (fresh_ah * p("cycling.cathode.excess"))
    in_anode = (full - given) / (fresh_ah * state.graphite[:, None])
    drop = p("cycling.discharge_c") * p("cycling.nominal_ah") * p("cycling.resistance_ohm") * state.resistance[:, None]
    deeper = 1 + p("cycling.drop_at_depth") * share  # ions have a longer way the deeper the discharge
    volts = _lfp_v(in_cathode) - _graphite_v(in_anode) - drop * deeper
    rows = [np.interp(-voltages_v, -volt, ah) for volt, ah in zip(volts, given, strict=True)]
    curves: Floats = np.array(rows).reshape(len(full), len(voltages_v))
    return curves


def _faster(p: Parameter, part: str, cells: Cells) -> Floats:
    """Arrhenius' factor of the chamber's temperature."""
    per_k = p(f"cycling.{part}.activation_kj_mol") * 1000 / _GAS_J_MOL_K
    factor: Floats = np.exp(per_k * (1 / (_REFERENCE_C + _KELVIN) - 1 / (cells.temp_c + _KELVIN)))
    return factor


def _lfp_v(x: Floats) -> Floats:
    volts: Floats = 3.4077 - 0.020269 * x + 0.5 * np.exp(-150 * x) - 0.9 * np.exp(-30 * (1 - x))
    return volts


def _graphite_v(y: Floats) -> Floats:
    steps = 0.0909 * np.tanh(29.8538 * (y - 0.1234)) + 0.04478 * np.tanh(14.9159 * (y - 0.2769))
    steps = steps + 0.0205 * np.tanh(30.4444 * (y - 0.6103))
    volts: Floats = 1.9793 * np.exp(-39.3631 * y) + 0.2482 - steps
    return volts
