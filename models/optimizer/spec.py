"""What an optimiser is, as its YAML says it: one part per kind. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.optimizer.bayesian_spec import Bayesian
from models.optimizer.design_spec import CellDesign
from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.plan_spec import Cutting, LoadShift, Matching, PlanPart, Schedule, Slotting, Stock
from models.optimizer.profile_spec import ProfileControl
from models.optimizer.recipe_spec import RecipeTransfer
from models.optimizer.setpoint_spec import SetpointSearch
from models.solution import Part, RuleSpec


class GivenGain(Part):
    """A gain that is known from elsewhere, as from a trial on the line."""

    value: float = Field(description="units of what is held per unit of the set-point; not 0")
    source: str = Field(min_length=3, description="where it comes from: a trial with its date, a supplier's sheet")

    @model_validator(mode="after")
    def _acts(self) -> Self:
        if self.value == 0:
            msg = "a set-point whose gain is 0 moves nothing; leave `gain` out to have it learnt"
            raise ValueError(msg)
        return self


class Fed(Part):
    """What runs are made of, first in, first out, and what of it is measured before the run."""

    table: str = Field(min_length=1, description="table with a row for each item, such as `marts.slurry_batch`")
    key: str = Field(description="column that names the item in both tables")
    ready_at: str = Field(description="column: when the item was ready")
    known_at: str = Field(description="column: when its record was known")
    gone: str | None = Field(default=None, description="column that is not null where the item is scrapped")
    columns: list[str] = Field(min_length=1, description="measured disturbances; used where the past says they help")


class RunToRun(Part):
    """Holds a measured quantity on the target of the control plan by moving one set-point from run to run."""

    kind: Literal["run_to_run"] = Field(description="which way of optimising: here run by run, with a linear model")
    hold: str = Field(description="measured characteristic, a column of the table; its nominal value is the target")
    by: str = Field(description="set-point that is moved, a column with its measured value; limits are the plan's")
    variant: str | None = Field(
        default=None,
        description="column with the variant that makes `<variant>_<name>` the plan's code; none: no variant",
    )
    ran_at: str = Field(description="column: when the run ended")
    known_at: str = Field(description="column: when its record was known")
    fed: Fed | None = Field(default=None, description="what runs are made of; none: nothing is known before a run")
    gain: GivenGain | None = Field(default=None, description="gain that is given; none: learnt from past runs")
    drift_weight: float = Field(
        default=0.0, ge=0.0, le=1.0, description="weight of the second mean, which follows a drift; 0: a single mean"
    )
    dead_time_s: float = Field(
        gt=0.0, description="seconds before its end at which a run is decided on: its length and the time to carry out"
    )
    max_age_h: float = Field(default=6.0, gt=0.0, description="age of the newest run from which on nothing is moved")
    outlier_sigma: float = Field(default=5.0, ge=3.0, description="deviation from which on nothing is moved")
    stuck_runs: int = Field(default=5, ge=3, description="equal values in a row from which on a gauge counts as stuck")
    learn_days: float = Field(default=14.0, ge=1.0, le=120.0, description="days of past runs that are learnt from")

    @property
    def tables(self) -> list[str]:
        """Tables beside the solution's own."""
        return [self.fed.table] if self.fed else []

    def over(self, relations: dict[str, str]) -> RunToRun:
        """The same controller over other relations, by the names that the YAML gives its tables."""
        if self.fed is None:
            return self
        fed = self.fed.model_copy(update={"table": relations.get(self.fed.table, self.fed.table)})
        return self.model_copy(update={"fed": fed})

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        named = (self.hold, self.by, self.variant, self.ran_at, self.known_at, self.fed and self.fed.key)
        return list(dict.fromkeys(name for name in named if name))


