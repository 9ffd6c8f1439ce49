"""A stacked LFP cell as physics: from loading, densities and N/P ratio to capacity, energy, resistance and mass.

PyBaMM's parameter set `Prada2013` (LFP and graphite, Prada et al. 2013) gives kinetics, potentials and electrolyte; its
geometry, porosities and amounts of active material are those of the design. The model is SPMe: single particles with an
electrolyte. A few tenths of a second for each design.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.product import Product
from pipelines.optimizers.runs import Floats

DESIGN = ("cathode_areal_weight_g_m2", "cathode_density_g_cm3", "anode_density_g_cm3", "negative_positive_ratio")
FIGURES = ("capacity_ah", "energy_wh", "dcir_mohm", "specific_energy_wh_kg", "cell_mass_kg", "cathode_sheets",
           "cathode_porosity", "anode_porosity")  # fmt: skip
FORMAT = 1
"""Of what the physics makes of a design: raised when the same inputs come to mean another result."""

_LFP_G_CM3, _GRAPHITE_G_CM3, _REST_G_CM3 = 3.6, 2.24, 1.77  # domain anchors: CMU BatteryCost defaults
_FARADAY = 96485.332
_RATE_C, _PULSE_C, _PULSE_S = 0.5, 1.0, 10.0
_LOWEST_V = 2.5
_POINTS = {"x_n": 10, "x_s": 6, "x_p": 10, "r_n": 14, "r_p": 14}  # half of the usual; it changes less than 0.1 %
_ANODE_DIFFUSIVITY_M2_S = 3.3e-14  # an estimate: with the set's own an anode of this loading starves


@dataclass(frozen=True)
class Basis:
    """What is the same for all designs of a product.

    Attributes:
        sheet_m2: area of a cathode sheet, one side.
        stack_room_mm: thickness of the can that the stack may take.
        separator_um: thickness of a layer of separator; `separator_g_m2` its mass.
        cathode_foil_um: of aluminium, anode_foil_um: of copper; with their masses in g/m2.
        cathode_active_ratio: share of active material in the dry mass; anode_active_ratio likewise.
        cathode_mah_g: usable capacity of the cathode's active material; anode_mah_g reversible one of the anode's.
        electrolyte_g_ah: mass of electrolyte by capacity.
        housing_kg: can and cap.
        contact_mohm: resistance of tabs, welds and terminals.
    """

    sheet_m2: float
    stack_room_mm: float
    cathode_active_ratio: float
    anode_active_ratio: float
    cathode_mah_g: float
    anode_mah_g: float
    electrolyte_g_ah: float
    housing_kg: float
    contact_mohm: float
    separator_um: float = 12.0
    separator_g_m2: float = 10.0
    cathode_foil_um: float = 13.0
    cathode_foil_g_m2: float = 35.1
    anode_foil_um: float = 6.0
    anode_foil_g_m2: float = 53.4


def basis_of(product: Product, cathode_ratio: float, anode_ratio: float, room_mm: float, contact_mohm: float) -> Basis:
    """The basis of a site's product.

    Args:
        product: its design.
        cathode_ratio: measured capacity of the cathode's powder over the plan's nominal one.
        anode_ratio: likewise of the anode's.
        room_mm: see `Basis.stack_room_mm`.
        contact_mohm: see `Basis`.

    Raises:
        CellworksError: the product lacks a number of its design.
    """
    needed = ("sheet_length_mm", "sheet_width_mm", "cathode_active_ratio", "anode_active_ratio", "electrolyte_g_ah",
              "cathode_specific_capacity_mah_g", "anode_specific_capacity_mah_g", *DESIGN)  # fmt: skip
    design = product.design
    if lost := [name for name in needed if name not in design]:
        raise CellworksError(
            "the product's design lacks numbers", expected=", ".join(needed), found=f"no {', '.join(lost)}",
            mend="add them to `product.design` of site.yaml",
        )  # fmt: skip
    kg = product.materials_kg_per_cell
    return Basis(
        design["sheet_length_mm"] * design["sheet_width_mm"] / 1e6,
        room_mm,
        design["cathode_active_ratio"],
        design["anode_active_ratio"],
        design["cathode_specific_capacity_mah_g"] * cathode_ratio,
        design["anode_specific_capacity_mah_g"] * anode_ratio,
        design["electrolyte_g_ah"],
        kg.get("can", 0.0) + kg.get("cap", 0.0),
        contact_mohm,
    )


@dataclass(frozen=True)
class Stack:
    """The stack that a design makes in the can: layers in um, areal weights of a side in g/m2, sheets, shares."""

    cathode_um: float
    anode_um: float
    cathode_g_m2: float
    anode_g_m2: float
    sheets: int
    cathode_porosity: float
    anode_porosity: float

    @classmethod
    def of(cls, design: Mapping[str, float], basis: Basis) -> Stack:
        """Lay the stack out: as many cathodes as the can has room for, and one anode more."""
        cathode_g, per_cm3 = design["cathode_areal_weight_g_m2"], design["cathode_density_g_cm3"]
        usable = cathode_g * basis.cathode_active_ratio * basis.cathode_mah_g
        anode_g = design["negative_positive_ratio"] * usable / (basis.anode_active_ratio * basis.anode_mah_g)
        cathode_um, anode_um = cathode_g / per_cm3, anode_g / design["anode_density_g_cm3"]
        anode = 2 * anode_um + basis.anode_foil_um
        pair = 2 * cathode_um + basis.cathode_foil_um + anode + 2 * basis.separator_um
        sheets = int((basis.stack_room_mm * 1000 - anode) // pair)
        return cls(
            cathode_um,
            anode_um,
            cathode_g,
            anode_g,
            sheets,
            _porosity(per_cm3, basis.cathode_active_ratio, _LFP_G_CM3),
            _porosity(design["anode_density_g_cm3"], basis.anode_active_ratio, _GRAPHITE_G_CM3),
        )

    def area_m2(self, basis: Basis) -> float:
        """Area of all sides of the cathode."""
        return 2 * self.sheets * basis.sheet_m2

    def mass_kg(self, capacity_ah: float, basis: Basis) -> float:
        """Mass of the cell."""
        area = self.area_m2(basis)
        coats = self.cathode_g_m2 + self.anode_g_m2 * (self.sheets + 1) / self.sheets
        foils = (basis.cathode_foil_g_m2 + basis.anode_foil_g_m2 * (self.sheets + 1) / self.sheets) / 2
        grams = area * (coats + foils + basis.separator_g_m2) + basis.electrolyte_g_ah * capacity_ah
        return grams / 1000 + basis.housing_kg


def _porosity(density: float, active_ratio: float, active_g_cm3: float) -> float:
    return 1 - density * (active_ratio / active_g_cm3 + (1 - active_ratio) / _REST_G_CM3)


def stack_figures(designs: Sequence[Mapping[str, float]], basis: Basis) -> list[dict[str, float]]:
    """What the stack alone tells of designs: `cathode_sheets`, `cathode_porosity` and `anode_porosity`."""
    stacks = (Stack.of(design, basis) for design in designs)
    return [
        {
            "cathode_sheets": float(stack.sheets),
            "cathode_porosity": stack.cathode_porosity,
            "anode_porosity": stack.anode_porosity,
        }
        for stack in stacks
    ]


def figures_of(designs: Sequence[Mapping[str, float]], basis: Basis) -> list[dict[str, float]]:
    """Work out designs; a cell that cannot be laid out or worked out has NaN where nothing is known.

    Args:
        designs: a value for each of `DESIGN`.
        basis: of the product.

    Returns:
        A value for each of `FIGURES`, in the order of the designs.
    """
    return [_figures(design, basis) for design in designs]


def _figures(design: Mapping[str, float], basis: Basis) -> dict[str, float]:
    stack = Stack.of(design, basis)
    found = dict.fromkeys(FIGURES, float("nan")) | stack_figures([design], basis)[0]
    if stack.sheets < 1 or min(stack.cathode_porosity, stack.anode_porosity) < 0.05:
        return found
    pybamm = _pybamm()
    rated_ah = stack.area_m2(basis) * stack.cathode_g_m2 * basis.cathode_active_ratio * basis.cathode_mah_g / 1000
    values = _parameters(pybamm, design, stack, basis, rated_ah)
    try:
        whole = _solved(pybamm, values, rated_ah * _RATE_C, 3600 / _RATE_C * 1.15, 1.0)
        pulse = _solved(pybamm, values, rated_ah * _PULSE_C, _PULSE_S, 0.5)
    except pybamm.SolverError:
        return found
    time_h, volt = whole["Time [h]"].entries, whole["Voltage [V]"].entries
    capacity = rated_ah * _RATE_C * float(time_h[-1])
    energy = rated_ah * _RATE_C * float(np.trapezoid(volt, time_h))
    drop = float(pulse["Battery open-circuit voltage [V]"].entries[0] - pulse["Voltage [V]"].entries[-1])
    mass = stack.mass_kg(capacity, basis)
    return found | {
        "capacity_ah": capacity,
        "energy_wh": energy,
        "dcir_mohm": drop / (rated_ah * _PULSE_C) * 1000 + basis.contact_mohm,
        "specific_energy_wh_kg": energy / mass,
        "cell_mass_kg": mass,
    }


def _pybamm() -> Any:
    """PyBaMM, brought on first use and with its telemetry off."""
    os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"
    pybamm = import_module("pybamm")  # it has no types
    pybamm.set_logging_level("ERROR")
    return pybamm


def _parameters(pybamm: Any, design: Mapping[str, float], stack: Stack, basis: Basis, rated_ah: float) -> Any:
    values = pybamm.ParameterValues("Prada2013")
    values.update(
        {
            "Positive electrode thickness [m]": stack.cathode_um / 1e6,
            "Negative electrode thickness [m]": stack.anode_um / 1e6,
            "Separator thickness [m]": basis.separator_um / 1e6,
            "Positive electrode porosity": stack.cathode_porosity,
            "Negative electrode porosity": stack.anode_porosity,
            "Positive electrode active material volume fraction": design["cathode_density_g_cm3"]
            * basis.cathode_active_ratio
            / _LFP_G_CM3,
            "Negative electrode active material volume fraction": design["anode_density_g_cm3"]
            * basis.anode_active_ratio
            / _GRAPHITE_G_CM3,
            "Maximum concentration in positive electrode [mol.m-3]": _most(basis.cathode_mah_g, _LFP_G_CM3),
            "Maximum concentration in negative electrode [mol.m-3]": _most(basis.anode_mah_g, _GRAPHITE_G_CM3),
            "Electrode height [m]": basis.sheet_m2,
            "Electrode width [m]": 1.0,
            "Number of electrodes connected in parallel to make a cell": 2.0 * stack.sheets,
            "Nominal cell capacity [A.h]": rated_ah,
            "Lower voltage cut-off [V]": _LOWEST_V,
            "Negative particle diffusivity [m2.s-1]": _ANODE_DIFFUSIVITY_M2_S,
        }
    )
    full = {1.0: _contents(design, basis, 1.0), 0.5: _contents(design, basis, 0.5)}
    return values, full


def _most(mah_g: float, g_cm3: float) -> float:
    """Lithium in the full particle, mol/m3."""
    return mah_g * g_cm3 * 3.6 / _FARADAY * 1e6


def _contents(design: Mapping[str, float], basis: Basis, charge: float) -> tuple[float, float]:
    """Lithium in the particles of cathode and anode at a state of charge, mol/m3.

    The cathode is taken between 1 and 99 % of its usable lithium; the anode takes what leaves it, above 1 %.
    """
    cathode = 0.99 - 0.98 * charge
    anode = 0.01 + 0.98 * charge / design["negative_positive_ratio"]
    return cathode * _most(basis.cathode_mah_g, _LFP_G_CM3), anode * _most(basis.anode_mah_g, _GRAPHITE_G_CM3)


def _solved(pybamm: Any, parameters: Any, current_a: float, seconds: float, charge: float) -> Any:
    values, full = parameters
    own = values.copy()
    cathode, anode = full[charge]
    own.update(
        {
            "Initial concentration in positive electrode [mol.m-3]": cathode,
            "Initial concentration in negative electrode [mol.m-3]": anode,
            "Current function [A]": current_a,
        }
    )
    simulation = pybamm.Simulation(pybamm.lithium_ion.SPMe(), parameter_values=own, var_pts=_POINTS)
    return simulation.solve(np.linspace(0.0, seconds, 121))


def as_designs(settings: Floats) -> list[dict[str, float]]:
    """Settings, shape (n, 4) in the order of `DESIGN`, as designs."""
    return [dict(zip(DESIGN, row.tolist(), strict=True)) for row in settings]
