"""Control of a profile by a row of actuators, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.solution import LonePart, Part


class DeclaredResponse(Part):
    """How an actuator bends the profile, as far as it is known before any was moved."""

    gain_pct: float = Field(gt=0.0, description="% of the profile's mean at the actuator, per unit of its set-point")
    width: float = Field(gt=0.0, description="standard deviation of the bent stretch, in positions")
    uncertainty: float = Field(
        default=0.3,
        gt=0.0,
        le=2.0,
        description="standard deviation of a response as a share of it; moves teach the rest",
    )
    source: str = Field(min_length=3, description="where it comes from: a trial with its date, a supplier's sheet")


class ProfileControl(LonePart):
    """Evens a profile out by moving a few of the actuators that stand side by side, as die bolts do."""

    kind: Literal["profile"] = Field(description="which way of optimising: here a row of actuators against a profile")
    hold: str = Field(description="measured characteristic of a position, a column of the table")
    by: str = Field(description="set-point of the position's actuator, a column with its measured value")
    machine: str = Field(description="column with the machine whose positions lie side by side")
    position: str = Field(description="column with the number of the position, from 1")
    variant: str | None = Field(
        default=None,
        description="column with the variant that makes `<variant>_<name>` the plan's code; none: no variant",
    )
    ran_at: str = Field(description="column: when the run ended")
    known_at: str = Field(description="column: when its record was known")
    response: DeclaredResponse = Field(description="how an actuator bends the profile")
    most_apart: float = Field(gt=0.0, description="largest difference between neighbouring set-points, in their unit")
    most_moved: float = Field(gt=0.0, description="largest sum of an advice's moves on a machine, in their unit")
    most: int = Field(default=2, ge=1, le=12, description="actuators that an advice moves at most on a machine")
    min_gain: float = Field(default=0.05, gt=0.0, lt=1.0, description="share of the spread that moves must take away")
    ahead: int = Field(default=2, ge=1, le=20, description="runs between the newest known one and the one decided on")
    max_age_h: float = Field(default=6.0, gt=0.0, description="age of the newest run from which on nothing is moved")
    outlier_sigma: float = Field(default=5.0, ge=3.0, description="deviation of a run from which on nothing is moved")
    learn_days: float = Field(default=14.0, ge=1.0, le=120.0, description="days of past runs that are learnt from")

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        named = (self.machine, self.position, self.hold, self.by, self.variant, self.ran_at, self.known_at)
        return list(dict.fromkeys(name for name in named if name))
