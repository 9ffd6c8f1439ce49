"""Tariff, cost rates and the activity-based standard cost of a site."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.control_plan.feeds import Model

Electrode = Literal["cathode", "anode"]
Ratio = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]


class TariffPeriod(Model):
    """A time-of-use period of the local day: from_hour (inclusive) to the next period's from_hour.

    Attributes:
        code: name of the period.
        from_hour: local hour at which it begins.
        usd_per_kwh: price of energy.
    """

    code: str
    from_hour: Annotated[int, Field(ge=0, le=23)]
    usd_per_kwh: NonNegative


class Tariff(Model):
    """Electricity tariff.

    Attributes:
        periods: the first starts at hour 0, the rest follow in order.
        demand_usd_per_kw_month: charge for the highest demand of a month.
        grid_kg_co2e_per_kwh: emission factor of the grid.
        source_tag: where the numbers come from.
    """

    periods: tuple[TariffPeriod, ...] = Field(min_length=1)
    demand_usd_per_kw_month: NonNegative
    grid_kg_co2e_per_kwh: NonNegative
    source_tag: str

    @model_validator(mode="after")
    def _whole_day(self) -> Tariff:
        hours = [period.from_hour for period in self.periods]
        if hours[0] != 0 or any(later <= earlier for earlier, later in pairwise(hours)):
            raise ValueError(f"periods must start at hour 0 and follow in order, found from_hour {hours}")
        return self

    def price_at(self, local_hour: int) -> float:
        """Price in US$/kWh at a local hour, 0 to 23."""
        return next(p.usd_per_kwh for p in reversed(self.periods) if p.from_hour <= local_hour)

    @property
    def mean_usd_per_kwh(self) -> float:
        """Energy price of a flat load over a day, without the demand charge, in US$/kWh."""
        return sum(self.price_at(hour) for hour in range(24)) / 24

    @property
    def flat_usd_per_kwh(self) -> float:
        """Price of a flat load with its demand charge: 1 kW through a month of 730 h, in US$/kWh."""
        return self.mean_usd_per_kwh + self.demand_usd_per_kw_month / 730


class CostRates(Model):
    """Rates from which conversion cost follows (domain formula: all parts over A-grade kWh).

    Attributes:
        labour_usd_per_operator_h: direct labour, for operators_per_shift around the clock.
        depreciation_usd_per_day: of the line and its building.
        maintenance_usd_per_day: crew and contracts, whatever fails.
        maintenance_usd_per_work_order: parts and outside labour, by type of work order.
        consumables_usd_per_cell: nitrogen, solvent make-up, knives, horns, films; per stacked cell.
        overhead_usd_per_day: quality, engineering, logistics, services.
        material_usd_per_cell: bill of materials by step at which the material enters.
        slurry_usd_per_kg: material of a slurry batch that is scrapped, by electrode.
        roll_usd_per_m: material of a coated mother roll that is scrapped, slurry and foil, by electrode.
        scrap_recovery_ratio: share of the material value of scrap that recycling gives back.
        b_grade_value_ratio: price of a B-grade cell as a share of an A-grade cell's.
        retest_usd_per_cell: handling and channel time of a second grading.
        source_tag: where the numbers come from.
    """

    labour_usd_per_operator_h: NonNegative
    depreciation_usd_per_day: NonNegative
    maintenance_usd_per_day: NonNegative
    maintenance_usd_per_work_order: dict[str, NonNegative]
    consumables_usd_per_cell: NonNegative
    overhead_usd_per_day: NonNegative
    material_usd_per_cell: dict[str, NonNegative]
    slurry_usd_per_kg: dict[Electrode, NonNegative]
    roll_usd_per_m: dict[Electrode, NonNegative]
    scrap_recovery_ratio: Ratio
    b_grade_value_ratio: Ratio
    retest_usd_per_cell: NonNegative
    source_tag: str


class StandardStep(Model):
    """Standard of a step: the baseline that costing plans with, and the lighthouse level aimed at.

    Attributes:
        loss_ratio: share of what enters that is lost.
        energy_kwh_per_kwh: electricity per kWh of cell.
        conversion_share: share of the fixed conversion cost (labour, depreciation, maintenance, overhead).
        lighthouse_loss_ratio: the same at the level aimed at.
        lighthouse_energy_kwh_per_kwh: the same at the level aimed at.
        source_tag: where the numbers come from.
    """

    loss_ratio: Ratio
    lighthouse_loss_ratio: Ratio
    energy_kwh_per_kwh: NonNegative
    lighthouse_energy_kwh_per_kwh: NonNegative
    conversion_share: Ratio
    source_tag: str


class Standard(Model):
    """Standard costing: planned volume and, by step, planned losses, energy and share of cost.

    Attributes:
        cells_per_day: stacked cells of a standard day.
        work_orders_per_day: planned number by type.
        steps: by step code; facility steps carry energy and no loss.
        source_tag: where the numbers come from.
    """

    cells_per_day: Annotated[float, Field(gt=0)]
    work_orders_per_day: dict[str, NonNegative]
    steps: dict[str, StandardStep]
    source_tag: str

    @model_validator(mode="after")
    def _shares(self) -> Standard:
        total = sum(step.conversion_share for step in self.steps.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"conversion_share of all steps must add up to 1, found {total:.4f}")
        return self

    @cached_property
    def premium_ratio(self) -> float:
        """Share of what starts that ends premium: the product of the steps' yields."""
        ratio = 1.0
        for step in self.steps.values():
            ratio *= 1 - step.loss_ratio
        return ratio


