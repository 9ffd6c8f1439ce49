"""Whether recipes run on a line, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from models.solution import Part

RECIPE = ("solids_pct", "viscosity_mpa_s", "areal_weight_g_m2")
SETTINGS = ("web_speed_m_min", "line_load_n_mm")
OUTCOMES = ("residual_solvent_ppm", "exhaust_lel_pct", "peel_strength_n_m", "defect_count_m2")
DENSITY = "density_g_cm3"


class RecipeTransfer(Part):
    """Tells of recipes whether they run on the line, at which speeds, and what ends that.

    A row of the solution's table is a recipe: its solids, viscosity, areal weight and density. Limits and set-points
    are the control plan's, of the `variant`.
    """

    kind: Literal["recipe_transfer"] = Field(description="which way of optimising: here a recipe's window on the line")
    variant: Literal["cathode", "anode"] = Field(description="electrode whose rows of the plan are meant")
    trial_table: str = Field(description="table of runs so far: a recipe, its set-points, and what came out")
    known_at: str = Field(default="known_at", description="column of both tables: when a row was known")
    asked_at: str = Field(description="column: when the recipe was asked for")
    density_tolerance_g_cm3: float = Field(gt=0.0, description="give or take of a recipe's density")
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, description="probability with which a run is to keep each limit"
    )
    most_flow: float = Field(gt=0.0, description="slurry that the pump gives at most, of today's recipe's")
    solid_g_cm3: float = Field(gt=0.0, description="density of the coat without pores")
    least_porosity: float = Field(ge=0.0, lt=1.0, description="porosity that no load presses out")
    max_age_h: float = Field(default=336.0, gt=0.0, description="hours for which a recipe that was asked for waits")

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        return [*RECIPE, DENSITY, self.asked_at, self.known_at]

    @property
    def tables(self) -> list[str]:
        """Tables beside the solution's own."""
        return [self.trial_table]

    def over(self, relations: dict[str, str]) -> Self:
        """The same over other relations, by the names that the YAML gives its tables."""
        return self.model_copy(update={"trial_table": relations.get(self.trial_table, self.trial_table)})