Kind = Annotated[
    RunToRun
    | SetpointSearch
    | ProfileControl
    | ExpectedValue
    | Bayesian
    | CellDesign
    | RecipeTransfer
    | Cutting
    | Matching
    | Slotting
    | Schedule
    | LoadShift
    | Stock,
    Field(discriminator="kind"),
]
"""Each kind says what it reads (`columns`, further `tables`, `over` others) and how long it stands (`max_age_h`)."""


class OptimizerSpec(RuleSpec):
    """One optimiser: what it moves or plans, and to which end.

    Of a set-point the first key names the machine, the others the run: an answer stands for the machine after its
    newest run. Of a plan the first key names what an action speaks of, the last the item that is planned.
    """

    optimizer: Kind = Field(description="what is optimised and how; `kind` says which way")

    @model_validator(mode="after")
    def _costs_what_it_moves(self) -> Self:
        if isinstance(self.optimizer, SetpointSearch):
            named = {factor.of for term in self.optimizer.cost for factor in term.factors}
            if named != set(self.optimizer.move):
                msg = f"the cost names {sorted(named)}; expected each set-point of `move` and no other"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _advises(self) -> Self:
        if isinstance(self.optimizer, PlanPart):
            return self._plans(self.optimizer)
        if isinstance(self.optimizer, Bayesian | CellDesign | RecipeTransfer):
            return self._is_of_design(self.optimizer)
        if len(self.keys) < 2:
            msg = "keys name the machine and the run that the advice follows, such as [coater_id, mother_roll_id]"
            raise ValueError(msg)
        if self.action.kind not in ("setpoint_advice", "report"):
            msg = f"action.kind of this family is setpoint_advice or report, found {self.action.kind}"
            raise ValueError(msg)
        return self

    def _is_of_design(self, kind: Bayesian | CellDesign | RecipeTransfer) -> Self:
        if len(self.keys) != 1:
            msg = f"the key of kind {kind.kind} is one column that names trials, designs or recipes; found {self.keys}"
            raise ValueError(msg)
        able = {"bayesian": ("schedule", "report"), "recipe_transfer": ("hold_lot", "release", "report")}
        allowed = able.get(kind.kind, ("report",))
        if self.action.kind not in allowed:
            msg = f"action.kind of kind {kind.kind} is {' or '.join(allowed)}, found {self.action.kind}"
            raise ValueError(msg)
        return self

    def _plans(self, plan: PlanPart) -> Self:
        wanted = 1 if isinstance(plan, Stock) else 2
        if len(self.keys) != wanted:
            what = "the part" if wanted == 1 else "what is planned together and the item"
            msg = f"keys of a plan of kind {plan.kind} name {what}; found {self.keys}"
            raise ValueError(msg)
        kind = "work_order" if isinstance(plan, Stock) else "schedule"
        if self.action.kind not in (kind, "report"):
            msg = f"action.kind of a plan of kind {plan.kind} is {kind} or report, found {self.action.kind}"
            raise ValueError(msg)
        return self

    @property
    def tables(self) -> list[str]:
        """See `SolutionSpec`."""
        return list(dict.fromkeys([self.table, *self.optimizer.tables]))

    @property
    def roles(self) -> dict[str, str]:
        """See `SolutionSpec`."""
        return super().roles | dict.fromkeys(self.optimizer.columns, "read by the optimiser")

    @property
    def named_columns(self) -> list[str]:
        """See `SolutionSpec`."""
        return list(dict.fromkeys([*self.keys, *self.optimizer.columns]))

    @property
    def asks(self) -> list[str]:
        """See `SolutionSpec`."""
        kept = self.optimizer.keep if isinstance(self.optimizer, SetpointSearch) else []
        return [each.solution for each in kept]

    @property
    def acts_within_h(self) -> float | None:
        """See `SolutionSpec`."""
        return self.optimizer.max_age_h

    def over(self, relations: dict[str, str], domain: str) -> Self:
        """See `SolutionSpec`."""
        found = super().over(relations, domain)
        return found.model_copy(update={"optimizer": self.optimizer.over(relations)})
