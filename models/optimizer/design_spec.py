"""A search of cell designs by physics, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from models.optimizer.bayesian_spec import Improved, Limited, Varied
from models.solution import LonePart

Design = Literal["cathode_areal_weight_g_m2", "cathode_density_g_cm3", "anode_density_g_cm3", "negative_positive_ratio"]
Figure = Literal["capacity_ah", "energy_wh", "dcir_mohm", "specific_energy_wh_kg", "cell_mass_kg", "cathode_sheets",
                 "cathode_porosity", "anode_porosity"]  # fmt: skip


class VariedDesign(Varied):
    """A number of the design."""

    of: Design = Field(description="number of `product.design` in site.yaml, which is where the search begins")


class ImprovedFigure(Improved):
    """What the design is to improve."""

    of: Figure = Field(description="figure that the physics works out")


class LimitedFigure(Limited):
    """What a design must keep, beside today's."""

    of: Figure = Field(description="figure; its limits are shares of what the physics works out for today's design")


class CellDesign(LonePart):
    """Searches designs of a cell by its physics, with Gaussian processes that say which to work out next."""

    kind: Literal["cell_design"] = Field(description="which way of optimising: here designs by the cell's physics")
    vary: list[VariedDesign] = Field(min_length=1, description="numbers of the design; the others stay as today")
    improve: ImprovedFigure = Field(description="what is to be improved")
    keep: list[LimitedFigure] = Field(default=[], description="what must be kept meanwhile, beside today's design")
    cathode_capacity: str = Field(description="column of the table: measured capacity of the cathode's powder, mAh/g")
    anode_capacity: str = Field(description="column of the table: likewise of the anode's powder")
    known_at: str = Field(description="column of the table: when they were known")
    lots: int = Field(default=20, ge=1, description="newest lots of a powder whose mean counts")
    stack_room_mm: float = Field(gt=0.0, description="thickness of the can that the stack may take")
    contact_mohm: float = Field(ge=0.0, description="resistance of tabs, welds and terminals, which no design changes")
    runs: int = Field(default=22, ge=6, le=200, description="designs that are worked out in all")
    batch: int = Field(default=4, ge=1, le=16, description="designs that are chosen at once")
    seed: int = Field(default=7, description="seed of the designs that are looked at")

    @field_validator("vary")
    @classmethod
    def _once_each(cls, value: list[VariedDesign]) -> list[VariedDesign]:
        names = [one.of for one in value]
        if len(set(names)) < len(names):
            msg = f"a number of the design is varied once; found {names}"
            raise ValueError(msg)
        return value

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        return [self.cathode_capacity, self.anode_capacity, self.known_at]

    @property
    def max_age_h(self) -> float | None:
        """A design stands until there is a better one."""
        return None