def standard_cost_parts(
    standard: Standard, rates: CostRates, tariff: Tariff, *, operators: int, capacity_kwh: float
) -> dict[str, dict[str, float]]:
    """Standard conversion cost by step and part, in US$ per premium kWh.

    Formula: domain 3.1, conversion cost = (labour + energy + depreciation + maintenance + consumables + overhead
    + scrap) / premium kWh. Fixed parts are spread by `conversion_share`, energy by meter. Scrap is the material, less
    recovery, that a lost unit had taken up to its step; the conversion spent on it is in the other parts already,
    which are all divided by premium kWh alone.

    Args:
        standard: planned volume, losses, energy and shares.
        rates: cost rates.
        tariff: priced for a flat load, its demand charge included.
        operators: on the line at any hour.
        capacity_kwh: energy of one cell.

    Returns:
        step -> part -> US$/kWh, parts being labour, energy, depreciation, maintenance, consumables, overhead, scrap.
    """
    premium_cells = standard.cells_per_day * _yield_from_stacking(standard)
    premium_kwh = premium_cells * capacity_kwh
    orders_usd = sum(rates.maintenance_usd_per_work_order[k] * n for k, n in standard.work_orders_per_day.items())
    fixed = {
        "labour": rates.labour_usd_per_operator_h * operators * 24 / premium_kwh,
        "depreciation": rates.depreciation_usd_per_day / premium_kwh,
        "maintenance": (rates.maintenance_usd_per_day + orders_usd) / premium_kwh,
        "consumables": rates.consumables_usd_per_cell * standard.cells_per_day / premium_kwh,
        "overhead": rates.overhead_usd_per_day / premium_kwh,
    }
    parts: dict[str, dict[str, float]] = {}
    material_usd, passed = 0.0, 1.0
    for code, step in standard.steps.items():
        step_parts = {part: usd * step.conversion_share for part, usd in fixed.items()}
        step_parts["energy"] = step.energy_kwh_per_kwh * tariff.flat_usd_per_kwh
        material_usd += rates.material_usd_per_cell.get(code, 0.0) * (1 - rates.scrap_recovery_ratio) / capacity_kwh
        step_parts["scrap"] = material_usd * passed * step.loss_ratio / standard.premium_ratio
        passed *= 1 - step.loss_ratio
        parts[code] = step_parts
    return parts


def _yield_from_stacking(standard: Standard) -> float:
    """Yield of the steps from stacking on: what is lost before is metres of electrode, not cells."""
    ratio, is_cell = 1.0, False
    for code, step in standard.steps.items():
        is_cell = is_cell or code == "stacking"
        ratio *= 1 - step.loss_ratio if is_cell else 1.0
    return ratio
